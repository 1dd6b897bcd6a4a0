"""A run on the processes that ``accelerate launch`` has started: all of them train every system together.

The first leads: it prepares data, keeps the run directory and evaluates; the others follow it into every training.
They talk in a group of their own, beside that of the training.
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
from tokcom_phy.sweep.scheduler import Pool
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.training.distributed import PROCESS_GROUP_TIMEOUT_S, num_processes, process_index
from tokcom_phy.utils.errors import UserError

GRACE = 20.0
"""How long a process that has failed waits for the others to fail as it did, before it ends the launch [s]."""

LONELY = "another process has ended, and all are needed"

_PATIENCE = 0.2  # [s]


def launched() -> bool:
    """Whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether it is the first of them. The first call waits for all."""
    first = process_index() == 0
    _group()
    return first


@cache
def _group() -> distributed.ProcessGroup:
    return distributed.new_group(backend="gloo", timeout=timedelta(seconds=PROCESS_GROUP_TIMEOUT_S))


class JointPool(Pool):
    """One worker, made of all processes; it works in a thread, so that its reports are seen while it does."""

    def __init__(self, start: Start):
        self.start = start
        self.worker = Worker(start)
        self.busy = False
        self.happened: queue.Queue[Report | Outcome] = queue.Queue()
        _said(start)

    def free(self) -> int:
        return int(not self.busy)

    def submit(self, job: Job) -> None:
        self.busy = True
        threading.Thread(target=self._do, args=(job,), daemon=True).start()

    def _do(self, job: Job) -> None:
        together = job.stage != "evaluate"
        if together:
            _said(job)
        outcome = self.worker.execute(job, self.happened.put)
        if together:
            outcome = replace(outcome, failures=_agreed(self.start, outcome.failures))
        self.happened.put(outcome)

    def events(self) -> Iterator[Report | Outcome]:
        try:
            event = self.happened.get(timeout=_PATIENCE)
        except queue.Empty:
            return
        self.busy = self.busy and not isinstance(event, Outcome)
        yield event

    def close(self) -> None:
        """Nothing: the followers wait for the next pool, or for `dismissal`."""


def follow() -> None:
    """Take part in every training that the first process begins, until it dismisses the others."""
    worker: Worker | None = None
    while (order := _said(None)) is not None:
        if isinstance(order, Start):
            worker = Worker(order)
            continue
        assert worker is not None
        _agreed(worker.start, worker.execute(order, lambda report: None).failures)


@contextmanager
def dismissal() -> Iterator[None]:
    """Let the followers go, if there are any, when the first process has finished or met a mistake."""
    try:
        yield
    except UserError:
        _dismiss()
        raise
    _dismiss()


def _dismiss() -> None:
    if launched():
        _said(None)


def _said(order: Start | Job | None) -> Start | Job | None:
    """What the first process says; the others hear it."""
    said = [order]
    try:
        distributed.broadcast_object_list(said, group=_group())
    except RuntimeError:
        _end(LONELY)
    return said[0]


def _agreed(start: Start, failures: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """The failures of the first process that has any, once all have left a job.

    A process that fails while the others wait for its part of the training cannot be waited for: it ends, and the
    launch with it.
    """
    watchdog = threading.Timer(GRACE, _give_up, (start, failures))
    watchdog.daemon = True
    if failures:
        watchdog.start()
    told: list[tuple[Failure, ...]] = [()] * num_processes()
    try:
        distributed.all_gather_object(told, failures, group=_group())
    except RuntimeError:
        _end(LONELY)
    watchdog.cancel()
    return next((found for found in told if found), ())


def _give_up(start: Start, failures: tuple[Failure, ...]) -> None:
    logs = start.run_dir / "logs"
    for failure in failures:
        failure.log(logs)
    _end(f"{failures[0].why}; the trace is in {logs}")


def _end(why: str) -> NoReturn:
    print(f"error: process {process_index()} of {num_processes()}: {why}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(1)
