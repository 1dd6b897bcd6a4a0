"""A transmission scheme of a digital link: bits per value and modulation."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Modulation = Literal["QPSK", "16-QAM", "64-QAM", "256-QAM", "1024-QAM"]


class Scheme(BaseModel):
    """How values become QAM symbols: quantised with so many bits, two values in each symbol of the modulation.

    The rate of the 5G LDPC code follows: (2·bits + CRC) over the bits of the modulation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    bits: int = Field(default=2, ge=1, le=6)
    """Bits per value of the quantiser."""

    modulation: Modulation = "64-QAM"
    """Square QAM with Gray labels."""

    def __str__(self) -> str:
        return f"{self.bits} bit {self.modulation}"
