"""What a run directory refuses to be mixed with."""

import io
import json
import re
from unittest import mock

import pytest
from annotation_files import write_annotations
from rich.console import Console

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.sweep import run as module
from tokcom_phy.sweep.clock import Clock
from tokcom_phy.sweep.opening import locked, open_run, write_inputs
from tokcom_phy.sweep.run import run
from tokcom_phy.synthetic import CODE
from tokcom_phy.utils.errors import UserError

QUICKSTART_STEPS = load_experiment("quickstart").stage2.steps


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("stage2.steps=7", f"stage2.steps is {QUICKSTART_STEPS} there and 7 now"),
        ("stage1.temperature=0.13", "stage1.temperature is 0.07 there and 0.13 now"),
        ("stage2.snr_db=[0,10]", r"stage2.snr_db is 10.0 there and \[0.0, 10.0\] now"),
        ("seeds=[0,1]", r"seeds is \[0\] there and \[0, 1\] now"),
        ("seeds=[3]", "seeds.0 is 0 there and 3 now"),
        ("threads=2", "threads is 1 there and 2 now"),
        ("threads=null", "threads is 1 there and null now"),
        ("lengths.video=8", "lengths.video is 32 there and 8 now"),
        ("stage1.link=rayleigh", 'stage1.link is "awgn" there and "rayleigh" now'),
        ("variants.deaf.alignment=none", "variants.deaf is null there and"),
        ("data.synthetic.seed=1", "data.synthetic.seed is 0 there and 1 now"),
        ("title=Another", 'title is "Answers over the air" there and "Another" now'),
    ],
)
def test_another_configuration_is_refused_by_the_setting_that_differs(tmp_path, override, difference):
    run_dir = tmp_path / "run"
    open_run(run_dir, load_experiment("quickstart"), fresh=False)
    (run_dir / "points").mkdir()
    changed = load_experiment("quickstart", overrides=[override])
    with pytest.raises(UserError, match=difference):
        open_run(run_dir, changed, fresh=False)
    open_run(run_dir, load_experiment("quickstart"), fresh=False)
    open_run(run_dir, changed, fresh=True)
    assert not (run_dir / "points").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file/run", "cannot write .*file/run: .*; choose a folder you may write to"),
        ("file", "file is no folder: choose another --out"),
        ("/proc/run", "cannot write /proc/run: .*; choose a folder you may write to"),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, out, message):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=message) as raised:
        run("quickstart", out=tmp_path / out)
    assert "\n" not in str(raised.value)


def test_a_second_run_in_a_directory_is_refused(tmp_path):
    with locked(tmp_path / "run"), pytest.raises(UserError, match=r"another run works in .*run: wait for it"):
        run("quickstart", out=tmp_path / "run")


def test_what_a_refused_run_leaves_behind_does_not_stand_in_the_way_of_the_corrected_one(tmp_path):
    write_annotations(tmp_path)
    root = [f"data.root={tmp_path}", "stage1.batch=40"]
    for settings in (root, [*root, "stage2.steps=7"]):
        with pytest.raises(UserError, match=r"none of the .* clips in .* can be used"):
            run("quickstart", out=tmp_path / "run", overrides=settings)
        assert (tmp_path / "run" / "config.yaml").is_file()


@pytest.mark.parametrize("fresh", [False, True])
def test_files_of_others_are_neither_deleted_nor_mixed_with(tmp_path, fresh):
    run_dir = tmp_path / "run"
    open_run(run_dir, load_experiment("quickstart"), fresh=False)
    for name in (".git/HEAD", ".ssh/id", "points/.notes.json.swp", "notes.txt"):
        (run_dir / name).parent.mkdir(exist_ok=True)
        (run_dir / name).write_text("mine")
    open_run(run_dir, load_experiment("quickstart"), fresh=fresh)
    kept = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    assert {".git/HEAD", ".ssh/id", "notes.txt", "config.yaml", "provenance.json"} <= kept
    assert ("points/.notes.json.swp" in kept) == (not fresh)


@pytest.mark.parametrize("mark", ['{"builder": "a"}', "[]", '{"command": "make"}', "<?xml?>"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_mark_of_another_programs_is_none(tmp_path, mark, fresh):
    """Others write a provenance.json too."""
    (tmp_path / "provenance.json").write_text(mark)
    (tmp_path / "data.json").write_text("mine")
    with pytest.raises(UserError, match="holds files of something else"):
        open_run(tmp_path, load_experiment("quickstart"), fresh)
    assert (tmp_path / "data.json").read_text() == "mine"


@pytest.mark.parametrize("kept", [0, 5, 20, 60])
def test_a_run_whose_mark_broke_off_can_be_begun_anew(tmp_path, kept):
    run_dir = tmp_path / "run"
    open_run(run_dir, load_experiment("quickstart"), fresh=False)
    mark = run_dir / "provenance.json"
    mark.write_bytes(mark.read_bytes()[:kept])
    open_run(run_dir, load_experiment("quickstart"), fresh=True)
    assert json.loads(mark.read_text())["command"].startswith("tokcom")


def test_a_folder_with_nothing_but_dot_files_is_not_taken(tmp_path):
    (tmp_path / ".git").mkdir()
    with pytest.raises(UserError, match="holds files of something else"):
        open_run(tmp_path, load_experiment("quickstart"), fresh=False)


def test_a_symbolic_link_does_not_get_around_the_lock(tmp_path):
    (tmp_path / "real" / "run").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run").symlink_to(tmp_path / "real" / "run")
    with locked(tmp_path / "real" / "run"), pytest.raises(UserError, match="another run works in"):
        run("quickstart", out=tmp_path / "other" / "run")


def test_gpus_of_a_worker_are_whole_or_a_fraction_of_one(tmp_path):
    with pytest.raises(UserError, match=r"--gpus-per-task 1\.5: give a whole number, or a fraction"):
        run("quickstart", out=tmp_path / "run", ray="auto", gpus_per_task=1.5)


def test_what_points_rest_on_is_kept(tmp_path):
    file = tmp_path / "links.json"
    write_inputs(file, {"awgn": {"fading": "none", "users": ["a"]}})
    write_inputs(file, {"awgn": {"fading": "none", "users": ["b"]}})
    (tmp_path / "points").mkdir()
    write_inputs(file, {"awgn": {"fading": "none", "users": ["b"]}})
    with pytest.raises(
        UserError, match=r'links.json has changed since this run began: awgn.users.0 is "b" there and "c"'
    ):
        write_inputs(file, {"awgn": {"fading": "none", "users": ["c"]}})
    assert json.loads(file.read_text())["awgn"]["users"] == ["b"]


def test_trainings_keep_to_the_code_that_made_their_data(tmp_path, monkeypatch):
    """With a training begun, a run is not continued on data that other code makes."""
    (tmp_path / "data").mkdir()
    write_annotations(tmp_path / "data")
    settings = [f"data.root={tmp_path / 'data'}", "stage1.batch=40"]
    with pytest.raises(UserError, match=r"none of the .* clips in .* can be used"):
        run("quickstart", out=tmp_path / "run", overrides=settings)
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"none of the .* clips in .* can be used"):
        run("quickstart", out=tmp_path / "run", overrides=settings)
    monkeypatch.setattr(module, "FEATURES_CODE", "another")
    with pytest.raises(UserError, match=r'data.json has changed .*: code_of_features is ".*" there and "another"'):
        run("quickstart", out=tmp_path / "run", overrides=settings)


def test_a_corpus_that_other_code_made_lies_beside_and_is_told_of(tmp_path):
    settings = load_experiment("quickstart")
    corpus = settings.data.synthetic
    folder = corpus.folder(tmp_path / "run")
    assert corpus.outdated_folders(tmp_path / "run") == []
    old = folder.with_name(folder.name.replace(CODE[:8], "01234567"))
    other = corpus.model_copy(update={"seed": 1}).folder(tmp_path / "run")
    for path in (folder, old, other):
        path.mkdir(parents=True)
    assert corpus.outdated_folders(tmp_path / "run") == [old]
    folder.rmdir()
    console = Console(file=io.StringIO(), width=80)
    with mock.patch.object(module, "synthesize") as synthesize:
        assert module._synthesize(settings, tmp_path / "run", 1, Clock(tmp_path / "run"), console) == folder
    assert synthesize.call_args.args == (folder,)
    assert f"{old} was made by another version of the code" in console.file.getvalue()


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    run_dir = tmp_path / "run"
    open_run(run_dir, load_experiment("quickstart"), fresh=False)
    (run_dir / "points").mkdir()
    (run_dir / "points" / ".tokcom-a__awgn.x1.json").write_text('{"variant"')
    (run_dir / "points" / "a__awgn.json").write_text("{}")
    (run_dir / "checkpoints" / "a" / ".tokcom-seed-0.x1" / "seed-0").mkdir(parents=True)
    (run_dir / "checkpoints" / "a" / ".tokcom-seed-0.unfinished" / "checkpoint-100").mkdir(parents=True)
    open_run(run_dir, load_experiment("quickstart"), fresh=False)
    assert [path.name for path in (run_dir / "points").iterdir()] == ["a__awgn.json"]
    assert [path.name for path in (run_dir / "checkpoints" / "a").iterdir()] == [".tokcom-seed-0.unfinished"]
    assert (run_dir / "checkpoints" / "a" / ".tokcom-seed-0.unfinished" / "checkpoint-100").is_dir()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9", "127.0.0.1", "nowhere.invalid:6379", "127.0.0.1:99999", "ray://127.0.0.1:9"]
)
def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path, address):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=f"{re.escape(address)}: .*HOST:PORT of its head, or auto"):
        run("quickstart", out=tmp_path / "run", ray=address)
