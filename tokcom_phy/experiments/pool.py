"""A sweep: each job starts when those that it needs have finished, on whatever pool of workers there is.

`tokcom_phy.experiments.local` has the pool of local processes, `tokcom_phy.experiments.cluster` the one of a Ray
cluster.
"""

import os
import time
import traceback
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tokcom_phy.errors import UserError, one_line
from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.files import write_atomically
from tokcom_phy.processes import peak_memory

if TYPE_CHECKING:
    from tokcom_phy.experiments.jobs import Worker

ATTEMPTS = 3
"""How often a job is begun whose worker dies."""


@dataclass(frozen=True)
class Start:
    """What a worker is made from.

    Attributes
    ----------
    experiment : Experiment
    run_dir, root, store : run directory, dataset's folder, feature store or None; absolute
    folder : where the command was given: relative paths of links mean this
    """

    experiment: Experiment
    run_dir: Path
    root: Path
    store: Path | None
    folder: Path

    @cached_property
    def worker(self) -> "Worker":
        """The worker of this process, made when its first job comes.

        Raises
        ------
        UserError
            If the run directory cannot be seen from here.
        """
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        warnings.filterwarnings("ignore")
        if self.folder.is_dir():
            os.chdir(self.folder)
        from tokcom_phy.experiments.jobs import Worker

        return Worker(self.experiment, self.run_dir, self.root, self.store)


@dataclass(frozen=True)
class Report:
    """What a worker tells about its job: units done so far, and the accuracy of the point that it has just finished."""

    job: Job
    done: int
    accuracy: float | None = None


@dataclass(frozen=True)
class Failure:
    """What a job could not leave behind, why in one line, and the trace for the log."""

    what: str
    why: str
    trace: str = ""

    def log(self, folder: Path) -> None:
        """Write the trace into a file of ``folder``; where that cannot be written, there is none."""
        with suppress(UserError), write_atomically(folder / f"{self.what.replace(' ', '_')}.txt") as path:
            path.write_text(self.trace or self.why)


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    job : Job
    seconds : float
    failures : what is missing; empty when all went well
    death : how the worker died that had the job, empty if it did not
    memory, gpu_memory : what its worker has needed at its peak so far [bytes]
    """

    job: Job
    seconds: float
    failures: tuple[Failure, ...] = ()
    death: str = ""
    memory: int = 0
    gpu_memory: int = 0


Tell = Callable[[Report], None]


class Pool(ABC):
    """Workers that do jobs. A worker that dies is replaced; ending the ``with`` block ends all of them."""

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def free(self) -> int:
        """How many more jobs can begin now."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Begin a job on a free worker."""

    @abstractmethod
    def events(self) -> Iterable[Report | Outcome]:
        """What has happened since the last call; waits for a fraction of a second if nothing has."""

    @abstractmethod
    def close(self) -> None:
        """End all workers."""


def run_jobs(
    jobs: Sequence[Job],
    finished: set[str],
    pool: Pool,
    on_report: Tell,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Run jobs on a pool, in an order that respects what each needs.

    Parameters
    ----------
    jobs : those to run, each after those that it needs
    finished : names of jobs that need not run
    pool : Pool
    on_report : told what workers tell
    on_outcome : told how each job ended; one whose need failed ends with that as its failure, one whose worker dies
        begins anew, `ATTEMPTS` times in all
    """
    waiting = list(jobs)
    done = set(finished)
    failed: set[str] = set()
    attempts: Counter[str] = Counter()
    running = 0

    def end(outcome: Outcome) -> None:
        (failed if outcome.failures else done).add(outcome.job.name)
        on_outcome(outcome)

    while waiting or running:
        for job in list(waiting):
            if lacking := [need for need in job.needs if need in failed]:
                waiting.remove(job)
                end(Outcome(job, 0.0, missing(job, f"needs '{lacking[0]}', which failed")))
            elif done.issuperset(job.needs) and pool.free():
                waiting.remove(job)
                attempts[job.name] += 1
                running += 1
                pool.submit(job)
        for event in pool.events():
            if isinstance(event, Report):
                on_report(event)
                continue
            running -= 1
            if not event.death:
                end(event)
            elif attempts[event.job.name] < ATTEMPTS:
                waiting.insert(0, event.job)
            else:
                why = f"its worker died {ATTEMPTS} times: {event.death}"
                end(Outcome(event.job, event.seconds, missing(event.job, why)))


def missing(job: Job, why: str, trace: str = "") -> tuple[Failure, ...]:
    """All that a job should have left behind, as failures."""
    return tuple(Failure(what, why, trace) for what in job.leaves)


def do(start: Start, job: Job, tell: Tell) -> Outcome:
    """Do a job in this process, which is a worker."""
    started = time.monotonic()
    try:
        worker = start.worker
        started = time.monotonic()
        failures = worker.do(job, tell)
    except Exception as error:
        failures = missing(job, one_line(error), traceback.format_exc())
    return Outcome(job, time.monotonic() - started, failures, "", *peak_memory())
