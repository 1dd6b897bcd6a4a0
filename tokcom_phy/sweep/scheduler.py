"""The scheduler: a job begins once the jobs that it needs have finished and its executor has a free worker.

`tokcom_phy.sweep.executors` has local processes, a Ray cluster, and processes that train together.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.messages import OnProgress, Outcome, Report, missing

ATTEMPTS = 3
"""How often a job whose worker dies is begun."""

POLL_TIMEOUT_S = 0.2
"""How long an executor waits for an event before it returns none [s]."""


class Executor(ABC):
    """Workers that execute jobs. A worker that dies is replaced; the end of the ``with`` block ends all workers."""

    def __enter__(self) -> "Executor":
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
        """Progress and outcomes since the last call; waits up to `POLL_TIMEOUT_S` for the first."""

    @abstractmethod
    def close(self) -> None:
        """End all workers."""


def run_jobs(
    jobs: Sequence[Job],
    finished: set[str],
    executor: Executor,
    on_report: OnProgress,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Run jobs on an executor, each after those that it needs.

    Parameters
    ----------
    jobs : those to run, each after those that it needs
    finished : names of jobs that need not run
    executor : Executor
    on_report : called with each report of a worker
    on_outcome : called with the outcome of each job. A job whose need failed fails with that reason; one whose worker
        died begins anew, `ATTEMPTS` times in all
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
            elif done.issuperset(job.needs) and executor.free():
                waiting.remove(job)
                attempts[job.name] += 1
                running += 1
                executor.submit(job)
        for event in executor.events():
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
