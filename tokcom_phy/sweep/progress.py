"""What a sweep shows while it runs: points done, rate, time left, the last loss or accuracy."""

from collections.abc import Sequence
from datetime import timedelta
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
)
from rich.table import Column
from rich.text import Text

from tokcom_phy.experiments.plan import MAJORITY, STAGE_NAMES, STAGES, Job
from tokcom_phy.sweep.failures import together
from tokcom_phy.sweep.messages import Outcome, Report

_WINDOW = 3600.0
"""Rates are taken over so long [s]: a point of thousands of questions takes minutes."""

_WAITING = 60.0
"""A stage that has not moved for so long, and for five of its units, waits for another one [s]."""

_SILENCE = 30.0
"""Where there is no terminal, a line is written every so often [s]."""


class SweepProgress(Progress):
    """A bar a stage, in optimiser steps or points, over all jobs of a sweep, also those that had finished before.

    Into a file or a pipe, where bars cannot move, it writes a line now and then.

    Parameters
    ----------
    jobs : all jobs of the sweep
    run_dir : Path
    console : Console
    """

    def __init__(self, jobs: Sequence[Job], run_dir: Path, console: Console):
        whole = Column(no_wrap=True)
        super().__init__(
            TextColumn("{task.description}", table_column=whole),
            BarColumn(bar_width=None),
            MofNCompleteColumn(table_column=whole),
            _Rate(table_column=whole),
            TimeElapsedColumn(table_column=whole),
            TextColumn("left", table_column=whole),
            _TimeLeft(table_column=whole),
            _Latest(),
            console=console,
            expand=True,
            speed_estimate_period=_WINDOW,
        )
        self._written = self.get_time()
        self._units = {job.name: job.units for job in jobs}
        self._done = {job.name: job.done(run_dir) for job in jobs}
        self._bars = {}
        for stage in STAGES:
            names = [job.name for job in jobs if job.stage == stage]
            if names:
                total, done = (sum(counts[name] for name in names) for counts in (self._units, self._done))
                name = f"{STAGE_NAMES[stage]:<18}"
                self._bars[stage] = self.add_task(name, total=total, completed=done, latest="")

    def on_report(self, report: Report) -> None:
        if report.accuracy is not None and report.job.subject != MAJORITY:
            self.update(self._bars[report.job.stage], latest=f"{100 * report.accuracy:.1f} % {report.job.subject}")
        if report.loss is not None:
            self.update(self._bars[report.job.stage], latest=f"loss {report.loss:.3g} {report.job.subject}")
        self._set(report.job, report.done)

    def on_outcome(self, outcome: Outcome) -> None:
        if not outcome.failures:
            self._set(outcome.job, self._units[outcome.job.name])
        for what, why in together(outcome.failures):
            self.console.print(f"[red]failed:[/] {escape(what)}: {escape(why)}", highlight=False, soft_wrap=True)

    def _set(self, job: Job, done: int) -> None:
        if done != self._done[job.name]:
            self.update(self._bars[job.stage], advance=done - self._done[job.name], moved=self.get_time())
        self._done[job.name] = done
        if not self.console.is_terminal and self.get_time() - self._written > _SILENCE:
            self._written = self.get_time()
            self._write(next(task for task in self.tasks if task.id == self._bars[job.stage]))

    def _write(self, task: Task) -> None:
        seconds = _seconds_left(task)
        left = "" if seconds is None else f"{timedelta(seconds=int(seconds))} left"
        parts = [f"{task.completed:g}/{task.total:g}", str(_Rate().render(task)), left, task.fields["latest"]]
        line = f"{task.description.rstrip()}: {', '.join(part for part in parts if part)}"
        self.console.print(line, highlight=False, soft_wrap=True)


class _Latest(ProgressColumn):
    """Accuracy of the last point or loss of the last step; where there is little room, the variant's name is cut."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["latest"], no_wrap=True, overflow="ellipsis")


class _TimeLeft(ProgressColumn):
    """Time left of a stage at its rate so far; none while it waits for another one."""

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text("0:00:00", style="progress.remaining")
        seconds = _seconds_left(task)
        words = "-:--:--" if seconds is None else str(timedelta(seconds=int(seconds)))
        return Text(words, style="progress.remaining")


def _seconds_left(task: Task) -> float | None:
    """Units left over the rate [s]; unknown once nothing has come for five times as long as a unit takes."""
    if not task.speed or task.stop_time is not None:
        return None
    since = task.get_time() - task.fields.get("moved", task.get_time())
    return task.remaining / task.speed if task.remaining and since <= max(_WAITING, 5 / task.speed) else None


class _Rate(ProgressColumn):
    """Steps or points a second, or a minute where they take longer."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.3g}/s" if speed >= 1 else f"{60 * speed:.3g}/min", style="progress.data.speed")
