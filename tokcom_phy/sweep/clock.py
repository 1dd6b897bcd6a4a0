"""Where the time of a run goes."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import TypeAdapter

from tokcom_phy.results.reading import read_json
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import write_atomically

_SECONDS = TypeAdapter(dict[str, float])


class Clock:
    """Adds up the seconds of each step of a run, however often it was interrupted, in ``logs/seconds.json``."""

    def __init__(self, run_dir: Path):
        self.path = run_dir / "logs" / "seconds.json"
        self.seconds = _read(self.path)

    def add(self, step: str, seconds: float) -> None:
        """Add to a step's time; on a full disk the time is kept in memory alone."""
        self.seconds[step] = self.seconds.get(step, 0.0) + seconds
        with suppress(UserError), write_atomically(self.path) as path:
            path.write_text(json.dumps(self.seconds, indent=2) + "\n")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a ``with`` block as a step."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)


def _read(path: Path) -> dict[str, float]:
    """What a file says so far; nothing if there is none, or it is damaged: no result rests on it."""
    try:
        return read_json(path, _SECONDS)
    except UserError:
        return {}
