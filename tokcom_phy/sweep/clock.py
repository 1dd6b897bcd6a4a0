"""Where the time of a run goes."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import write_atomically


class Clock:
    """Adds up the seconds of each step of a run, however often it was interrupted, in ``logs/seconds.json``."""

    def __init__(self, run_dir: Path):
        self.path = run_dir / "logs" / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self.path.read_text()) if self.path.is_file() else {}

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
