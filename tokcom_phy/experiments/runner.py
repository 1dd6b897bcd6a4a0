"""From an experiment's name to its run directory: data, training, evaluation, tables and figures."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tokcom_phy.data.formats import load_questions
from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.errors import UserError
from tokcom_phy.experiments.budget import tabulate_budgets
from tokcom_phy.experiments.figures import draw_figures
from tokcom_phy.experiments.plan import STAGES, Job, Stage, plan
from tokcom_phy.experiments.pool import Outcome, run_jobs
from tokcom_phy.experiments.results import read_points, tabulate_differences, write_tables
from tokcom_phy.experiments.schema import MAJORITY, Experiment, as_yaml, load_experiment
from tokcom_phy.experiments.summary import differences_table, results_table, time_table
from tokcom_phy.files import write_atomically
from tokcom_phy.foundation import find_foundation
from tokcom_phy.synthetic.corpus import synthesize

_STAGE_NAMES = {"align": "stage 1: align", "finetune": "stage 2: fine-tune", "evaluate": "evaluate"}
_VERSIONS = ("tokcom-phy", "torch", "sionna", "transformers", "peft", "datasets", "accelerate", "av", "numpy")


def run(
    experiment: str,
    *,
    profile: str | None = None,
    out: Path | None = None,
    overrides: list[str] | None = None,
    workers: int | None = None,
    fresh: bool = False,
    until: Stage = "evaluate",
) -> Path:
    """Run an experiment, or what is left of it, and draw its figures.

    Parameters
    ----------
    experiment : name of a built-in experiment, or path of a YAML file
    profile : 'tiny' or 'paper'; the experiment's own by default
    out : run directory; ``runs/NAME`` by default
    overrides : ``a.b=c`` settings
    workers : processes; one a core, at most four, by default
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
    settings = load_experiment(experiment, profile, overrides)
    run_dir = out or Path("runs") / settings.name
    workers = workers or min(os.cpu_count() or 1, 4)
    links = _read_links(settings)
    find_foundation(settings.foundation)
    with _locked(run_dir):
        _open_run(run_dir, settings, fresh)
        return _run(settings, run_dir, links, workers, until)


def _run(settings: Experiment, run_dir: Path, links: dict[str, dict[str, object]], workers: int, until: Stage) -> Path:
    console = Console()
    clock = Clock(run_dir)
    console.print(f"[bold]{settings.title}[/] · profile {settings.profile} · {workers} workers · {run_dir}")

    root = settings.data.root or _synthesize(settings, run_dir, workers, clock)
    store = None
    if settings.needs_media():
        with clock.step("prepare features"):
            store = prepare(root, settings.encoders, settings.all_lengths(), workers=workers, fps=settings.data.fps)
    asked = _write_questions(run_dir, root, settings.data.splits.test, store)
    _keep(run_dir / "links.json", links)

    jobs = [job for job in plan(settings) if STAGES.index(job.stage) <= STAGES.index(until)]
    failures = _run_jobs(jobs, settings, run_dir, root, store, workers, clock, console)
    if until == "evaluate":
        with clock.step("tables and figures"):
            points = read_points(run_dir)
            costs = tabulate_budgets(settings, [question["question"] for question in asked])
            write_tables(run_dir, settings, points, [question["type"] for question in asked], costs)
            figures = draw_figures(run_dir)
        if points:
            console.print(results_table(points, settings.evaluated_links(), [*settings.variants, MAJORITY]))
            console.print(differences_table(tabulate_differences(settings, points)))
        for figure in figures:
            console.print(f"figure: {figure}")
    console.print(time_table(clock.seconds))
    if failures:
        missing = "; ".join(f"{outcome.job.name} ({outcome.error})" for outcome in failures[:3])
        raise UserError(
            f"{len(failures)} of {len(jobs)} jobs are missing: {missing}; traces are in {run_dir / 'logs'}; run the "
            "same command to try them again"
        )
    return run_dir


class Clock:
    """Adds up where the time of a run goes, however often it was interrupted, in ``logs/seconds.json``."""

    def __init__(self, run_dir: Path):
        self.path = run_dir / "logs" / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self.path.read_text()) if self.path.is_file() else {}

    def add(self, step: str, seconds: float) -> None:
        self.seconds[step] = self.seconds.get(step, 0.0) + seconds
        with write_atomically(self.path) as path:
            path.write_text(json.dumps(self.seconds, indent=2) + "\n")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)


def _open_run(run_dir: Path, settings: Experiment, fresh: bool) -> None:
    """Make the run directory, or make sure that the one there is of these settings."""
    kept = run_dir / "config.yaml"
    ours = (run_dir / "provenance.json").is_file()
    if not ours and run_dir.is_dir() and any(not path.name.startswith(".") for path in run_dir.iterdir()):
        raise UserError(f"{run_dir} holds files of something else: choose another --out")
    if fresh and ours:
        old = run_dir.with_name(f".{run_dir.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        run_dir.rename(old)
        shutil.rmtree(old)
    text = as_yaml(settings)
    begun = any((run_dir / part).is_dir() for part in ("points", "checkpoints"))
    if begun and (difference := _difference(yaml.safe_load(kept.read_text()), yaml.safe_load(text))):
        raise UserError(
            f"{run_dir} holds a run of another configuration: {difference}; choose another --out, or --fresh to "
            "start anew"
        )
    if not begun:
        with write_atomically(run_dir / "provenance.json") as path:
            path.write_text(json.dumps(_provenance(settings), indent=2) + "\n")
        with write_atomically(kept) as path:
            path.write_text(text, encoding="utf-8")


@contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Keep a second run out of the directory."""
    lock = FileLock(run_dir.parent / f".{run_dir.name}.lock")
    try:
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another run works in {run_dir}: wait for it, or choose another --out") from None
    except OSError as error:
        raise UserError(f"cannot write {run_dir}: {error.strerror}; choose a folder you may write to") from error
    try:
        yield
    finally:
        lock.release()


def _read_links(settings: Experiment) -> dict[str, dict[str, object]]:
    """What every link of the experiment is; a fault in a link file is found here."""
    return {name: settings.link_config(name).model_dump(mode="json") for name in sorted(settings.all_links())}


def _difference(before: object, now: object, key: str = "") -> str:
    """The first setting in which two configurations differ, in words; empty when they are the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            if found := _difference(before.get(name), now.get(name), f"{key}.{name}" if key else name):
                return found
        return ""
    return "" if before == now else f"{key} is {before} there and {now} now"


def _provenance(settings: Experiment) -> dict[str, object]:
    return {
        "command": " ".join(["tokcom", *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: version(name) for name in _VERSIONS},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "git_revision": _git_revision(),
        "seeds": settings.seeds,
    }


def _git_revision() -> str | None:
    """The checkout's commit; None for an installed wheel, or where there is no git."""
    if not shutil.which("git"):
        return None
    command = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def _synthesize(settings: Experiment, run_dir: Path, workers: int, clock: Clock) -> Path:
    corpus = settings.data.synthetic
    assert corpus is not None
    root = run_dir.parent / "data" / f"synthetic-{corpus.digest}"
    with clock.step("synthesise clips"):
        synthesize(root, **corpus.model_dump(), workers=workers)
    return root


def _write_questions(run_dir: Path, root: Path, split: str, store: Path | None) -> list[dict[str, Any]]:
    """Write down which questions are asked, in which order, and return that."""
    questions = load_questions(root, split)
    if store:
        have = set(FeatureStore.open(store).video_ids)
        questions = [q for q in questions if q.video_id in have]
    asked = [
        {
            "video_id": q.video_id,
            "question_id": q.question_id,
            "type": "/".join(q.type),
            "question": q.text,
            "answer": q.answer,
        }
        for q in questions
    ]
    _keep(run_dir / "questions.json", asked)
    return asked


def _keep(file: Path, content: object) -> None:
    """Write down what a run's points rest on; a run that has points keeps to it.

    Raises
    ------
    UserError
        If the run has points that rest on something else.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if file.is_file() and file.read_text(encoding="utf-8") != text and (file.parent / "points").is_dir():
        raise UserError(
            f"{file} has changed since this run began: restore what it was made from, or start anew with --fresh"
        )
    with write_atomically(file) as path:
        path.write_text(text, encoding="utf-8")


def _run_jobs(
    jobs: list[Job],
    settings: Experiment,
    run_dir: Path,
    root: Path,
    store: Path | None,
    workers: int,
    clock: Clock,
    console: Console,
) -> list[Outcome]:
    """Run the jobs that have not finished; returns those that failed."""
    finished = {job.name for job in jobs if job.finished(run_dir)}
    left = [job for job in jobs if job.name not in finished]
    if not left:
        return []
    failures: list[Outcome] = []
    seconds: defaultdict[str, float] = defaultdict(float)
    with Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        bars = {
            stage: progress.add_task(
                _STAGE_NAMES[stage], total=sum(job.units(settings) for job in left if job.stage == stage)
            )
            for stage in STAGES
            if any(job.stage == stage for job in left)
        }
        stages = {job.name: job.stage for job in left}

        def on_progress(name: str, units: int) -> None:
            progress.advance(bars[stages[name]], units)

        def on_outcome(outcome: Outcome) -> None:
            seconds[outcome.job.stage] += outcome.seconds
            if outcome.error:
                failures.append(outcome)
                progress.console.print(f"[red]failed:[/] {outcome.job.name}: {outcome.error}")
                with write_atomically(run_dir / "logs" / f"{outcome.job.name.replace(' ', '_')}.txt") as path:
                    path.write_text(outcome.trace or outcome.error)

        started = time.monotonic()
        try:
            run_jobs(left, finished, (settings, run_dir, root, store), workers, on_progress, on_outcome)
        finally:
            busy = sum(seconds.values()) or 1.0
            elapsed = time.monotonic() - started
            for stage, spent in seconds.items():
                clock.add(_STAGE_NAMES[stage], elapsed * spent / busy)
    return failures
