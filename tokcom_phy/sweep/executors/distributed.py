"""Jobs on the processes that ``accelerate launch`` has started: all ranks train every system together.

Rank 0 prepares the data, keeps the run directory, schedules and evaluates; it broadcasts each training to the other
ranks, which run `worker_loop`. These messages use a process group of their own, beside that of the training.
"""

import os
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import NoReturn

from torch import distributed

from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.messages import Failure, Outcome, Report, Start
from tokcom_phy.sweep.scheduler import POLL_TIMEOUT_S, Executor
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.training.distributed import PROCESS_GROUP_TIMEOUT_S, num_processes, process_index
from tokcom_phy.utils.errors import UserError

FAILURE_TIMEOUT_S = 20.0
"""How long a rank that has failed waits for the others to fail too, before it ends the launch [s]."""

RANK_LOST = "another process has ended, and all are needed"


def launched() -> bool:
    """Whether this process is one of several ranks that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_rank_0() -> bool:
    """Whether this is rank 0. The first call waits for all ranks."""
    index = process_index()
    _group()
    return index == 0


@cache
def _group() -> distributed.ProcessGroup:
    return distributed.new_group(backend="gloo", timeout=timedelta(seconds=PROCESS_GROUP_TIMEOUT_S))


class DistributedExecutor(Executor):
    """One worker, made of all ranks. It works in a thread of rank 0, so that progress is seen meanwhile.

    Parameters
    ----------
    start : Start
    """

    def __init__(self, start: Start):
        self.worker = Worker(start)
        self.busy = False
        self.queue: queue.Queue[Report | Outcome] = queue.Queue()
        _broadcast(start)

    def free(self) -> int:
        return int(not self.busy)

    def submit(self, job: Job) -> None:
        self.busy = True
        threading.Thread(target=self._execute, args=(job,), daemon=True).start()

    def _execute(self, job: Job) -> None:
        on_all_ranks = job.stage != "evaluate"
        if on_all_ranks:
            _broadcast(job)
        outcome = self.worker.execute(job, self.queue.put)
        if on_all_ranks:
            outcome = replace(outcome, failures=_gather_failures(self.worker.start, outcome.failures))
        self.queue.put(outcome)

    def events(self) -> Iterator[Report | Outcome]:
        try:
            event = self.queue.get(timeout=POLL_TIMEOUT_S)
        except queue.Empty:
            return
        self.busy = self.busy and not isinstance(event, Outcome)
        yield event

    def close(self) -> None:
        """The other ranks stay in `worker_loop` for the next executor, until `shutdown`."""


def worker_loop() -> None:
    """Take part in every training that rank 0 broadcasts, until it shuts the other ranks down."""
    worker: Worker | None = None
    while (message := _broadcast(None)) is not None:
        if isinstance(message, Start):
            worker = Worker(message)
            continue
        assert worker is not None
        outcome = worker.execute(message, lambda report: None)
        _gather_failures(worker.start, outcome.failures)


@contextmanager
def shutdown() -> Iterator[None]:
    """Shut the other ranks down, if there are any, when rank 0 has finished or stops at a user's mistake."""
    try:
        yield
    except UserError:
        _shut_down()
        raise
    _shut_down()


def _shut_down() -> None:
    if launched():
        _broadcast(None)


def _broadcast(message: Start | Job | None) -> Start | Job | None:
    """Broadcast a message from rank 0; the other ranks return it."""
    messages = [message]
    try:
        distributed.broadcast_object_list(messages, group=_group())
    except RuntimeError:
        _abort(RANK_LOST)
    return messages[0]


def _gather_failures(start: Start, failures: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """The failures of the lowest rank that has any, once all ranks have left a job.

    A rank that fails while the others wait for it in a collective of the training does not come here: it aborts
    after `FAILURE_TIMEOUT_S`, and the launch with it.
    """
    watchdog = threading.Timer(FAILURE_TIMEOUT_S, _abort_failed, (start, failures))
    watchdog.daemon = True
    if failures:
        watchdog.start()
    gathered: list[tuple[Failure, ...]] = [()] * num_processes()
    try:
        distributed.all_gather_object(gathered, failures, group=_group())
    except RuntimeError:
        _abort(RANK_LOST)
    watchdog.cancel()
    return next((found for found in gathered if found), ())


def _abort_failed(start: Start, failures: tuple[Failure, ...]) -> None:
    logs = start.run_dir / "logs"
    for failure in failures:
        failure.log(logs)
    _abort(f"{failures[0].why}; the trace is in {logs}")


def _abort(why: str) -> NoReturn:
    print(f"error: process {process_index()} of {num_processes()}: {why}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)
