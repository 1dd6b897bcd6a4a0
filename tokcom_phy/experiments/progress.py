"""What a sweep shows while it runs: points done, rate, time left, current accuracy."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tokcom_phy.experiments.plan import STAGE_NAMES, STAGES, Job
from tokcom_phy.experiments.pool import Outcome, Report
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.experiments.summary import together


class SweepProgress(Progress):
    """A bar a stage, in optimiser steps or points, over all jobs of a sweep, also those that had finished before.

    Parameters
    ----------
    jobs : all jobs of the sweep
    experiment : Experiment
    run_dir : Path
    console : Console
    """

    def __init__(self, jobs: Sequence[Job], experiment: Experiment, run_dir: Path, console: Console):
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[accuracy]}"),
            console=console,
            expand=True,
        )
        self._units = {job.name: job.units(experiment) for job in jobs}
        self._done = {job.name: job.done(run_dir, experiment) for job in jobs}
        self._bars = {}
        for stage in STAGES:
            names = [job.name for job in jobs if job.stage == stage]
            if names:
                total, done = (sum(counts[name] for name in names) for counts in (self._units, self._done))
                name = f"{STAGE_NAMES[stage]:<18}"
                self._bars[stage] = self.add_task(name, total=total, completed=done, accuracy="")

    def on_report(self, report: Report) -> None:
        self._set(report.job, report.done)
        if report.accuracy is not None:
            self.update(self._bars[report.job.stage], accuracy=f"{100 * report.accuracy:.1f} % {report.job.subject}")

    def on_outcome(self, outcome: Outcome) -> None:
        if not outcome.failures:
            self._set(outcome.job, self._units[outcome.job.name])
        for what, why in together(outcome.failures):
            self.console.print(f"[red]failed:[/] {escape(what)}: {escape(why)}", highlight=False, soft_wrap=True)

    def _set(self, job: Job, done: int) -> None:
        self.advance(self._bars[job.stage], done - self._done[job.name])
        self._done[job.name] = done


class _Rate(ProgressColumn):
    """Steps or points a second, or a minute where they take longer."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.3g}/s" if speed >= 1 else f"{60 * speed:.3g}/min", style="progress.data.speed")
