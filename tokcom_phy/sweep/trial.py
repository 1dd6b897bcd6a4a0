"""A trial of everything in an experiment, before an hour is spent: the command ``tokcom validate``."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil

from tokcom_phy.experiments.plan import STAGE_NAMES, STAGES, Job
from tokcom_phy.experiments.resolve import ResolvedVariant
from tokcom_phy.experiments.run_dir import point_file
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.sweep.estimate import Estimate, Step, makespan, size_on_disk
from tokcom_phy.sweep.executors.local import LocalExecutor
from tokcom_phy.sweep.messages import Outcome, Report, Start
from tokcom_phy.sweep.preflight import check_drawable, check_experiment
from tokcom_phy.sweep.scheduler import run_jobs
from tokcom_phy.sweep.trial_data import trial_dataset
from tokcom_phy.utils.errors import UserError

STEPS = 3
"""Optimiser steps of a trial training; the first of them takes longer than the others."""

POINTS = 2
"""SNRs of a trial evaluation."""


def validate(experiment: Experiment, run_dir: Path, workers: int) -> Estimate:
    """Try each kind of job of an experiment once, and estimate the whole run.

    Everything is built as in the run, from a part of the dataset; only a temporary folder is written.

    Parameters
    ----------
    experiment : Experiment
    run_dir : Path
        Where the run is going to be; clips and features that it will find there need not be made.
    workers : int

    Raises
    ------
    UserError
        For whatever would stop the run: settings, models, data or links that do not fit, jobs that fail.
    """
    estimate = Estimate(workers)
    started = time.monotonic()
    check_experiment(experiment)
    jobs = experiment.resolved().jobs
    check_drawable(jobs)
    tried = trial_jobs(jobs)
    with tempfile.TemporaryDirectory(prefix="tokcom-validate-") as scratch:
        folder = Path(scratch)
        root, store, questions = trial_dataset(experiment, run_dir, folder, estimate)
        (folder / "run").mkdir()
        start = Start(experiment, folder / "run", root.resolve(), store, Path.cwd())
        stopwatch = _try(
            list({trial.name: trial for trial in tried.values()}.values()), start, min(workers, 2), estimate
        )
        seconds: dict[str, float] = {}
        for stage in STAGES:
            step = Step(STAGE_NAMES[stage])
            scale = questions if stage == "evaluate" else 1.0
            for job in (job for job in jobs if job.stage == stage):
                trial = tried[job.name]
                step.count += job.units
                seconds[job.name] = stopwatch.seconds(trial, job.units, scale)
                step.seconds += seconds[job.name]
                size = size_on_disk(_left_behind(folder / "run", trial))
                step.disk += size * job.units * scale if stage == "evaluate" else size
            if step.count:
                estimate.steps.append(step)
        estimate.jobs = makespan(jobs, seconds, workers)
    estimate.took = time.monotonic() - started
    return estimate


def trial_jobs(jobs: Sequence[Job]) -> dict[str, Job]:
    """Name of each job → the trial job that tells how long it takes: of the first seed, of the first variant of its
    kind, with few steps or points."""
    representatives: dict[str, ResolvedVariant] = {}
    for job in jobs:
        if job.variant is not None:
            representatives.setdefault(_kind(job.variant), _shortened(job.variant))
    trials: dict[tuple[str, str, str], Job] = {}
    found = {}
    for job in jobs:
        variant = representatives[_kind(job.variant)] if job.variant else None
        subject = job.subject
        if variant is not None:
            subject = str(variant.alignment_run) if job.stage == "align" else variant.name
        trial = Job(job.stage, subject, jobs[0].seed, job.link, variant, job.snr_db[:POINTS])
        found[job.name] = trials.setdefault((job.stage, subject, job.link.name), trial)
    names = {name: trial.name for name, trial in found.items()}
    needs = {trial.name: tuple(names[need] for need in job.needs) for job in jobs for trial in [found[job.name]]}
    return {name: replace(trial, needs=needs[trial.name]) for name, trial in found.items()}


def _kind(variant: ResolvedVariant) -> str:
    """What the time of a variant's jobs depends on."""
    stages = [(stage.link, stage.batch) for stage in (variant.stage1, variant.stage2)]
    return repr((variant.alignment, variant.lengths, variant.modalities, variant.question, variant.components, stages))


def _shortened(variant: ResolvedVariant) -> ResolvedVariant:
    steps = {"steps": STEPS}
    stage1, stage2 = variant.stage1.model_copy(update=steps), variant.stage2.model_copy(update=steps)
    return replace(variant, stage1=stage1, stage2=stage2)


class _Stopwatch:
    """When each unit of each trial job was done."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.outcomes: dict[str, Outcome] = {}

    def on_report(self, report: Report) -> None:
        self.times.setdefault(report.job.name, []).append(time.monotonic())

    def on_outcome(self, outcome: Outcome) -> None:
        self.outcomes[outcome.job.name] = outcome

    def seconds(self, job: Job, units: int, scale: float) -> float:
        """Time of a job of so many units [s], each of which takes ``scale`` times as long as in the trial."""
        times = self.times[job.name]
        once = self.outcomes[job.name].seconds - (times[-1] - times[0])
        usual = median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0
        return scale * (once + (units - 1) * usual)


def _try(jobs: Sequence[Job], start: Start, workers: int, estimate: Estimate) -> _Stopwatch:
    """Execute the trial jobs; one that fails ends the trial."""
    stopwatch = _Stopwatch()
    opened = time.monotonic()
    with LocalExecutor(start, workers) as executor:
        run_jobs(jobs, set(), executor, stopwatch.on_report, stopwatch.on_outcome)
    for outcome in stopwatch.outcomes.values():
        for failure in outcome.failures:
            raise UserError(f"{failure.what}: {failure.why}")
    first = min(jobs, key=lambda job: stopwatch.times[job.name][-1])
    estimate.start_up = stopwatch.times[first.name][-1] - opened - stopwatch.outcomes[first.name].seconds
    estimate.tried = len(jobs)
    outcomes = stopwatch.outcomes.values()
    estimate.memory = psutil.Process().memory_info().rss + estimate.workers * max(o.memory for o in outcomes)
    estimate.gpu_memory = estimate.workers * max(o.gpu_memory for o in outcomes)
    return stopwatch


def _left_behind(run_dir: Path, job: Job) -> Path:
    """What a trial job left behind; of points, the first."""
    return point_file(run_dir, job.outputs[0]) if job.stage == "evaluate" else job.folder(run_dir)
