"""`tokcom report` on run directories made of real settings and invented answers."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib import pyplot

from tokcom_phy.cli import execute
from tokcom_phy.experiments.loading import as_yaml, load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.results.intervals import wilson
from tokcom_phy.results.points import Point, write_point
from tokcom_phy.results.report import write_report
from tokcom_phy.utils.errors import UserError

EXPERIMENT = """\
name: small
title: "<script>document.title='run'</script> & answers"
profile: tiny
variants:
  aligned: {alignment: contrastive}
  blind: {alignment: none, modalities: []}
evaluate:
  - {variants: [aligned, blind], links: [awgn, ofdm-tdl-c], snr_db: [-5, 20]}
figures: [accuracy_vs_snr]
"""
ANSWERS = {"aligned": "1111110000", "blind": "1000000000", MAJORITY: "1100000000"}
QUESTIONS = [
    {
        "video_id": "v",
        "question_id": number,
        "type": "Audio/Counting" if number < 5 else "Visual/<img src=x>",
        "question": "How <b>many</b>?",
        "answer": "two & three",
    }
    for number in range(10)
]


class Page(HTMLParser):
    """A page's tags, texts by tag, and tables as {caption: {heading: [cells]}}."""

    def __init__(self, file: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts[tag][-1] += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data + " "

    def rows(self, heading: str) -> list[list[str]]:
        return [row for table in self.tables for row in table if row[0].strip() == heading]


def make_run(folder: Path, settings: str = EXPERIMENT, without: tuple[str, ...] = ()) -> Path:
    """A run directory of ten questions; ``without`` are points left out."""
    folder.mkdir(parents=True)
    (folder / "given.yaml").write_text(settings)
    experiment = load_experiment(str(folder / "given.yaml"))
    (folder / "given.yaml").unlink()
    (folder / "config.yaml").write_text(as_yaml(experiment))
    (folder / "questions.json").write_text(json.dumps(QUESTIONS))
    links = {name: experiment.resolved().links[name].settings() for name in experiment.resolved().links}
    (folder / "links.json").write_text(json.dumps(links))
    (folder / "provenance.json").write_text(
        json.dumps({"command": "tokcom run small --set a='<x>'", "versions": {"torch": "2.13.0"}, "seeds": [0]})
    )
    for variant, correct in ANSWERS.items():
        for link in experiment.resolved().evaluated_links:
            for snr_db in (-5.0, 20.0):
                heard = {"audio": -snr_db, "video": -snr_db} if variant == "aligned" else {}
                answers = ["two"] * len(correct)
                point = Point(variant, link, snr_db, 0, correct, correct, answers, heard, dict.fromkeys(heard, snr_db))
                if point.name not in without:
                    write_point(folder, point)
    (folder / "logs").mkdir()
    (folder / "logs" / "seconds.json").write_text(json.dumps({"evaluate": 3.0, "stage 1: align": 1.0}))
    figure, axis = pyplot.subplots()
    axis.plot([0, 1])
    (folder / "figures").mkdir()
    figure.savefig(folder / "figures" / "accuracy_vs_snr.png")
    pyplot.close(figure)
    return folder


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="module")
def page_file(run_dir, tmp_path_factory):
    return write_report([run_dir], tmp_path_factory.mktemp("page") / "page.html")


def test_the_page_shows_the_numbers(page_file):
    page = Page(page_file)
    low, high = wilson(6, 10)
    accuracy = f"60.0 {100 * low:.1f}–{100 * high:.1f}"
    assert [[cell.strip() for cell in row] for row in page.rows("aligned")[:2]] == [["aligned", accuracy, accuracy]] * 2
    over_blind = page.rows("aligned − blind")[0]
    assert over_blind[1].startswith("+50.0 ")
    by_type = page.rows("aligned")[2]
    assert by_type[1].startswith("100.0 ")
    assert by_type[2].startswith("20.0 ")
    assert page.rows("effective SNR, audio")[0][1:] == ["−5.0 ", "20.0 "]
    assert page.rows("token NMSE, video")[0][1:] == ["5.0 ", "−20.0 "]
    uses = 2 * 32 * 128 // 2  # two modalities, 32 tokens of 128 values, two values a symbol
    assert page.rows("awgn, tokens")[0][1].strip() == f"{uses:,}"
    assert page.rows("evaluate")[0][1:] == ["3.0 ", "75 "]
    assert page.rows("num_rx_ant")[1][1].strip() == "8"
    assert page.rows("torch")[0][1].strip() == "2.13.0"
    text = "".join(page.texts["body"])
    assert "unfinished" not in text
    assert "tokcom run small --set a='<x>'" in text


def test_the_page_stands_alone_and_escapes_what_others_wrote(page_file):
    page = Page(page_file)
    assert not page.open
    assert {"iframe", "object", "b"}.isdisjoint(tag for tag, _ in page.tags)
    assert all("src" not in attributes for tag, attributes in page.tags if tag == "script")
    assert page.texts["h1"] == ["<script>document.title='run'</script> & answers"]
    assert {"Figures", "Budget of one question", "Links as they were", "Settings", "Provenance"} <= set(
        page.texts["h3"]
    )
    assert page.rows("Visual/<img src=x>")[0][2:] == ["How <b>many</b>? ", "two & three "]
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for tag, attributes in page.tags:
        for key in ("src", "href", "srcset", "action", "data"):
            target = attributes.get(key) or "data:"
            assert target.startswith("data:") or target[1:] in anchors, (tag, target)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 1
    assert "Answer accuracy against SNR" in images[0]["alt"]
    assert pyplot.imread(io.BytesIO(base64.b64decode(images[0]["src"].split(",")[1]))).shape[0] > 100
    assert not re.search(r"url\(|@import|https?://", "".join(page.texts["style"]))


def test_an_unfinished_run_says_what_is_missing(tmp_path):
    run_dir = make_run(tmp_path / "half", without=("aligned__awgn__-5dB__seed0", "blind__awgn__+20dB__seed0"))
    page = Page(write_report([run_dir]))
    text = "".join(page.texts["body"])
    assert "This run is unfinished: 2 of 12 points are missing." in text
    assert "aligned over awgn, seed 0: −5 dB" in page.texts["li"]
    assert page.rows("aligned")[0][1:2] == ["– "]


def test_a_run_without_any_point_has_a_page(tmp_path):
    run_dir = make_run(tmp_path / "begun")
    for name in ("points", "figures", "logs"):
        shutil.rmtree(run_dir / name)
    for name in ("links.json", "questions.json", "provenance.json"):
        (run_dir / name).unlink()
    text = "".join(Page(write_report([run_dir])).texts["body"])
    assert "12 of 12 points are missing" in text
    assert "There are none yet" in text
    assert "has not written down its links" in text


def test_several_runs_share_a_page_with_contents(run_dir, tmp_path):
    other = make_run(tmp_path / "other", EXPERIMENT.replace("& answers", "again"))
    page = Page(write_report([run_dir, other], tmp_path / "both.html"))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a" and "run-" in (attributes["href"] or "")]
    assert links[:2] == ["#run-1", "#run-2"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert len(page.texts["h1"]) == 1
    assert len(page.texts["h2"]) == 2


def test_mistakes_are_told_in_one_line(run_dir, tmp_path, capsys):
    assert execute(["report", str(tmp_path)]) == 2
    assert "is no run directory" in capsys.readouterr().err
    assert execute(["report", str(run_dir), "--out", str(tmp_path / "page.pdf")]) == 2
    assert "name an .html file" in capsys.readouterr().err
    damaged = make_run(tmp_path / "damaged")
    (damaged / "links.json").write_text("{")
    with pytest.raises(UserError, match=r"links\.json is damaged"):
        write_report([damaged])
    (damaged / "config.yaml").write_text("name: [")
    with pytest.raises(UserError, match=r"config\.yaml is not valid YAML"):
        write_report([damaged])


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_the_page(page_file, tmp_path, width):
    """In chromium: nothing on the console, no request, every figure decoded, nothing wider than the window."""

    def browse(page: Path, *what: str) -> subprocess.CompletedProcess[str]:
        offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-features=NetworkTimeServiceQuerying"]
        headless = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--window-size={width},900",
        ]
        command = ["chromium", *headless, *offline, f"--user-data-dir={tmp_path / 'browser'}", *what, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    shown = browse(page_file, "--dump-dom", f"--screenshot={tmp_path / 'page.png'}")
    assert "CONSOLE" not in shown.stderr
    assert "Provenance</h3>" in shown.stdout
    assert pyplot.imread(tmp_path / "page.png").std() > 0.01

    html = page_file.read_text(encoding="utf-8")
    policy = re.search(r'<meta http-equiv="Content-Security-Policy".*?>', html)
    assert policy
    probe = """<script>onload = () => document.body.dataset.probe = [
        document.images.length,
        [...document.images].filter(image => image.naturalWidth > 100).length,
        performance.getEntriesByType("resource").filter(entry => !entry.name.startsWith("data:")).length,
        document.documentElement.scrollWidth <= innerWidth]</script>"""
    probed = tmp_path / "probed.html"
    probed.write_text(html.replace(policy[0], probe), encoding="utf-8")
    assert 'data-probe="1,1,0,true"' in browse(probed, "--dump-dom").stdout
