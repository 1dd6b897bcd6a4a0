"""Jobs on processes of this machine."""

import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from rich.console import Console

from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.messages import Outcome, Report, Start
from tokcom_phy.sweep.scheduler import POLL_TIMEOUT_S, Executor
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.utils.processes import SPAWN, end_without_collecting, interrupts_blocked, leave_interrupts_to_parent

EXIT_TIMEOUT_S = 1.0
"""How long a process has to end by itself before it is killed [s]."""

STEP_TIMEOUT_S = 600.0
"""The same for one that trains: it saves its step first, and a step of a large model takes minutes [s]."""


class LocalExecutor(Executor):
    """``workers`` processes, each with a pipe of its own: one that is killed takes nothing of another's with it."""

    def __init__(self, start: Start, workers: int):
        self.processes = [_Process(start) for _ in range(workers)]

    def free(self) -> int:
        return sum(process.job is None for process in self.processes)

    def submit(self, job: Job) -> None:
        next(process for process in self.processes if process.job is None).begin(job)

    def events(self) -> list[Report | Outcome]:
        ready = wait([process.pipe for process in self.processes], POLL_TIMEOUT_S)
        return [event for process in self.processes if process.pipe in ready for event in process.read()]

    def close(self) -> None:
        for process in self.processes:
            process.ask_to_end()
        try:
            for process in sorted(self.processes, key=lambda process: process.trains):
                process.end()
        finally:  # of a second interrupt
            for process in self.processes:
                if process.process.is_alive():
                    process.process.kill()


class _Process:
    """A worker process, replaced by another when it dies."""

    def __init__(self, start: Start):
        self.start = start
        self.job: Job | None = None
        self.since = 0.0
        self.open()

    def open(self) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_work, args=(theirs, self.start), daemon=True)
        with interrupts_blocked():
            self.process.start()
        theirs.close()

    @property
    def trains(self) -> bool:
        return self.job is not None and self.job.stage != "evaluate"

    def begin(self, job: Job) -> None:
        self.job, self.since = job, time.monotonic()
        with suppress(OSError):  # the process has died; `read` replaces it
            self.pipe.send(job)

    def read(self) -> list[Report | Outcome]:
        try:
            event = self.pipe.recv()
        except (EOFError, OSError):
            return self.replace()
        if isinstance(event, Outcome):
            self.job = None
        return [event]

    def replace(self) -> list[Report | Outcome]:
        """Start another process in place of the dead one."""
        job, self.job = self.job, None
        self.pipe.close()
        self.end()
        death = _cause_of_death(self.process.exitcode)
        self.open()
        return [Outcome(job, time.monotonic() - self.since, death=death)] if job else []

    def ask_to_end(self) -> None:
        if self.job:
            self.process.terminate()  # before the pipe closes, so that a training saves its step and sends no failure
        self.pipe.close()

    def end(self) -> None:
        self.process.join(EXIT_TIMEOUT_S)
        if self.job and self.trains and self.process.is_alive():
            Console(stderr=True).print(f"'{self.job.name}' saves its step; interrupt again to end at once")
            self.process.join(STEP_TIMEOUT_S)
        self.process.kill()
        self.process.join()


def _work(pipe: Connection, start: Start) -> None:
    """Execute job after job, until the pipe is closed."""
    leave_interrupts_to_parent()
    end_without_collecting()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    worker = Worker(start)
    with suppress(EOFError):
        while True:
            pipe.send(worker.execute(pipe.recv(), pipe.send))


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}, perhaps out of memory: try fewer --workers"
    return f"ended with exit code {exitcode}"
