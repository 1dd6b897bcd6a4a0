"""From an experiment's name to its run directory: data, training, evaluation, tables and figures."""

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from tokcom_phy.data.encode import CODE as FEATURES_CODE
from tokcom_phy.data.formats import load_questions
from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import STAGE_NAMES, STAGES, Job, Stage
from tokcom_phy.experiments.run_dir import DATA, LINKS, QUESTIONS, point_file
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.results.console import differences_table, losses_table, results_table
from tokcom_phy.results.csv_files import write_tables
from tokcom_phy.results.figures import draw_figures
from tokcom_phy.results.run import Run
from tokcom_phy.sweep.clock import Clock
from tokcom_phy.sweep.executors.choice import OpenExecutor, choose_executor
from tokcom_phy.sweep.executors.distributed import is_rank_0, launched, shutdown, worker_loop
from tokcom_phy.sweep.failures import failures_table, time_table
from tokcom_phy.sweep.messages import Failure, Outcome, Start
from tokcom_phy.sweep.opening import locked, open_run, write_inputs
from tokcom_phy.sweep.preflight import check_drawable, check_experiment, stored_lengths
from tokcom_phy.sweep.progress import SweepProgress
from tokcom_phy.sweep.scheduler import run_jobs
from tokcom_phy.synthetic import CODE as CORPUS_CODE
from tokcom_phy.synthetic.corpus import synthesize
from tokcom_phy.utils.errors import UserError


def run(
    experiment: str | Experiment,
    *,
    profile: str | None = None,
    out: Path | None = None,
    overrides: list[str] | None = None,
    workers: int | None = None,
    ray: str | None = None,
    gpus_per_task: float | None = None,
    fresh: bool = False,
    until: Stage = "evaluate",
) -> Path:
    """Run an experiment, or what is left of it, and draw its figures.

    Parameters
    ----------
    experiment : name of a built-in experiment, path of a YAML file, or an Experiment
    profile : 'tiny' or 'paper'; the experiment's own by default
    out : run directory; ``runs/NAME`` by default
    overrides : ``a.b=c`` settings
    workers : processes; one a core, at most four, by default; with ``ray`` as many as the cluster has room for
    ray : address of a Ray cluster that executes the jobs, or 'auto', see `tokcom_phy.sweep.executors.ray`
    gpus_per_task : with ``ray``, GPUs or fraction of one that a worker takes; 1 by default where the cluster has GPUs
    fresh : delete what an earlier run left in the run directory
    until : the last stage to run

    Returns
    -------
    Path
        The run directory.

    Raises
    ------
    UserError
        For settings that do not fit, data that is missing, a run directory of another configuration or that cannot be
        written, and when jobs failed.
    """
    settings = experiment if isinstance(experiment, Experiment) else load_experiment(experiment, profile, overrides)
    run_dir = Path(os.path.relpath(os.path.realpath(out or Path("runs") / settings.name)))
    check_experiment(settings)
    jobs = [job for job in settings.resolved().jobs if STAGES.index(job.stage) <= STAGES.index(until)]
    check_drawable(jobs if fresh else _unfinished(jobs, run_dir))
    num_processes = workers or min(os.cpu_count() or 1, 4)
    open_executor = choose_executor(num_processes, workers, ray, gpus_per_task)
    if launched() and not is_rank_0():
        worker_loop()
        return run_dir
    with shutdown(), locked(run_dir):
        open_run(run_dir, settings, fresh)
        _run(settings, run_dir, jobs, num_processes, open_executor, with_results=until == "evaluate")
    return run_dir


def _run(
    experiment: Experiment,
    run_dir: Path,
    jobs: Sequence[Job],
    num_processes: int,
    open_executor: OpenExecutor,
    with_results: bool,
) -> None:
    console, clock = Console(), Clock(run_dir)
    console.print(
        f"[bold]{escape(experiment.title)}[/] · profile {experiment.profile} · {escape(str(run_dir))}", soft_wrap=True
    )
    failures: list[Failure] = []
    if _unfinished(jobs, run_dir) or not all((run_dir / name).is_file() for name in (DATA, LINKS, QUESTIONS)):
        start = _prepare(experiment, run_dir, num_processes, clock, console)
        failures = _run_jobs(jobs, start, open_executor, clock, console)
    if with_results:
        with clock.step("tables and figures"):
            try:
                _write_results(run_dir, console)
            except UserError as error:
                failures.append(Failure("tables and figures", str(error)))
    console.print(time_table(clock.seconds))
    if failures:
        console.print(failures_table(failures))
        wanted = sum(len(job.outputs) for job in jobs) + with_results
        raise UserError(
            f"{len(failures)} missing of {wanted} trainings, points and tables, the first: {failures[0].what} "
            f"({failures[0].why}); traces are in {run_dir / 'logs'}; the same command tries them again"
        )


def _write_results(run_dir: Path, console: Console) -> None:
    """Write the tables, print them, and draw the figures of the points that there are."""
    opened = Run.open(run_dir)
    write_tables(opened)
    if len(opened.points):
        console.print(results_table(opened))
        console.print(differences_table(opened))
    else:
        console.print(losses_table(opened))
    for figure in draw_figures(opened, own=True):
        console.print(f"figure: {figure}", markup=False, soft_wrap=True)


def _prepare(experiment: Experiment, run_dir: Path, num_processes: int, clock: Clock, console: Console) -> Start:
    """Get ready what the jobs take: clips, features, questions and links."""
    resolved = experiment.resolved()
    codes = {
        "code_of_corpus": CORPUS_CODE if experiment.data.root is None else None,
        "code_of_features": FEATURES_CODE if resolved.needs_media else None,
    }
    write_inputs(run_dir / DATA, codes, resting=("points", "checkpoints"))
    root = experiment.data.root or _synthesize(experiment, run_dir, num_processes, clock, console)
    store = None
    if resolved.needs_media:
        with clock.step("prepare features"):
            store = prepare(
                root,
                experiment.encoders,
                stored_lengths(experiment),
                workers=num_processes,
                fps=experiment.data.fps,
                audio_windows=experiment.data.audio_windows,
            )
    questions = _questions(root, experiment.data.splits.test, store)
    write_inputs(run_dir / QUESTIONS, questions)
    write_inputs(run_dir / LINKS, {name: resolved.links[name].settings() for name in sorted(resolved.links)})
    return Start(experiment, run_dir.resolve(), root.resolve(), store.resolve() if store else None, Path.cwd())


def _synthesize(experiment: Experiment, run_dir: Path, num_processes: int, clock: Clock, console: Console) -> Path:
    corpus = experiment.data.synthetic
    assert corpus is not None
    root = corpus.folder(run_dir)
    outdated = corpus.outdated_folders(run_dir)
    if outdated and not root.exists():
        console.print(
            f"{outdated[-1]} was made by another version of the code that synthesises: the clips are made anew in "
            f"{root}",
            markup=False,
            soft_wrap=True,
        )
    with clock.step("synthesise clips"):
        synthesize(root, **corpus.model_dump(), workers=num_processes)
    return root


def _questions(root: Path, split: str, store: Path | None) -> list[dict[str, Any]]:
    """What is asked, in order: the questions whose clip has features."""
    questions = load_questions(root, split)
    if store:
        prepared = set(FeatureStore.open(store).video_ids)
        questions = [q for q in questions if q.video_id in prepared]
    return [
        {
            "video_id": q.video_id,
            "question_id": q.question_id,
            "type": "/".join(q.type),
            "question": q.text,
            "answer": q.answer,
        }
        for q in questions
    ]


def _unfinished(jobs: Sequence[Job], run_dir: Path) -> list[Job]:
    return [job for job in jobs if job.done(run_dir) < job.units]


def _run_jobs(
    jobs: Sequence[Job], start: Start, open_executor: OpenExecutor, clock: Clock, console: Console
) -> list[Failure]:
    """Run the jobs that have not finished; returns what is missing."""
    run_dir = start.run_dir
    left = _unfinished(jobs, run_dir)
    if not left:
        return []
    failures: list[Failure] = []
    seconds: defaultdict[Stage, float] = defaultdict(float)

    def on_outcome(outcome: Outcome) -> None:
        lacking = [failure for failure in outcome.failures if not point_file(run_dir, failure.what).is_file()]
        outcome = replace(outcome, failures=tuple(lacking))
        progress.on_outcome(outcome)
        seconds[outcome.job.stage] += outcome.seconds
        failures.extend(outcome.failures)
        for failure in outcome.failures:
            failure.log(run_dir / "logs")

    finished = {job.name for job in jobs} - {job.name for job in left}
    started = time.monotonic()
    with SweepProgress(jobs, run_dir, console) as progress, open_executor(start) as executor:
        try:
            run_jobs(left, finished, executor, progress.on_report, on_outcome)
        finally:
            busy = sum(seconds.values()) or 1.0
            elapsed = time.monotonic() - started
            for stage in STAGES:
                if stage in seconds:
                    clock.add(STAGE_NAMES[stage], elapsed * seconds[stage] / busy)
    return failures
