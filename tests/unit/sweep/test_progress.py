"""What a sweep shows while it runs, on a clock of its own."""

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.messages import Outcome, Report
from tokcom_phy.sweep.progress import SweepProgress
from tokcom_phy.synthetic.parallel import each


class Sweep:
    """The evaluations of an experiment, whose points take so many seconds each."""

    def __init__(self, seconds: float, run_dir: Path, terminal: bool, experiment: str = "quickstart"):
        self.now, self.seconds = 0.0, seconds
        self.experiment = load_experiment(experiment)
        self.jobs = [job for job in self.experiment.resolved().jobs if job.stage == "evaluate"]
        self.points = sum(len(job.snr_db) for job in self.jobs)
        self.file = StringIO()
        self.console = Console(file=self.file, width=80, get_time=lambda: self.now, force_terminal=terminal)
        self.progress = SweepProgress(self.jobs, run_dir, self.console)

    def do(self, job: Job) -> None:
        for done in range(1, len(job.snr_db) + 1):
            self.now += self.seconds
            self.progress.on_report(Report(job, done, 0.5))
        self.progress.on_outcome(Outcome(job, self.seconds))


def test_slow_points_have_a_rate_and_a_time_left_also_in_a_file(tmp_path):
    sweep = Sweep(120.0, tmp_path, terminal=False)
    sweep.do(sweep.jobs[0])
    lines = sweep.file.getvalue().splitlines()
    done = len(sweep.jobs[0].snr_db)
    left = timedelta(seconds=120 * (sweep.points - done))
    assert len(lines) == done
    assert lines[0] == f"evaluate: 1/{sweep.points}, 50.0 % aligned"
    assert lines[-1] == f"evaluate: {done}/{sweep.points}, 0.5/min, {left} left, 50.0 % aligned"


def test_a_file_is_not_flooded(tmp_path):
    sweep = Sweep(1.0, tmp_path, terminal=False)
    for job in sweep.jobs:
        sweep.do(job)
    assert len(sweep.file.getvalue().splitlines()) == sweep.points // 31


@pytest.mark.parametrize("seconds", [0.5, 120.0])
def test_a_terminal_of_eighty_columns_shows_all_of_it(tmp_path, seconds):
    sweep = Sweep(seconds, tmp_path, terminal=True, experiment="on-air")
    sweep.do(next(job for job in sweep.jobs if job.subject == "text-only-alignment-on-air"))
    with sweep.console.capture() as capture:
        sweep.console.print(sweep.progress)
    shown = capture.get()
    for part in ("evaluate", "8/192", "2/s" if seconds < 1 else "0.5/min", "50.0 % text"):
        assert part in shown
    assert len(shown.splitlines()) == 1


def shown(sweep: Sweep) -> str:
    with sweep.console.capture() as capture:
        sweep.console.print(sweep.progress)
    return Text.from_ansi(capture.get()).plain


def test_the_accuracy_is_that_of_a_system(tmp_path):
    sweep = Sweep(1.0, tmp_path, terminal=True)
    majority, aligned = (next(job for job in sweep.jobs if job.subject == name) for name in ("majority", "aligned"))
    sweep.progress.on_report(Report(aligned, 1, 0.75))
    sweep.progress.on_report(Report(majority, 1, 0.25))
    assert "75.0 % aligned" in shown(sweep)
    assert "25.0" not in shown(sweep)


def test_a_stage_that_waits_has_no_time_left(tmp_path):
    sweep = Sweep(1.0, tmp_path, terminal=True)
    sweep.do(sweep.jobs[0])
    left = timedelta(seconds=sweep.points - len(sweep.jobs[0].snr_db))
    assert f"left {left}" in shown(sweep)
    sweep.now += 61
    assert "left -:--:--" in shown(sweep)


def test_a_training_shows_its_loss(tmp_path):
    experiment = load_experiment("quickstart")
    console = Console(file=StringIO(), width=80, force_terminal=True)
    progress = SweepProgress(experiment.resolved().jobs, tmp_path, console)
    job = next(job for job in experiment.resolved().jobs if job.stage == "finetune")
    progress.on_report(Report(job, 3, loss=1.23456))
    with console.capture() as capture:
        console.print(progress)
    assert "loss 1.23" in capture.get()


def test_nothing_to_do_shows_no_bar(capsys):
    assert list(each(str, [], workers=1, description="making")) == []
    assert capsys.readouterr().out == ""
