"""The command line: what it offers, how light it starts, and how it answers mistakes."""

import os
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from unittest import mock

import pytest
import yaml
from made_up_runs import made_up_run

from tokcom_phy.cli import execute
from tokcom_phy.experiments.catalogue import KINDS
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.profiles import PROFILES
from tokcom_phy.results.figures import FORMATS
from tokcom_phy.results.styles import STYLES
from tokcom_phy.utils.errors import UserError

COMMANDS = [
    "list",
    "copy",
    "run",
    "ask",
    "map",
    "validate",
    "plot",
    "report",
    "links",
    "budget",
    "data",
    "align",
    "finetune",
    "evaluate",
    "pretrain",
    "doctor",
]
TOKCOM = [sys.executable, "-c", "from tokcom_phy.cli import main; main()"]


def error_line(capsys, *arguments):
    """Run a command that is to fail by the user's mistake; return the one line it prints."""
    assert execute(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


def test_help_lists_every_command(capsys):
    assert execute([]) == 0
    help_text = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command} " in help_text


@pytest.mark.parametrize("command", [*COMMANDS, "data synthesize", "data prepare", "data check", "links show"])
def test_each_command_has_help(capsys, command):
    assert execute([*command.split(), "--help"]) == 0
    assert f"tokcom {command}" in capsys.readouterr().out


def test_a_synthesised_corpus_is_by_default_the_tiny_profiles(tmp_path):
    with mock.patch("tokcom_phy.synthetic.corpus.synthesize", autospec=True) as synthesize:
        assert execute(["data", "synthesize", str(tmp_path)]) == 0
    assert synthesize.call_args == mock.call(tmp_path, **PROFILES["tiny"]["data"]["synthetic"], workers=None)


@pytest.mark.parametrize(
    ("command", "until"), [("run", "evaluate"), ("align", "align"), ("finetune", "finetune"), ("evaluate", "evaluate")]
)
def test_what_runs_an_experiment_hands_all_options_on(command, until):
    opened = mock.Mock()
    opened.open.return_value.experiment.allocation = None
    with (
        mock.patch("tokcom_phy.sweep.allocate.run", autospec=True) as run,
        mock.patch("tokcom_phy.sweep.allocate.Run", opened),
    ):
        options = "--profile tiny --out there --set a=b --workers 2 --ray auto --gpus-per-task 0.5 --fresh"
        assert execute([command, "mine.yaml", *options.split()]) == 0
    given = {"profile": "tiny", "out": Path("there"), "overrides": ["a=b"], "workers": 2, "ray": "auto"}
    given |= {"gpus_per_task": 0.5, "fresh": True}
    assert run.call_args.args == ("mine.yaml",)
    assert {"until": "evaluate", **run.call_args.kwargs} == {**given, "until": until}


def test_help_names_every_choice(capsys):
    told = {"plot": (*STYLES, *FORMATS), "run": PROFILES, "list": KINDS, "evaluate": ["dB"], "allocate": ["Hz", "dBm"]}
    for command, choices in told.items():
        assert execute([command, "--help"]) == 0
        words = re.findall(r"\w+", capsys.readouterr().out)
        assert set(choices) <= set(words), command


def test_version(capsys):
    assert execute(["--version"]) == 0
    assert metadata.version("tokcom-phy") in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["links"], ["list"]])
def test_help_and_the_list_of_links_import_no_heavy_library(arguments):
    code = f"import sys; from tokcom_phy.cli import execute; execute({arguments}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "sionna", "pandas", "datasets"} & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rum", "quickstart"], "Did you mean 'run'?"),
        (["run", "quickstart", "--profil", "tiny"], "--profile"),
        (["run"], "tokcom run --help"),
        (["data"], "tokcom data --help"),
        (["run", "quickstart", "--workers", "0"], "--workers"),
        (["run", "quickstar"], "did you mean 'quickstart'"),
        (["run", "missing.yaml"], "missing.yaml"),
        (["run", "quickstart", "--profile", "tinny"], "did you mean 'tiny'?"),
        (["run", "quickstart", "--set", "stage2.step=3"], "did you mean 'steps'"),
        (["run", "quickstart", "--set", "stage2.steps"], "KEY=VALUE"),
        (["run", "quickstart", "--set", "stage2.link=awgm"], "did you mean 'awgn'"),
        (["run", "quickstart", "--set", "stage2.snr_db=.nan"], "finite"),
        (["links", "show", "rayleig"], "did you mean 'rayleigh"),
        (["links", "show", "rayleigh", "--plot", "rayleigh.txt"], ".png"),
        (["links", "show", "ofdm-tdl-c", "--set", "sped=30"], "did you mean 'speed'"),
        (["links", "show", "ofdm-tdl-c", "--set", "speed"], "KEY=VALUE"),
        (["links", "show", "digital-awgn", "--set", "over.coherense=3"], "did you mean 'coherence'"),
        (["budget", "quickstar"], "did you mean 'quickstart'"),
        (["ask", "--system", "quickstart"], "--system runs/quickstart:aligned"),
        (["ask", "--snr", "nan"], "--snr: nan is not within -100 to 100"),
        (["ask"], "tokcom run quickstart makes one"),
        (["plot", "nowhere"], "nowhere"),
        (["data", "check", "nowhere"], "nowhere"),
    ],
)
def test_mistake_ends_in_one_line(capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in error_line(capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["plot"], ["report"], ["data", "check"], ["run", "quickstart", "--out"]])
@pytest.mark.parametrize(
    ("name", "word"),
    [("x" * 300, "too long"), ("loop", "loop"), ("file/inside", "file")],
    ids=["long", "loop", "in file"],
)
def test_a_path_that_cannot_be_is_named(capsys, tmp_path, command, name, word):
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    (tmp_path / "file").touch()
    assert execute([*command, str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert word in line


@pytest.mark.parametrize("snr_db", ["nan", "1e9"])
def test_a_trained_variant_is_not_evaluated_at_an_snr_that_is_none(capsys, tmp_path, snr_db):
    overrides = ["evaluate=[{variants: [aligned], links: [awgn], snr_db: [0]}]"]
    made_up_run(tmp_path / "run", load_experiment("quickstart", overrides=overrides))
    line = error_line(capsys, "evaluate", f"{tmp_path / 'run'}:aligned", "--link", "awgn", "--snr", snr_db)
    assert "is not within -100 to 100" in line


def test_output_that_cannot_be_written_is_named(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert execute(["links", "show", "awgn", "--plot", str(tmp_path / "file" / "awgn.png")]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot write {tmp_path / 'file' / 'awgn.png'}: ")


def test_debug_shows_the_traceback():
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        execute(["run", "quickstar", "--debug"])


def test_interrupted_command_says_that_it_continues(tmp_path):
    arguments = ["data", "synthesize", str(tmp_path), "--captions", "200", "--workers", "1"]
    process = subprocess.Popen(
        [*TOKCOM, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where a shell runs tests behind `&`
    )
    deadline = time.monotonic() + 180
    while not list(tmp_path.rglob("*.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted: the same command continues where this one stopped"
    assert "Traceback" not in errors


def test_links_are_listed(capsys):
    assert execute(["links"]) == 0
    listed = capsys.readouterr().out
    for name in ("awgn", "rayleigh", "ofdm-tdl-c"):
        assert name in listed


def test_settings_of_a_link_can_be_set(capsys):
    changes = ["over.users=[near, far]", "over.speed=30", "bits=1", "modulation=16-QAM"]
    assert execute(["links", "show", "digital-ofdm-tdl-c", *(x for c in changes for x in ("--set", c))]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["bits"], shown["modulation"]) == (1, "16-QAM")
    assert (shown["over"]["users"], shown["over"]["speed"]) == (["near", "far"], 30.0)
    assert shown["over"]["channel"] == "TDL-C"


def test_link_is_drawn(capsys, tmp_path):
    assert execute(["links", "show", "rayleigh", "--plot", str(tmp_path / "rayleigh.png")]) == 0
    assert (tmp_path / "rayleigh.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_commands_work_where_the_locale_has_no_unicode(tmp_path):
    """One process for all of them; what cannot be written is a question mark, in files nothing is."""
    evaluated = "evaluate=[{variants: [aligned, blind], links: [awgn], snr_db: [0, 10]}]"
    overrides = ["title=Müll", "figures=[accuracy_vs_snr]", evaluated]
    made_up_run(tmp_path / "run", load_experiment("quickstart", overrides=overrides))
    code = (
        "import sys; from tokcom_phy.cli import main\n"
        "for words in sys.argv[1:]:\n    sys.argv[1:] = words.split()\n"
        "    try: main()\n    except SystemExit as end: assert not end.code, words"
    )
    commands = ["links", "doctor", f"plot {tmp_path / 'run'}", f"report {tmp_path / 'run'}"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, *commands], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "Müll" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_doctor_finds_this_installation_sound():
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([*TOKCOM, "doctor"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout
    assert metadata.version("sionna") in done.stdout


def test_doctor_fits_eighty_columns():
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run([*TOKCOM, "doctor"], capture_output=True, text=True, env=environment, check=False)
    assert max(map(len, done.stdout.splitlines())) <= 80
