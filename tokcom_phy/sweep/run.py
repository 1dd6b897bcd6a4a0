"""From an experiment's name to its run directory: data, training, evaluation, tables and figures."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import yaml
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from tokcom_phy.data.formats import load_questions
from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.experiments.plan import STAGE_NAMES, STAGES, Job, Stage, plan
from tokcom_phy.experiments.run_dir import UNFINISHED, point_file
from tokcom_phy.experiments.schema import MAJORITY, Experiment, as_yaml, load_experiment
from tokcom_phy.results.budget import tabulate_budgets
from tokcom_phy.results.console import differences_table, losses_table, results_table
from tokcom_phy.results.figures import draw_figures
from tokcom_phy.results.tables import read_points, tabulate_differences, tabulate_losses, write_tables
from tokcom_phy.sweep.executors.distributed import JointPool, dismissal, follow, launched, leads
from tokcom_phy.sweep.executors.local import LocalPool
from tokcom_phy.sweep.failures import failures_table, time_table
from tokcom_phy.sweep.messages import Failure, Outcome, Start
from tokcom_phy.sweep.preflight import check_drawable, foresee
from tokcom_phy.sweep.progress import SweepProgress
from tokcom_phy.sweep.scheduler import Pool, run_jobs
from tokcom_phy.synthetic.corpus import synthesize
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import cannot_write, write_atomically

_VERSIONS = ("tokcom-phy", "torch", "sionna", "transformers", "peft", "datasets", "accelerate", "av", "numpy")


def run(
    experiment: str,
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
    experiment : name of a built-in experiment, or path of a YAML file
    profile : 'tiny' or 'paper'; the experiment's own by default
    out : run directory; ``runs/NAME`` by default
    overrides : ``a.b=c`` settings
    workers : processes; one a core, at most four, by default; with ``ray`` as many as the cluster has room for
    ray : address of a Ray cluster that does the jobs, or 'auto', see `tokcom_phy.sweep.executors.ray`; none by default
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
    settings = load_experiment(experiment, profile, overrides)
    run_dir = Path(os.path.abspath(out)) if out and out.name in ("", "..") else out or Path("runs") / settings.name
    here = workers or min(os.cpu_count() or 1, 4)
    links = _read_links(settings)
    foresee(settings)
    jobs = [job for job in plan(settings) if STAGES.index(job.stage) <= STAGES.index(until)]
    check_drawable(settings, jobs if fresh else _unfinished(jobs, run_dir, settings))
    open_pool = _pools(here, workers, ray, gpus_per_task)
    if launched() and not leads():
        follow()
        return run_dir
    with dismissal(), _locked(run_dir):
        _open_run(run_dir, settings, fresh)
        _run(settings, run_dir, jobs, links, here, open_pool, until)
    return run_dir


def _pools(here: int, workers: int | None, ray: str | None, gpus_per_task: float | None) -> Callable[[Start], Pool]:
    """What opens the pool that does the jobs; a cluster that is not there is found here."""
    if launched():
        if ray is not None:
            raise UserError("--ray runs jobs beside each other, accelerate launch trains one on all processes: use one")
        return JointPool
    if ray is None:
        if gpus_per_task is not None:
            raise UserError("--gpus-per-task is for a Ray cluster: name one by --ray ADDRESS")
        return partial(LocalPool, workers=here)
    if gpus_per_task and gpus_per_task > 1 and gpus_per_task % 1:
        raise UserError(f"--gpus-per-task {gpus_per_task:g}: give a whole number, or a fraction of one GPU")
    try:
        from tokcom_phy.sweep.executors.ray import RayPool, join
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError("Ray is not installed: pip install 'tokcom-phy[ray]'") from error
    join(ray)
    return partial(RayPool, workers=workers, gpus_per_task=gpus_per_task)


def _run(
    settings: Experiment,
    run_dir: Path,
    jobs: list[Job],
    links: dict[str, dict[str, object]],
    workers: int,
    open_pool: Callable[[Start], Pool],
    until: Stage,
) -> Path:
    console = Console()
    clock = Clock(run_dir)
    console.print(
        f"[bold]{escape(settings.title)}[/] · profile {settings.profile} · {escape(str(run_dir))}", soft_wrap=True
    )

    root = settings.data.root or _synthesize(settings, run_dir, workers, clock)
    store = None
    if settings.needs_media():
        with clock.step("prepare features"):
            store = prepare(root, settings.encoders, settings.all_lengths(), workers=workers, fps=settings.data.fps)
    asked = _write_questions(run_dir, root, settings.data.splits.test, store)
    _keep(run_dir / "links.json", links)

    start = Start(settings, run_dir.resolve(), root.resolve(), store.resolve() if store else None, Path.cwd())
    failures = _run_jobs(jobs, start, open_pool, clock, console)
    if until == "evaluate":
        with clock.step("tables and figures"):
            try:
                _draw(settings, run_dir, asked, console)
            except UserError as error:
                failures.append(Failure("tables and figures", str(error)))
    console.print(time_table(clock.seconds))
    if failures:
        console.print(failures_table(failures))
        wanted = sum(len(job.leaves) for job in jobs) + (until == "evaluate")
        raise UserError(
            f"{len(failures)} missing of {wanted} trainings, points and tables, the first: {failures[0].what} "
            f"({failures[0].why}); traces are in {run_dir / 'logs'}; the same command tries them again"
        )
    return run_dir


def _draw(settings: Experiment, run_dir: Path, asked: list[dict[str, Any]], console: Console) -> None:
    """Write the tables and draw the figures of the points that there are."""
    points = read_points(run_dir)
    costs = tabulate_budgets(settings, [question["question"] for question in asked])
    write_tables(run_dir, settings, points, [question["type"] for question in asked], costs)
    if points:
        console.print(results_table(points, settings.evaluated_links(), [*settings.variants, MAJORITY]))
        console.print(differences_table(tabulate_differences(settings, points)))
    else:
        console.print(losses_table(tabulate_losses(settings, run_dir)))
    for figure in draw_figures(run_dir):
        console.print(f"figure: {figure}", markup=False, soft_wrap=True)


class Clock:
    """Adds up where the time of a run goes, however often it was interrupted, in ``logs/seconds.json``."""

    def __init__(self, run_dir: Path):
        self.path = run_dir / "logs" / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self.path.read_text()) if self.path.is_file() else {}

    def add(self, step: str, seconds: float) -> None:
        """Add to a step's time; where the disk is full, only the table at the end of this run knows of it."""
        self.seconds[step] = self.seconds.get(step, 0.0) + seconds
        with suppress(UserError), write_atomically(self.path) as path:
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
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"{run_dir} is no folder: choose another --out")
    kept = run_dir / "config.yaml"
    ours = (run_dir / "provenance.json").is_file()
    if not ours and run_dir.is_dir() and any(not path.name.startswith(".") for path in run_dir.iterdir()):
        raise UserError(f"{run_dir} holds files of something else: choose another --out")
    if fresh and ours:
        if Path.cwd().is_relative_to(run_dir.resolve()):
            raise UserError(f"--fresh would delete {run_dir}, in which you are: give the command from another folder")
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
    if ours:
        _sweep_up(run_dir)
    if not begun:
        with write_atomically(run_dir / "provenance.json") as path:
            path.write_text(json.dumps(_provenance(settings), indent=2) + "\n")
        with write_atomically(kept) as path:
            path.write_text(text, encoding="utf-8")


def _sweep_up(run_dir: Path) -> None:
    """Remove what a kill left half-written: names that begin with a dot. Checkpoints of trainings that go on stay."""
    for path in list(run_dir.rglob(".*")):
        if path.name.endswith(UNFINISHED):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Keep a second run out of the directory."""
    lock = FileLock(run_dir.parent / f".{run_dir.name}.lock")
    try:
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=run_dir.parent):
            lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another run works in {run_dir}: wait for it, or choose another --out") from None
    except OSError as error:
        raise cannot_write(run_dir, error) from error
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
        pairs = [(name, before.get(name), now.get(name)) for name in sorted(before.keys() | now.keys())]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(str(index), *both) for index, both in enumerate(zip(before, now, strict=True))]
    else:
        return "" if before == now else f"{key or 'its length'} is {_short(before)} there and {_short(now)} now"
    for name, one, other in pairs:
        if found := _difference(one, other, f"{key}.{name}" if key else name):
            return found
    return ""


def _short(value: object) -> str:
    """A setting's value; of a long list or table, how long it is."""
    words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= 100 or not isinstance(value, dict | list) else f"{len(value)} entries"


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
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    difference = _difference(kept, json.loads(json.dumps(content)))
    if not difference:
        return
    if kept is not None and (file.parent / "points").is_dir():
        raise UserError(
            f"{file} has changed since this run began: {difference}; restore what it was made from, or start anew with "
            "--fresh"
        )
    with write_atomically(file) as path:
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _unfinished(jobs: list[Job], run_dir: Path, settings: Experiment) -> list[Job]:
    return [job for job in jobs if job.done(run_dir, settings) < job.units(settings)]


def _run_jobs(
    jobs: list[Job],
    start: Start,
    open_pool: Callable[[Start], Pool],
    clock: Clock,
    console: Console,
) -> list[Failure]:
    """Run the jobs that have not finished; returns what is missing."""
    run_dir, settings = start.run_dir, start.experiment
    left = _unfinished(jobs, run_dir, settings)
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
    with SweepProgress(jobs, settings, run_dir, console) as progress, open_pool(start) as pool:
        try:
            run_jobs(left, finished, pool, progress.on_report, on_outcome)
        finally:
            busy = sum(seconds.values()) or 1.0
            elapsed = time.monotonic() - started
            for stage in STAGES:
                if stage in seconds:
                    clock.add(STAGE_NAMES[stage], elapsed * seconds[stage] / busy)
    return failures
