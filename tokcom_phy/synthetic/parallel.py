"""Work on many clips in several processes, in order, with a progress bar that shows the time left."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.processes import Killed, run_in_processes

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CHUNK = 16


def progress() -> Progress:
    """A progress bar with the time that is left."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def num_workers(workers: int | None) -> int:
    """``workers``, or one per core if it is None.

    Raises
    ------
    UserError
        If it is not positive.
    """
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}: give at least 1")
    return workers or os.cpu_count() or 1


def each(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int | None, description: str
) -> Iterator[_Result]:
    """Yield ``function(item)`` for every item, in their order, whatever the number of processes.

    Another process takes the place of one that is killed.

    Parameters
    ----------
    function : callable
        At a module's top level, so that a fresh process can import it.
    workers : int, optional
        Number of processes; one per core by default. A single one works in this process.

    Raises
    ------
    UserError
        If ``workers`` is not positive, or processes are killed again and again.
    """
    if not items:
        return
    workers = min(num_workers(workers), -(-len(items) // _CHUNK))
    with progress() as bar:
        task = bar.add_task(description, total=len(items))
        for result in map(function, items) if workers <= 1 else _in_order(function, items, workers):
            yield result
            bar.advance(task)


def _in_order(function: Callable[[_Item], _Result], items: Sequence[_Item], workers: int) -> Iterator[_Result]:
    chunks = {first: items[first : first + _CHUNK] for first in range(0, len(items), _CHUNK)}
    done: dict[int, list[_Result]] = {}
    following = 0
    with closing(run_in_processes(partial(_all, function), chunks, workers)) as finished:
        for first, results in finished:
            if isinstance(results, Killed):
                raise UserError(
                    "a worker process was killed twice at the same work, perhaps for want of memory: run it again with "
                    "fewer workers"
                )
            done[first] = results
            while following in done:
                yield from done.pop(following)
                following += _CHUNK


def _all(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    return [function(item) for item in items]
