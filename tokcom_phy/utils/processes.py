"""Worker processes that leave interrupts to their parent, and end when it does."""

import atexit
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tokcom_phy.utils.errors import UserError

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

SPAWN = multiprocessing.get_context("spawn")
"""New processes start from nothing: neither threads nor locks of the parent are copied."""


def worker_pool(workers: int, initializer: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool of ``workers`` processes, each set up by ``initializer(*arguments)``.

    A worker does not outlive a parent that was killed, and an interrupt from the keyboard reaches the parent alone.
    """
    return ProcessPoolExecutor(workers, SPAWN, _start, (initializer, arguments))


@dataclass(frozen=True)
class Killed:
    """In place of a result: the process that worked on it was killed, and so was another one that tried it alone."""


MAX_KILLED = 3
"""So many killed items in a row, and none that works, end the work."""


def run_in_processes(
    function: Callable[[_Item], _Result],
    items: Mapping[_Key, _Item],
    workers: int,
    initializer: Callable[..., None] | None = None,
    *arguments: Any,
) -> Generator[tuple[_Key, _Result | Killed], None, None]:
    """Yield ``function(item)`` for each item, with its key, in the order in which they get done.

    When a process is killed, others take its place: what was in hand is tried again, each item alone in a process, so
    that one which kills whoever works on it is found.

    Parameters
    ----------
    function : callable
        At a module's top level, so that a fresh process can import it.
    items : key → item
    workers : int
        Number of processes, each set up by ``initializer(*arguments)``.

    Raises
    ------
    UserError
        If processes are killed one after another, whatever they work on.

    Notes
    -----
    An error, an interrupt or the end of the iteration kills the processes: what is in hand is lost, at once.
    """
    left = dict(items)
    killed = 0
    while left:
        in_hand: list[_Key] = []
        for key, result in _until_killed(function, left, workers, in_hand, initializer, *arguments):
            del left[key]
            killed = 0
            yield key, result
        for key in in_hand:
            alone = list(_until_killed(function, {key: left.pop(key)}, 1, [], initializer, *arguments))
            killed = 0 if alone else killed + 1
            if killed >= MAX_KILLED:
                raise UserError(
                    "worker processes are killed one after another, perhaps for want of memory: run again with fewer "
                    "workers, it continues"
                )
            yield key, alone[0][1] if alone else Killed()


def _until_killed(
    function: Callable[[_Item], _Result],
    items: Mapping[_Key, _Item],
    workers: int,
    in_hand: list[_Key],
    initializer: Callable[..., None] | None,
    *arguments: Any,
) -> Generator[tuple[_Key, _Result], None, None]:
    """Results until a process is killed; then ``in_hand`` has the keys of what was being worked on."""
    waiting = iter(list(items))
    running: dict[Future[_Result], _Key] = {}
    pool = worker_pool(workers, initializer, *arguments)
    try:
        while True:
            for key in waiting:
                with interrupts_blocked():  # submitting starts processes
                    running[pool.submit(function, items[key])] = key
                if len(running) >= workers:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield running.pop(future), result
    except BrokenProcessPool:
        in_hand += running.values()
    except BaseException:
        for process in list(pool._processes.values()):  # ProcessPoolExecutor.kill_workers, from Python 3.14 on
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block interrupts from the keyboard: a process that is started meanwhile leaves them to its parent from its first
    moment, also while it imports."""
    resource_tracker.ensure_running()  # which unblocks interrupts when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_interrupts_to_parent() -> None:
    """Make this process one that ignores interrupts from the keyboard and ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def end_without_collecting() -> None:
    """Leave memory to the system when this process ends: Python takes seconds to collect what large imports made."""
    atexit.register(gc.freeze)


def _start(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    leave_interrupts_to_parent()
    end_without_collecting()
    if initializer:
        initializer(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def peak_memory() -> tuple[int, int]:
    """What this process has needed at its peak: resident memory, and memory of its GPU [bytes]."""
    import torch  # slow to import

    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    status = Path("/proc/self/status")  # `resource.getrusage` mixes it with the parent's
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024, gpu
    return psutil.Process().memory_info().rss, gpu
