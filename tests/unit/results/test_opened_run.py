"""A run, opened: its tables, what they are selected by, and files that are damaged in every way."""

import json
import random
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_up_runs import control_alone, made_up_run, write_inputs

from tokcom_phy.cli import execute
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.results.csv_files import write_tables
from tokcom_phy.results.points import Point, write_point
from tokcom_phy.results.report import write_report
from tokcom_phy.results.run import Run
from tokcom_phy.utils.errors import UserError

SMALL = ["evaluate=[{variants: [aligned, blind], links: [awgn, rayleigh], snr_db: [0, 10]}]"]
POINT = "points/aligned__awgn__+0dB__seed0.json"
LOSSES = "checkpoints/aligned/seed-0/losses.json"
WRITTEN_FIRST = ["config.yaml", "questions.json", "links.json", "provenance.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    write_tables(made_up_run(folder, load_experiment("quickstart", overrides=SMALL)))
    return folder


@pytest.fixture
def run_dir(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def remove(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def fill_with_text(file: Path) -> None:
    file.write_text('"text"')


def fill_with_nothing(file: Path) -> None:
    file.write_text("null")


def nest(file: Path) -> None:
    file.write_text("[" * 2000)


def fill_with_bytes(file: Path) -> None:
    file.write_bytes(bytes(range(256)))


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


WAYS = [empty, truncate, fill_with_text, fill_with_nothing, nest, fill_with_bytes, make_a_folder]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", [*WRITTEN_FIRST, POINT, LOSSES])
def test_a_damaged_file_is_named_in_one_line_with_the_mend(name, way, run_dir):
    way(run_dir / name)
    for open_it in (Run.open, lambda folder: write_report([folder])) if way is truncate else (Run.open,):
        with pytest.raises(UserError, match=re.escape(Path(name).name)) as raised:
            open_it(run_dir)
        assert "\n" not in str(raised.value)
        assert re.search(r"restore it|delete|give the --out", str(raised.value))


@pytest.mark.parametrize("name", WRITTEN_FIRST)
def test_a_file_that_points_rest_on_is_missed(name, run_dir):
    (run_dir / name).unlink()
    with pytest.raises(UserError, match=re.escape(name)):
        Run.open(run_dir)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"correct": "0110"}, "it has marks of 4 questions, 60 were asked"),
        ({"first_token_correct": ""}, "it has marks of 0 questions"),
        ({"answers": ["yes"]}, "it has marks of 1 questions"),
        ({"metrics": {"bleu": [0.5]}}, "it has marks of 1 questions"),
        ({"correct": "2" * 60}, "correct: String should match pattern"),
        ({"snr_db": "loud"}, "snr_db: Input should be a valid number"),
        ({"seed": 1}, "it holds point"),
        ({"variant": "other"}, "it holds point"),
        ({"more": 1}, "more: Unexpected"),
    ],
)
def test_a_point_that_does_not_fit_the_run_is_refused(change, fault, run_dir):
    point = json.loads((run_dir / POINT).read_text())
    (run_dir / POINT).write_text(json.dumps(point | change))
    with pytest.raises(UserError, match=rf"{re.escape(POINT)} is damaged \({re.escape(fault)}.*: delete it and run"):
        Run.open(run_dir)


@pytest.mark.parametrize("left", [0, 3])
def test_questions_that_no_point_fits_are_named_and_no_point_is_deleted(left, run_dir):
    questions = json.loads((run_dir / "questions.json").read_text())
    (run_dir / "questions.json").write_text(json.dumps(questions[:left]))
    with pytest.raises(
        UserError, match=rf"questions\.json is damaged \(it holds {left} questions, points have marks of 60\): restore"
    ):
        Run.open(run_dir)


def test_a_point_of_another_experiment_is_refused(run_dir):
    for variant, link in (("stranger", "awgn"), ("aligned", "ofdm-uma")):
        point = Point(variant, link, 0.0, 0, "1" * 60, "1" * 60, [], {}, {})
        write_point(run_dir, point)
        with pytest.raises(UserError, match=f"{re.escape(point.name)}.json is damaged .*the experiment"):
            Run.open(run_dir)
        (run_dir / "points" / f"{point.name}.json").unlink()


def test_damaged_tables_do_not_matter(run_dir):
    for name in ("results.parquet", "results.csv", "curves.csv", "differences.csv"):
        (run_dir / name).write_bytes(b"")
    assert len(Run.open(run_dir).results)


def test_a_folder_that_is_no_run_is_told_alike_by_every_command(tmp_path, capsys):
    for command in ("plot", "report"):
        assert execute([command, str(tmp_path)]) == 2
        assert "is no run directory" in capsys.readouterr().err


def test_any_damage_ends_in_one_line(whole, tmp_path):
    """A seeded fuzzer of run directories."""
    rng = random.Random(0)
    files = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file()]
    texts = [name for name in files if name.suffix in (".json", ".yaml")]
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    for _ in range(100):
        name = rng.choice(texts)
        before = (whole / name).read_bytes()
        (folder / name).write_bytes(mutated(before, rng))
        line = opened(folder)
        assert "\n" not in line
        (folder / name).write_bytes(before)


def opened(folder: Path) -> str:
    """Open a run and make its tables; the user error that this ends in, if any."""
    try:
        run = Run.open(folder)
        assert [run.curves.shape, run.differences.shape, run.final_losses.shape]
        assert all(len(run.answers(place)) == len(run.points) for place in range(min(len(run.questions), 1)))
    except UserError as error:
        return str(error)
    return ""


JUNK = [
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b'"',
    b"null",
    b"[]",
    b"{}",
    b"\xff",
    b"\x00",
    b"\\ud800",
    b"9" * 5000,
    b": ",
]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Content with one piece changed."""
    start = rng.randrange(len(content))
    end = min(start + rng.choice([1, 1, 2, 8, 64]), len(content))
    return content[:start] + rng.choice(JUNK) + content[end:]


def test_variants_are_selected_by_what_they_are(tmp_path):
    run = made_up_run(tmp_path, "on-air", finished=lambda job: False)

    def names(**fields):
        return [variant.name for variant in run.variants(**fields)]

    assert names(alignment="none", question="on-air") == ["unaligned-on-air", "blind-on-air"]
    assert names(blind=True) == ["blind-on-air", "blind"] == names(modalities={})
    assert names(alignment="reconstruction", lengths={"audio": 32}) == ["text-only-alignment-on-air"]
    assert names(modalities=["video", "audio"], alignment="contrastive") == ["aligned-on-air", "aligned"]
    assert names(lengths={"audio": 17}) == []
    assert len(names()) == 7
    with pytest.raises(UserError, match="no field 'alignement': did you mean 'alignment'"):
        run.variants(alignement="none")


def test_links_are_selected_by_their_settings_as_the_run_met_them(tmp_path):
    run = made_up_run(tmp_path, "csi", finished=control_alone)
    assert [link.name for link in run.links(csi="perfect", speed=30.0)] == ["perfect"]
    assert [link.name for link in run.links(interpolation="nearest")] == ["ls-2-pilots-nearest"]
    kept = json.loads((tmp_path / "links.json").read_text())
    kept["perfect"]["num_rx_ant"] = 32
    (tmp_path / "links.json").write_text(json.dumps(kept))
    assert [link.name for link in Run.open(tmp_path).links(num_rx_ant=32)] == ["perfect"]


def test_an_unfinished_run_has_the_tables_of_what_there_is(tmp_path):
    run = made_up_run(tmp_path, load_experiment("quickstart", overrides=SMALL), finished=control_alone)
    assert set(run.points["variant"]) == set(run.accuracy["variant"]) == {MAJORITY}
    assert run.losses.empty
    assert run.differences.empty
    assert set(run.budget.loc[run.budget["own"], "variant"]) == {"aligned", "blind"}


def test_losses_and_answers_are_tables(whole):
    run = Run.open(whole)
    of_aligned = run.losses[(run.losses["stage"] == "finetune") & (run.losses["name"] == "aligned")]
    assert of_aligned["step"].tolist() == list(range(1, 151))
    answers = run.answers(3)
    assert len(answers) == len(run.points)
    assert ((answers["answer"] == "yes") == answers["correct"])[answers["variant"] != MAJORITY].all()
    assert all(answer is None for answer in answers.loc[answers["variant"] == MAJORITY, "answer"])


def test_a_cell_that_a_spreadsheet_would_compute_is_text(tmp_path):
    experiment = load_experiment("quickstart", overrides=SMALL)
    kinds = ["=HYPERLINK(1)", "+1", "-1", "@sum", "plain"]
    write_inputs(tmp_path, experiment, kinds)
    write_point(tmp_path, Point(MAJORITY, "awgn", 0.0, 0, "01" * 30, "01" * 30, [], {}, {}))
    write_tables(Run.open(tmp_path))
    for name in ("results", "curves"):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        assert {f"'{kind}" for kind in kinds[:4]} | {"plain", "all"} == set(table["question_type"])
        assert table["value"].dtype == float


def test_the_example_in_the_documents_runs(tmp_path, monkeypatch):
    page = Path(__file__).parents[3] / "docs" / "conventions.md"
    (snippet,) = re.findall(r"^```py\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    made_up_run(tmp_path / "runs" / "quickstart", "quickstart")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "snippet", "exec"), {"__name__": "__main__"})
