"""Worker processes that leave interrupts to their parent, and end when it does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil

SPAWN = multiprocessing.get_context("spawn")
"""New processes start from nothing: neither threads nor locks of the parent are copied."""


def worker_pool(workers: int, initializer: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """A pool of ``workers`` processes, each set up by ``initializer(*arguments)``.

    A worker does not outlive a parent that was killed, and an interrupt from the keyboard reaches the parent alone.
    """
    return ProcessPoolExecutor(workers, SPAWN, _start, (initializer, arguments))


def leave_interrupts_to_parent() -> None:
    """Make this process one that ignores interrupts from the keyboard and ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _start(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    leave_interrupts_to_parent()
    if initializer:
        initializer(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def peak_memory() -> tuple[int, int]:
    """What this process has needed at its peak: resident memory, and memory of its GPU [bytes]."""
    import torch

    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    status = Path("/proc/self/status")  # `resource.getrusage` mixes it with the parent's
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024, gpu
    return psutil.Process().memory_info().rss, gpu
