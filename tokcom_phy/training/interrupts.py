"""An interrupt or a request to terminate ends a training after its current step, with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import TrainerCallback


class StopAfterStep(TrainerCallback):
    """Saves a checkpoint and stops once a signal has come."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.signal is not None:
            control.should_save = control.should_training_stop = True


@contextmanager
def signals_after_step(stop: StopAfterStep, wanted: bool) -> Iterator[None]:
    """Hold back SIGINT and SIGTERM: the first is delivered when the context ends, a second one at once.

    Signals that the process ignores stay ignored. Threads other than the main one cannot handle signals: there this
    does nothing.
    """
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    kept = {s: handler for s, handler in kept.items() if handler is not signal.SIG_IGN}

    def restore() -> None:
        for number, handler in kept.items():
            signal.signal(number, handler)

    def hold_back(number: int, _: FrameType | None) -> None:
        if stop.signal is None:
            stop.signal = number
        else:
            restore()
            signal.raise_signal(number)

    for number in kept:
        signal.signal(number, hold_back)
    try:
        yield
    finally:
        restore()
    if stop.signal is not None:
        signal.raise_signal(stop.signal)
