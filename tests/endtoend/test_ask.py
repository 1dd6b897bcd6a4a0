"""`tokcom ask`: what it prints and what its page holds, for a clip of the run and for one's own."""

import json
import math
import re
import shutil

import pytest
import torch

from tokcom_phy import Run
from tokcom_phy.cli import execute
from tokcom_phy.results.ask import ask
from tokcom_phy.results.ask_page import json_for_page, write_page


@pytest.fixture(scope="module")
def asked(finished_run):
    return ask(Run.open(finished_run), "aligned", link="awgn", snr_db=[20, -10])


def test_each_snr_is_heard_once_over_the_same_realisation(asked, finished_run):
    first = Run.open(finished_run).questions.iloc[0]
    assert (asked.question, asked.truth) == (first["question"], first["answer"])
    assert [heard.snr_db for heard in asked.hearings] == [-10, 20]
    for heard in asked.hearings:
        assert heard.right == (heard.answer == asked.truth)
        assert heard.effective_snr_db == pytest.approx({"audio": heard.snr_db, "video": heard.snr_db}, abs=0.01)
    low, high = (heard.token_error_db["audio"] for heard in asked.hearings)
    assert high == pytest.approx(-20, abs=1)
    assert low == pytest.approx(-10 * math.log10(1 + 0.1), abs=0.5)  # LMMSE: 1 / (1 + SNR)


def test_probabilities_are_those_of_the_model(finished_run):
    """Against the loss of equation (14), which is the mean over the tokens of minus the same logarithms."""
    run = Run.open(finished_run)
    system = run.system("aligned")
    question = run.questions.iloc[0]["question"]
    features = system.features(run.questions.iloc[0]["video_id"])
    link = system.link("awgn")
    answers = ["yes", "two"]
    found = system.probabilities(question, features, link, 10.0, 3, answers)
    assert 0 < sum(found) <= 1
    foundation = system.system.foundation
    from tokcom_phy.model.transmission import LinkUse

    with torch.no_grad():
        text = foundation.tokenize_questions([question])
        prefix, mask, _ = system.system.read(features, text, LinkUse(link, 10.0, 3, range(1)))
        for answer, probability in zip(answers, found, strict=True):
            target = foundation.tokenize_answers([answer])
            loss = float(foundation.answer_loss(prefix, mask, target))
            assert probability == pytest.approx(math.exp(-loss * int(target.mask.sum())), rel=1e-4)


def test_the_greedy_answer_is_among_the_likeliest(asked):
    for heard in asked.hearings:
        assert len(heard.likeliest) == 5
        shares = [probability for _, probability in heard.likeliest]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1 + 1e-6


def test_the_command_prints_answers_and_writes_one_page(finished_run, tmp_path, capsys):
    page = tmp_path / "page.html"
    arguments = ["--system", f"{finished_run}:aligned", "--link", "awgn", "--snr", "-10", "--snr", "20"]
    assert execute(["ask", *arguments, "--out", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "truth:" in printed
    assert "-10 dB" in printed
    text = page.read_text("utf-8")
    assert 'src="data:video/mp4;base64,' in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert held
    assert [heard["snr_db"] for heard in json.loads(held[1])] == [-10, 20]


def test_own_media_and_a_question_of_ones_own(finished_run, tmp_path, asked, capsys):
    own = tmp_path / "clip.mp4"
    shutil.copy(asked.clip, own)
    system = f"{finished_run}:aligned"
    question = "How <many>?"
    arguments = ["ask", str(own), question, "--system", system, "--link", "awgn", "--snr", "0"]
    assert execute([*arguments, "--out", str(tmp_path / "own.html")]) == 0
    assert "truth: not known" in capsys.readouterr().out
    assert "How &lt;many&gt;?" in (tmp_path / "own.html").read_text("utf-8")


def test_no_text_of_a_model_ends_the_script():
    assert "<" not in json_for_page(["</script><script>alert(1)</script>"])
    assert json.loads(json_for_page(["</script>&"])) == ["</script>&"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--system", "nowhere:aligned"], "there is no run nowhere"),
        (["--system", "nowhere"], "RUN:VARIANT"),
        (["--system", "RUN:aligne"], "did you mean 'aligned'"),
        (["--system", "RUN:blind"], "neither hears nor sees"),
        (["--system", "RUN:aligned", "--link", "awgm"], "did you mean 'awgn'"),
        (["--system", "RUN:aligned", "--snr", "1e9"], "--snr: "),
        (["--system", "RUN:aligned", "--out", "page.txt"], "name an .html file"),
        (["missing.mp4", "--system", "RUN:aligned"], "the run asks nothing about clip 'missing.mp4'"),
        (["missing.mp4", "Why\udcff?", "--system", "RUN:aligned"], "the question 'Why\\udcff?' is no text"),
        (["\udcff.mp4", "--system", "RUN:aligned"], "the clip '\\udcff.mp4' is no text"),
        (["missing.mp4", "Why?", "--system", "RUN:aligned"], "no media file 'missing.mp4'"),
    ],
)
def test_mistakes_end_in_one_line(finished_run, tokcom, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    done = tokcom("ask", *(word.replace("RUN", str(finished_run)) for word in arguments))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]  # transformers shows how weights are loaded where it was imported before
    assert last.startswith("error: ")
    assert expected in last
    assert not list(tmp_path.iterdir())


def test_a_clip_that_is_too_large_is_refused(asked, tmp_path, monkeypatch):
    monkeypatch.setattr("tokcom_phy.results.ask_page.MAX_CLIP_BYTES", 10)
    from tokcom_phy.utils.errors import UserError

    with pytest.raises(UserError, match="cut it shorter"):
        write_page(asked, tmp_path / "page.html")
