"""Settings of erasure links."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokcom_phy.radio.family_config import LinkFamilyConfig, SymbolRate, Symbols
from tokcom_phy.utils.bounds import Within


class ErasureConfig(LinkFamilyConfig):
    """A link that delivers packets intact or not at all."""

    family: Literal["erasure"]
    """Selects this family."""

    loss_rate: float = Field(default=0.1, ge=0, lt=1, allow_inf_nan=False)
    """Mean share of lost packets."""

    mean_burst: Annotated[float, Within(1, 1e9, "a burst is a packet or more, no payload has as many")] | None = None
    """Mean number of consecutive lost packets (Gilbert–Elliott model); null for independent losses."""

    packet_symbols: Symbols = 64
    """Symbols of a packet; half the token width for one packet per token."""

    symbol_rate: SymbolRate = 1e6
    """Channel uses per second [Hz]; ``bandwidth_hz`` of a link budget takes its place."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mean_burst is not None and self.loss_rate / self.mean_burst > 1 - self.loss_rate:
            raise ValueError(
                f"bursts of {self.mean_burst} packets cannot lose {self.loss_rate} of all: lengthen mean_burst"
            )
        return self
