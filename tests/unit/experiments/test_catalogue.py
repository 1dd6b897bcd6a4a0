"""The list of what comes with the toolkit, and copies of it to edit."""

import contextlib
import io
import os
import shutil
from runpy import run_path

import pytest
import yaml
from rich.console import Console

from tokcom_phy.cli import execute
from tokcom_phy.experiments.catalogue import KINDS, about, list_builtins
from tokcom_phy.experiments.copying import copy_recipe
from tokcom_phy.experiments.loading import as_recipe, load_experiment
from tokcom_phy.radio.link_config import read_config
from tokcom_phy.sweep.preflight import check_experiment
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import builtin_folder, builtin_names, find

EXAMPLES = builtin_folder("links").parent / "examples"

NEEDED = {"music-avqa-text": ["data.root=DIR"]}


def listed(width: int) -> str:
    printed = io.StringIO()
    console = Console(file=printed, width=width)
    for table in list_builtins():
        console.print(table)
    return printed.getvalue()


def test_every_built_in_is_listed_with_its_line():
    words = listed(400)
    for folder in KINDS.values():
        for name in builtin_names(folder):
            assert f" {name} " in words
            assert about(find(folder, name)) in words
            assert about(find(folder, name))


@pytest.mark.parametrize("width", [60, 80])
def test_the_list_fits_a_terminal_and_cuts_no_name(width):
    lines = listed(width).splitlines()
    assert max(map(len, lines)) <= width
    assert all(any(line.strip().startswith(name) for line in lines) for name in builtin_names("links"))


def test_what_a_file_says_of_itself_is_without_its_command():
    assert about(find("experiments", "fig3")).endswith("aligned and unaligned")
    assert about(find("links", "awgn")) == "White Gaussian noise, every user on channel uses of its own"
    assert about(find("plots", "users")).startswith("Answer accuracy against the number of users")


def test_an_unknown_kind_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'figures'"):
        list_builtins("figure")


@pytest.mark.parametrize("name", ["fig3", "quickstart-seeds", "music-avqa-text", "users"])
def test_a_copied_experiment_is_the_same_under_its_own_name(name, tmp_path):
    target = tmp_path / "my copy.yaml"
    assert copy_recipe(name, target) == "experiments"
    overrides = NEEDED.get(name)
    copied, original = load_experiment(str(target), overrides=overrides), load_experiment(name, overrides=overrides)
    assert copied.name == "my-copy"
    assert copied == original.model_copy(update={"name": "my-copy"})
    first, second = target.read_text().splitlines()[:2]
    assert first.endswith(f"Run: tokcom run '{target}'")
    assert os.path.isfile(second.partition("$schema=")[2])


@pytest.mark.parametrize("name", builtin_names("links"))
def test_a_copied_link_is_the_same(name, tmp_path):
    target = tmp_path / "link.yaml"
    assert copy_recipe(name, target) == "links"
    assert read_config(target, {})[1] == read_config(name, {})[1]
    assert target.read_text().splitlines()[0].endswith(f"see it with: tokcom links show {target}")


def test_comments_stay(tmp_path):
    copy_recipe("fig3", tmp_path / "my.yaml")
    assert "# y + n, the paper's channel" in (tmp_path / "my.yaml").read_text()


def test_a_copied_figure_draws_the_same(tmp_path):
    assert copy_recipe("fig3", tmp_path / "my.py") == "plots"
    assert run_path(str(tmp_path / "my.py"))["BEST_ACCURACY"] == run_path(str(find("plots", "fig3")))["BEST_ACCURACY"]


def test_own_parts_are_found_from_the_copy(tmp_path):
    copy_recipe(str(EXAMPLES / "transformer_receiver.yaml"), tmp_path / "mine.yaml")
    check_experiment(load_experiment(str(tmp_path / "mine.yaml")))


def test_files_that_a_link_names_are_found_from_the_copy(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "base.yaml").write_text("# Base, with two: one.\nfamily: flat\nfading: none\n")
    (tmp_path / "a b" / "own.yaml").write_text("# Own\nextends: base.yaml # a base\nsnr_offset_db: {audio: -3}\n")
    over = "family: digital\nover: {extends: base.yaml, users: [audio]}\n"
    (tmp_path / "a b" / "digital.yaml").write_text(over)
    shutil.copy(EXAMPLES / "phase_jumps.py", tmp_path / "a b")
    (tmp_path / "a b" / "jumps.yaml").write_text("_target_: phase_jumps.PhaseJumps\nprobability: 0.5\nstd_deg: 3\n")
    for name in ("own", "digital", "jumps"):
        assert copy_recipe(str(tmp_path / "a b" / f"{name}.yaml"), tmp_path / f"{name}.yaml") == "links"
        copied = read_config(tmp_path / f"{name}.yaml", {})[1].model_dump()
        original = read_config(tmp_path / "a b" / f"{name}.yaml", {})[1].model_dump()
        assert {**copied, "description": ""} == {**original, "description": ""}


def test_an_experiment_of_ones_own_is_copied_with_what_it_extends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first.yaml").write_text("# First\nextends: quickstart\nname: first\nseeds: [3]\n")
    (tmp_path / "second.yaml").write_text(
        "extends: first.yaml\nlinks: {far: {extends: awgn, snr_offset_db: {audio: -9}}}\n"
    )
    assert copy_recipe("second.yaml", tmp_path / "third.yaml") == "experiments"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    copied = load_experiment(str(tmp_path / "third.yaml"))
    assert (copied.name, copied.seeds) == ("third", (3,))
    assert yaml.safe_load((tmp_path / "third.yaml").read_text())["extends"] == str(tmp_path / "first.yaml")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["copy", "fig4", "my.yaml"], "did you mean 'fig3'"),
        (["copy", "fig4", "my.py"], "did you mean 'fig3'"),
        (["copy", "fig3", "there.yaml"], "there.yaml exists"),
        (["copy", "fig3", "my.txt"], ".yaml file for an experiment"),
        (["copy", "fig3", "folder"], ".yaml file for an experiment"),
        (["copy", "missing.yaml", "my.yaml"], "missing.yaml"),
        (["copy", "bad.yaml", "my.yaml"], "bad.yaml is not valid YAML"),
        (["list", "figs"], "did you mean 'figures'"),
    ],
)
def test_mistakes_end_in_one_line_and_write_nothing(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.yaml").write_text("kept")
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "folder").mkdir()
    assert execute(arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert expected in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "folder", "there.yaml"]
    assert (tmp_path / "there.yaml").read_text() == "kept"


OVERRIDES = [[], ["encoders.video=null"], ["data.root=/nowhere", "data.synthetic=null"], ["grid={speed: [1, 3]}"]]


@pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda words: words[0] if words else "none")
def test_a_dry_run_prints_the_resolved_experiment_which_loads_again(overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = ["experiment.yaml"]
    links = "{links: [ofdm-tdl-c], variants: [aligned], snr_db: [0]}"
    (tmp_path / "experiment.yaml").write_text(
        f"extends: quickstart\nvariants: {{aligned: {{alignment: contrastive}}}}\nevaluate: [{links}]\n"
    )
    options = [word for override in overrides for word in ("--set", override)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert execute(["run", *experiment, *options, "--dry-run"]) == 0
    (tmp_path / "resolved.yaml").write_text(printed.getvalue())
    assert load_experiment("resolved.yaml") == load_experiment("experiment.yaml", overrides=overrides)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiment.yaml", "resolved.yaml"]


@pytest.mark.parametrize("profile", ["tiny", "paper"])
@pytest.mark.parametrize("name", ["robustness", "temperature", "tsne", "music-avqa-text"])
def test_a_resolved_experiment_loads_again(name, profile, tmp_path):
    overrides = ["data.root=DIR"] if profile == "paper" else NEEDED.get(name)
    experiment = load_experiment(name, profile, overrides)
    (tmp_path / "resolved.yaml").write_text(as_recipe(experiment))
    assert load_experiment(str(tmp_path / "resolved.yaml")) == experiment


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tokcom run qui", ["quickstart", "quickstart-seeds"]),
        ("tokcom links show rayleigh-m", ["rayleigh-mimo"]),
        ("tokcom copy near", ["near-far"]),
        ("tokcom run quickstart --profile p", ["paper"]),
        ("tokcom evaluate run:a --link digital-o", ["digital-ofdm-tdl-c"]),
        ("tokcom list l", ["links"]),
    ],
)
def test_a_shell_completes_names(words, expected, monkeypatch, capsys):
    count = len(words.split()) - 1
    for name, value in {"_TOKCOM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        execute([])
    assert list(dict.fromkeys(capsys.readouterr().out.split())) == expected
