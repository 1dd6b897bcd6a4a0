"""A run on the processes that ``accelerate launch`` has started: all of them train every system together.

The first leads: it prepares data, keeps the run directory and evaluates; the others follow it into every training.
"""

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress

from accelerate.utils import broadcast_object_list

from tokcom_phy.errors import UserError
from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.pool import Outcome, Pool, Report, Start, do
from tokcom_phy.training.ranks import process_index

_PATIENCE = 0.2  # [s]


def launched() -> bool:
    """Whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether it is the first of them."""
    return process_index() == 0


class JointPool(Pool):
    """One worker, made of all processes; it works in a thread, so that its reports are seen while it does."""

    def __init__(self, start: Start):
        self.start = start
        self.busy = False
        self.happened: queue.Queue[Report | Outcome] = queue.Queue()
        _said(start)

    def free(self) -> int:
        return int(not self.busy)

    def submit(self, job: Job) -> None:
        self.busy = True
        threading.Thread(target=self._do, args=(job,), daemon=True).start()

    def _do(self, job: Job) -> None:
        if job.stage != "evaluate":
            _said(job)
        self.happened.put(do(self.start, job, self.happened.put))

    def events(self) -> Iterator[Report | Outcome]:
        try:
            event = self.happened.get(timeout=_PATIENCE)
        except queue.Empty:
            return
        self.busy = self.busy and not isinstance(event, Outcome)
        yield event

    def close(self) -> None:
        """Nothing: the followers wait for the next pool, or for `dismiss`."""


def follow() -> None:
    """Take part in every training that the first process begins, until it dismisses the others."""
    start: Start | None = None
    while (order := _said(None)) is not None:
        if isinstance(order, Start):
            start = order
            continue
        assert start is not None
        with suppress(UserError):  # the first process meets the same, and reports it
            start.worker.do(order, lambda report: None)


def dismiss() -> None:
    """Let the followers go."""
    _said(None)


def _said(order: Start | Job | None) -> Start | Job | None:
    """What the first process says; the others hear it."""
    said = [order]
    broadcast_object_list(said)
    return said[0]
