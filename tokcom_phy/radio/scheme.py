"""A transmission scheme of a digital link: bits per value, modulation, and channel uses or code rate."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokcom_phy.utils.bounds import Within
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.settings import Strict

Modulation = Literal["QPSK", "16-QAM", "64-QAM", "256-QAM", "1024-QAM"]
BITS_PER_SYMBOL = {"QPSK": 2, "16-QAM": 4, "64-QAM": 6, "256-QAM": 8, "1024-QAM": 10}
CRC_BITS = 16
USES_PER_VALUE = 0.5
"""Channel uses of a value that is sent as half of an analog symbol."""

MIN_RATE, MAX_RATE = 1 / 5, 948 / 1024
"""Code rates that 5G LDPC supports."""

UsesPerValue = Annotated[float, Within(0.05, 50, "no modulation carries more, and no code repeats itself so often")]


class Scheme(Strict):
    """How values become QAM symbols: bits of the quantiser, modulation, and how many symbols there are.

    With ``uses_per_value`` the code rate follows, with ``rate`` the channel uses. By default two values share a symbol,
    as on an analog link, and the rate is (2·bits + CRC) over the bits of the modulation.
    """

    bits: int = Field(default=2, ge=1, le=6)
    """Bits per value of the quantiser."""

    modulation: Modulation = "64-QAM"
    """Square QAM with Gray labels."""

    uses_per_value: UsesPerValue | None = None
    """Channel uses per value; by default 1/2, those of analog tokens."""

    rate: Annotated[float, Within(MIN_RATE, MAX_RATE, "5G LDPC has no other code rates")] | None = None
    """Code rate, the CRC included, in place of ``uses_per_value``."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.uses_per_value is not None and self.rate is not None:
            raise ValueError("uses_per_value and rate exclude each other: leave one out")
        return self

    def __str__(self) -> str:
        name = f"{self.bits} bit {self.modulation}"
        if self.rate is not None:
            return f"{name} rate {self.rate:.3g}"
        return name if self.uses_per_value is None else f"{name} {self.uses_per_value:g} uses a value"

    @property
    def bits_per_symbol(self) -> int:
        """Coded bits of a QAM symbol."""
        return BITS_PER_SYMBOL[self.modulation]

    @property
    def efficiency(self) -> float:
        """Information bits of a channel use, but for the CRC's."""
        return self.bits_per_symbol * self.rate if self.rate else self.bits / (self.uses_per_value or USES_PER_VALUE)

    def num_uses(self, num_info_bits: int) -> int:
        """QAM symbols of a code block."""
        if self.rate is None:
            return math.ceil(num_info_bits / self.efficiency - 1e-9)
        sent = num_info_bits + CRC_BITS
        return min(math.ceil(sent / self.efficiency - 1e-9), int(sent / self.bits_per_symbol / MIN_RATE + 1e-9))

    def check_rate(self, num_info_bits: int, as_bits: bool = False) -> None:
        """Raise a `UserError` that names alternatives, if 5G LDPC does not support the rate of such a block.

        With ``as_bits`` the block holds bits in place of values.
        """
        if self.has_rate(num_info_bits):
            return
        fits = [
            (bits, modulation)
            for modulation in BITS_PER_SYMBOL
            for bits in range(1, 7)
            if self.model_copy(update={"bits": bits, "modulation": modulation}).has_rate(
                num_info_bits if as_bits else num_info_bits // self.bits * bits
            )
        ]
        fits = [(bits, modulation) for bits, modulation in fits if bits == self.bits] or fits
        uses, rate = self.num_uses(num_info_bits), self._rate_of(num_info_bits)
        if fits:
            mend = "choose " + " or ".join(
                f"{modulation} with {bits} bit{'s' * (bits > 1)}" for bits, modulation in fits
            )
        elif rate < MIN_RATE:
            mend = "give fewer uses_per_value"
        elif num_info_bits < uses * self.bits_per_symbol * MAX_RATE:
            mend = "send more tokens"
        else:
            mend = "give more uses_per_value"
        raise UserError(
            f"{self.bits} bits a value in blocks of {uses} {self.modulation} symbols need code rate {rate:.3g}, 5G "
            f"LDPC has {MIN_RATE:.3g} to {MAX_RATE:.3g}: {mend}"
        )

    def _rate_of(self, num_info_bits: int) -> float:
        return (num_info_bits + CRC_BITS) / (self.num_uses(num_info_bits) * self.bits_per_symbol)

    def has_rate(self, num_info_bits: int) -> bool:
        """Whether 5G LDPC supports the rate of a block."""
        return MIN_RATE <= self._rate_of(num_info_bits) <= MAX_RATE
