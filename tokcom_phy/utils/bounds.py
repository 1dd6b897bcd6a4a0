"""Bounds of numbers that a user gives, each with its reason, which the error tells."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Within:
    """Range of a number in a pydantic model, as in ``Annotated[float, Within(0, 10, "ten fit")]``.

    Attributes
    ----------
    low, high : float
        Least and greatest value.
    why : str
        What sets the range, for the message.
    """

    low: float
    high: float
    why: str

    def check(self, value: Any) -> Any:
        """Return ``value``, or raise a ValueError if it is outside; NaN is."""
        if not self.low <= value <= self.high:
            raise ValueError(f"{_words(value)} is not within {_words(self.low)} to {_words(self.high)}: {self.why}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


def _words(value: float) -> str:
    """A number as one would write it; a long one by its powers of ten."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if abs(value) < 10**12 else f"{float(value):g}" if abs(value) < 10**300 else "a longer number"


SEED_BITS = 32
Seed = Within(0, 2**SEED_BITS - 1, f"generators of random numbers take a seed of {SEED_BITS} bits")
RUN_SEEDS = 2**19
"""How far the seeds of a run's stages lie apart: no stages of any two runs share realisations by chance."""
RunSeed = Within(0, RUN_SEEDS - 1, f"each stage of a run draws its realisations from seeds {RUN_SEEDS} further on")
Snr = Within(-100, 100, "beyond 100 dB there is nothing but noise, or none")
