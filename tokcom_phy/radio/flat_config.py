"""Settings of frequency-flat links."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokcom_phy.radio.family_config import (
    Antennas,
    EqualizedLinkConfig,
    SnrDb,
    SymbolRate,
    Symbols,
    Users,
    check_antennas,
    check_distinct,
    check_known,
)
from tokcom_phy.radio.link_budget_config import LinkBudgetConfig
from tokcom_phy.utils.bounds import Within


class FlatConfig(EqualizedLinkConfig):
    """A frequency-flat link: one complex gain per user and antenna, constant over a stretch of symbols."""

    family: Literal["flat"]
    """Selects this family."""

    fading: Literal["none", "rayleigh", "rician"] = "rayleigh"
    """Distribution of the gain: 'none' (gain one), 'rayleigh' or 'rician'."""

    k_factor_db: Annotated[float, Within(-100, 100, "beyond, the channel is Rayleigh fading, or does not fade")] = 6.0
    """K-factor of Rician fading: power of the line of sight over the scattered power [dB]."""

    coherence: Symbols = 64
    """Coherence interval of block fading [symbols]; blocks fade independently."""

    noiseless: bool = False
    """No noise, at any SNR."""

    access: Literal["orthogonal", "mu-mimo"] = "orthogonal"
    """'orthogonal': each user has its own channel uses; 'mu-mimo': all users share all channel uses."""

    users: Users = Field(default=["audio", "video", "text"])
    """Users that share the link under mu-mimo; orthogonal access admits any user."""

    snr_offset_db: dict[str, SnrDb] = Field(default={})
    """Offset of a user's SNR from the SNR at which the link is used, by user [dB]: near and far users."""

    num_rx_ant: Antennas = 1
    """Receive antennas."""

    combining: Literal["lmmse", "zf", "mrc"] = "lmmse"
    """'lmmse', 'zf' or 'mrc'."""

    symbol_rate: SymbolRate = 1e6
    """Channel uses per second [Hz]; ``bandwidth_hz`` of a link budget takes its place."""

    def check_budget(self, budget: LinkBudgetConfig) -> None:
        if self.access == "mu-mimo":
            check_known("budget", budget.users, self.users)
            if isinstance(budget.bandwidth_hz, dict):
                raise ValueError("budget.bandwidth_hz: users under mu-mimo share one band: give one number")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_distinct(self.users)
        check_known("snr_offset_db", self.snr_offset_db, self.users)
        self.check_output(len(self.users) if self.access == "mu-mimo" else 1, self.num_rx_ant)
        if self.fading == "none" and (self.num_rx_ant > 1 or self.access == "mu-mimo"):
            raise ValueError("fading 'none' is for one antenna and orthogonal access: choose rayleigh or rician")
        if self.access == "mu-mimo":
            check_antennas(self.users, self.num_rx_ant)
        return self
