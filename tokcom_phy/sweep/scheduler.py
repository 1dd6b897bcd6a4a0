"""The scheduler: each job starts when those that it needs have finished, on whatever executor there is.

`tokcom_phy.sweep.executors` has local processes, a Ray cluster, and processes that train together.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.messages import Outcome, Report, Tell, missing

ATTEMPTS = 3
"""How often a job is begun whose worker dies."""


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
