"""Locks between processes, so that two of them do not write into one folder at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console


@contextmanager
def hold_locks(paths: list[Path], other: str) -> Iterator[None]:
    """Hold the lock files ``paths``; while another process has one, wait, and print that ``other`` is waited for.

    A folder that cannot be written to needs no lock: no other process writes there either.
    """
    with ExitStack() as held:
        for path in paths:
            lock = FileLock(path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    Console().print(f"waiting for {other}", soft_wrap=True, markup=False)
                    lock.acquire()
            except OSError:
                continue
            held.callback(lock.release)
        yield
