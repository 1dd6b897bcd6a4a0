"""What an experiment will take, before an hour is spent: a trial of everything in it, and the whole of it estimated."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.filesize import decimal
from rich.table import Table

from tokcom_phy.data.formats import (
    Caption,
    Question,
    annotated_clips,
    caption_splits,
    dataset_folders,
    load_captions,
    load_questions,
)
from tokcom_phy.data.media import find_clips
from tokcom_phy.data.prepare import SECONDS_PER_WORKER, prepare
from tokcom_phy.data.store import FILE_NAME, FeatureStore
from tokcom_phy.experiments.plan import STAGE_NAMES, STAGES, Job, plan
from tokcom_phy.experiments.run_dir import alignment_folder, checkpoint_folder, point_file
from tokcom_phy.experiments.schema import Experiment, SyntheticCorpus
from tokcom_phy.sweep.executors.local import LocalPool
from tokcom_phy.sweep.messages import Outcome, Report, Start
from tokcom_phy.sweep.preflight import check_drawable, foresee
from tokcom_phy.sweep.scheduler import run_jobs
from tokcom_phy.synthetic.corpus import synthesize
from tokcom_phy.utils.errors import UserError

STEPS = 3
"""Optimiser steps of a trial training; the first of them is not taken for a usual one."""

CLIPS = 8
"""Clips of a trial dataset that questions are asked about, at least."""

ASKED = 4
"""Questions that can surely be asked about a clip."""


@dataclass
class Step:
    """One row of the estimate: how many, seconds each [s] in one process, bytes each."""

    name: str
    count: int = 0
    seconds: float = 0.0
    disk: float = 0.0


@dataclass
class Estimate:
    """What a run will take.

    Attributes
    ----------
    steps : list of Step
        Seconds and bytes of all of a step together, the seconds in one process.
    workers : int
    jobs : float
        Until the last training or evaluation is done, some of which wait for others [s].
    start_up : float
        Until a new worker is at its first job [s].
    memory, gpu_memory : float
        Of this process and all workers together, at their peak [bytes].
    tried : int
        Trainings and points of the trial.
    took : float
        The trial's time [s].
    """

    workers: int
    steps: list[Step] = field(default_factory=list)
    jobs: float = 0.0
    start_up: float = 0.0
    memory: float = 0.0
    gpu_memory: float = 0.0
    tried: int = 0
    took: float = 0.0

    @property
    def seconds(self) -> float:
        """Time of the whole run [s]."""
        return sum(map(self.elapsed, self.steps)) + self.start_up

    def elapsed(self, step: Step) -> float:
        """Time of a step in the run [s]; trainings and evaluations, which overlap, share theirs as they do the work."""
        if step.name not in STAGE_NAMES.values():
            return step.seconds / self.workers
        return (
            self.jobs * step.seconds / sum(other.seconds for other in self.steps if other.name in STAGE_NAMES.values())
        )

    @property
    def disk(self) -> float:
        """Room that the run takes on the disk [bytes]."""
        return sum(step.disk for step in self.steps)

    def table(self) -> Table:
        """The estimate for a Rich console."""
        table = Table(title=f"Estimated from {self.tried} trial jobs in {_duration(self.took)}", title_justify="left")
        table.box = None
        for column in ("step", "number", "each", f"on {self.workers} worker{'s' if self.workers > 1 else ''}", "disk"):
            table.add_column(column, justify="left" if column == "step" else "right")
        for step in self.steps:
            each = _duration(step.seconds / step.count) if step.count else ""
            table.add_row(step.name, f"{step.count:,}", each, _duration(self.elapsed(step)), decimal(int(step.disk)))
        table.add_row("starting workers", "", "", _duration(self.start_up), "")
        table.add_row("[bold]together[/]", "", "", f"[bold]{_duration(self.seconds)}[/]", decimal(int(self.disk)))
        gpu = f", {decimal(int(self.gpu_memory))} of GPU memory" if self.gpu_memory else ""
        table.caption = f"memory: {decimal(int(self.memory))}, all processes together{gpu}"
        table.caption_justify = "left"
        return table


def validate(experiment: Experiment, run_dir: Path, workers: int) -> Estimate:
    """Try each kind of job of an experiment once, and estimate the whole run.

    All is built as in the run, of a part of the dataset; nothing is written but into a temporary folder.

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
    foresee(experiment)
    check_drawable(experiment, plan(experiment))
    with tempfile.TemporaryDirectory(prefix="tokcom-validate-") as scratch:
        folder = Path(scratch)
        root, store, questions = _dataset(experiment, run_dir, folder, estimate)
        trial, same = _trial(experiment)
        (folder / "run").mkdir()
        start = Start(trial, folder / "run", root.resolve(), store, Path.cwd())
        watch = _try(start, min(workers, 2), estimate)
        jobs = plan(experiment)
        seconds: dict[str, float] = {}
        for stage in STAGES:
            step = Step(STAGE_NAMES[stage])
            for job in (job for job in jobs if job.stage == stage):
                tried = same(job)
                units = job.units(experiment)
                step.count += units
                seconds[job.name] = watch.seconds(tried, units, questions if stage == "evaluate" else 1.0)
                step.seconds += seconds[job.name]
                size = _size(_left(folder / "run", tried))
                step.disk += size * units * questions if stage == "evaluate" else size
            if step.count:
                estimate.steps.append(step)
        estimate.jobs = makespan(jobs, seconds, workers)
    estimate.took = time.monotonic() - started
    return estimate


def makespan(jobs: Sequence[Job], seconds: Mapping[str, float], workers: int) -> float:
    """When the last job is done [s], if each takes the ``seconds`` under its name and begins as in a run: in order, on
    a free worker, after those that it needs."""
    waiting, done = list(jobs), set[str]()
    running: list[tuple[float, str]] = []
    now = 0.0
    while waiting or running:
        for job in list(waiting):
            if len(running) < workers and done.issuperset(job.needs):
                waiting.remove(job)
                heappush(running, (now + seconds[job.name], job.name))
        now, name = heappop(running)
        done.add(name)
    return now


def _dataset(
    experiment: Experiment, run_dir: Path, folder: Path, estimate: Estimate
) -> tuple[Path, Path | None, float]:
    """A part of the dataset, prepared: its root, its store, and how many times as many questions the whole test has."""
    if experiment.data.root is None:
        root, whole = _synthetic_part(experiment, run_dir, folder / "data", estimate)
    else:
        root = whole = experiment.data.root
    splits = experiment.data.splits
    corpus = experiment.data.synthetic if experiment.data.root is None else None
    tested = load_questions(root, splits.test)
    if not experiment.needs_media():
        return root, None, corpus.test_questions / len(tested) if corpus else 1.0
    there = {clip for part in dataset_folders(root) for clip in find_clips(part).keys() & set(annotated_clips(part))}
    captions, questions = _batches(experiment)
    held_out = [split for split in caption_splits(root) if experiment.keep_features and split != splits.captions]
    needed: list[tuple[Sequence[Caption | Question], int]] = [
        (load_captions(root, splits.captions) if captions else [], captions),
        (load_questions(root, splits.train), questions),
        (tested, experiment.evaluation_batch),
        *((load_captions(root, split), CLIPS) for split in held_out),
    ]
    part = {clip for items, n in needed for clip in [item.video_id for item in items if item.video_id in there][:n]}
    store = folder / "features"
    seconds = _timed(
        lambda: prepare(root, experiment.encoders, experiment.all_lengths(), store, fps=experiment.data.fps, only=part)
    )
    prepared = len(FeatureStore.open(store))
    clips = _clips(corpus) if corpus else len(there)
    if (whole / "features" / FILE_NAME).is_file():
        finished = FeatureStore.open(whole / "features")
        clips -= min(len(finished) + len(finished.skipped), clips)
    share = clips / prepared
    several = estimate.workers > 1 and seconds * share > SECONDS_PER_WORKER
    starting = estimate.workers * SECONDS_PER_WORKER if several else 0.0
    estimate.steps.append(Step("prepare features", clips, seconds * share + starting, _size(store) * share))
    asked = sum(question.video_id in part for question in tested)
    wanted = corpus.test_questions if corpus else sum(question.video_id in there for question in tested)
    return root, store, wanted / asked


def _batches(experiment: Experiment) -> tuple[int, int]:
    """Captions and questions that the largest batches of any variant take; no captions where nothing is aligned."""
    aligned = [name for name, variant in experiment.variants.items() if variant.alignment != "none"]
    return (
        max((experiment.alignment_settings(name).batch for name in aligned), default=0),
        max(experiment.finetuning_settings(name).batch for name in experiment.variants),
    )


def _clips(corpus: SyntheticCorpus) -> int:
    return corpus.captions + corpus.train_clips + corpus.test_clips


def _synthetic_part(experiment: Experiment, run_dir: Path, root: Path, estimate: Estimate) -> tuple[Path, Path]:
    """A small corpus like the experiment's, and where the whole one is or will be."""
    corpus = experiment.data.synthetic
    assert corpus is not None
    captions, questions = _batches(experiment)
    needs = {
        "captions": max(captions, 1),
        "train_clips": max(CLIPS, ceil(questions / ASKED)),
        "test_clips": CLIPS,
        "train_questions": questions,
        "test_questions": experiment.evaluation_batch,
    }
    sizes = {name: min(getattr(corpus, name), size) for name, size in needs.items()}
    seconds = _timed(lambda: synthesize(root, **{**corpus.model_dump(), **sizes}, workers=1))
    whole = run_dir.parent / "data" / f"synthetic-{corpus.digest}"
    made = len(list(root.rglob("*.mp4")))
    missing = max(_clips(corpus) - len(list(whole.rglob("*.mp4"))), 0)
    estimate.steps.append(Step("synthesise clips", missing, seconds * missing / made, _size(root) * missing / made))
    return root, whole


def _trial(experiment: Experiment) -> tuple[Experiment, Callable[[Job], Job]]:
    """The experiment with one seed, few steps and points, and one variant of each kind; and which of its jobs tells
    what a job of the whole experiment takes."""
    kinds: dict[Any, str] = {}
    represented = {}
    for name, variant in experiment.variants.items():
        alignment, finetuning = experiment.alignment_settings(name), experiment.finetuning_settings(name)
        radio = [(stage.link, stage.batch) for stage in (alignment, finetuning)]
        kind = (variant.alignment, experiment.token_lengths(name), experiment.modalities(name), variant.question, radio)
        represented[name] = kinds.setdefault(repr(kind), name)
    variants = {
        name: variant.model_copy(
            update={stage: {**getattr(variant, stage), "steps": STEPS} for stage in ("stage1", "stage2")}
        )
        for name, variant in experiment.variants.items()
        if name in represented.values()
    }
    visited: dict[tuple[str, str], int] = {}
    for job in plan(experiment):
        if job.stage == "evaluate" and job.subject in represented:
            pair = represented[job.subject], job.link
            visited[pair] = max(visited.get(pair, 0), len(job.snr_db))
    snr_db = next((series.snr_db for series in experiment.evaluate), ())
    series = tuple(
        experiment.evaluate[0].model_copy(update={"variants": (variant,), "links": (link,), "snr_db": snr_db[:2]})
        for variant, link in visited
    )
    steps = {"steps": STEPS}
    trial = experiment.model_copy(
        update={
            "seeds": experiment.seeds[:1],
            "variants": variants,
            "evaluate": series,
            "stage1": experiment.stage1.model_copy(update=steps),
            "stage2": experiment.stage2.model_copy(update=steps),
        }
    )
    tried = {(job.stage, job.variant, job.link): job for job in plan(trial)}
    aligned = {trial.alignment(job.variant): job for job in tried.values() if job.stage == "align"}

    def same(job: Job) -> Job:
        variant = represented.get(job.variant, job.variant)
        if job.stage == "align":
            return aligned[trial.alignment(variant)]
        return tried[job.stage, variant, job.link]

    return trial, same


class _Watch:
    """When each unit of each trial job was done."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.outcomes: dict[str, Outcome] = {}

    def on_report(self, report: Report) -> None:
        self.times.setdefault(report.job.name, []).append(time.monotonic())

    def on_outcome(self, outcome: Outcome) -> None:
        self.outcomes[outcome.job.name] = outcome

    def seconds(self, job: Job, units: int, scale: float) -> float:
        """What a job of so many units takes, each of them ``scale`` times what it was."""
        times = self.times[job.name]
        once = self.outcomes[job.name].seconds - (times[-1] - times[0])
        usual = median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0
        return scale * (once + (units - 1) * usual)


def _try(start: Start, workers: int, estimate: Estimate) -> _Watch:
    """Do all jobs of the trial; any that fails ends it."""
    watch = _Watch()
    jobs = plan(start.experiment)
    opened = time.monotonic()
    with LocalPool(start, workers) as pool:
        run_jobs(jobs, set(), pool, watch.on_report, watch.on_outcome)
    for outcome in watch.outcomes.values():
        for failure in outcome.failures:
            raise UserError(f"{failure.what}: {failure.why}")
    first = min(jobs, key=lambda job: watch.times[job.name][-1])
    estimate.start_up = watch.times[first.name][-1] - opened - watch.outcomes[first.name].seconds
    estimate.tried = len(jobs)
    outcomes = watch.outcomes.values()
    estimate.memory = psutil.Process().memory_info().rss + estimate.workers * max(o.memory for o in outcomes)
    estimate.gpu_memory = estimate.workers * max(o.gpu_memory for o in outcomes)
    return watch


def _left(run_dir: Path, job: Job) -> Path:
    """What a trial job left behind; of points, the first."""
    if job.stage == "evaluate":
        return point_file(run_dir, job.leaves[0])
    return (alignment_folder if job.stage == "align" else checkpoint_folder)(run_dir, job.subject, job.seed)


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
