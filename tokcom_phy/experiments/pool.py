"""Jobs on local processes: each starts when those that it needs have finished."""

import logging
import os
import queue
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokcom_phy.errors import UserError
from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.processes import SPAWN, worker_pool

_worker: Any = None
_reports: Any = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended: ``error`` is empty when it went well, else one line; ``trace`` is for the log."""

    job: Job
    seconds: float
    error: str = ""
    trace: str = ""


def run_jobs(
    jobs: Sequence[Job],
    finished: set[str],
    start: tuple[Experiment, Path, Path, Path | None],
    workers: int,
    on_progress: Callable[[str, int], None],
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Run jobs on ``workers`` processes, in an order that respects what each needs.

    Parameters
    ----------
    jobs : those to run, each after those that it needs
    finished : names of jobs that need not run
    start : what a worker is made from: experiment, run directory, dataset's folder, feature store or None
    workers : int
    on_progress : told a job's name and how many more of its units are done
    on_outcome : told how each job ended; a job whose need failed ends with that as its error
    """
    reports = SPAWN.Queue()
    waiting = list(jobs)
    done = set(finished)
    failed: set[str] = set()
    running: dict[Future, Job] = {}
    with worker_pool(workers, _start, reports, *start) as pool:
        try:
            while waiting or running:
                for job in list(waiting):
                    if failed.intersection(job.needs):
                        waiting.remove(job)
                        failed.add(job.name)
                        on_outcome(Outcome(job, 0.0, f"needs '{job.needs[0]}', which failed"))
                    elif done.issuperset(job.needs) and len(running) < workers:
                        waiting.remove(job)
                        running[pool.submit(_do, job)] = job
                ended, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                _pass_on(reports, on_progress)
                for future in ended:
                    job = running.pop(future)
                    outcome = future.result()
                    (failed if outcome.error else done).add(job.name)
                    on_outcome(outcome)
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed, perhaps for want of memory: run the same again with fewer --workers"
            ) from None
        except BaseException:
            for process in list(pool._processes.values()):
                process.terminate()
            raise


def _pass_on(reports: Any, on_progress: Callable[[str, int], None]) -> None:
    while True:
        try:
            on_progress(*reports.get_nowait())
        except queue.Empty:
            return


def _start(reports: Any, experiment: Experiment, run_dir: Path, root: Path, store: Path | None) -> None:
    """Set up a worker process."""
    global _worker, _reports
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    import torch

    from tokcom_phy.experiments.jobs import Worker

    if experiment.threads:
        torch.set_num_threads(experiment.threads)
    _reports = reports
    _worker = Worker(experiment, run_dir, root, store)


def _do(job: Job) -> Outcome:
    started = time.monotonic()
    told = 0

    def progress(units: int) -> None:
        nonlocal told
        _reports.put((job.name, units - told))
        told = units

    try:
        _worker.do(job, progress)
    except UserError as error:
        return Outcome(job, time.monotonic() - started, str(error), traceback.format_exc())
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        return Outcome(job, time.monotonic() - started, line, traceback.format_exc())
    return Outcome(job, time.monotonic() - started)
