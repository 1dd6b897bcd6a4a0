"""Settings of an allocation: what an experiment's ``allocation`` may say."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from tokcom_phy.radio.link_budget_config import LinkBudgetConfig
from tokcom_phy.utils.bounds import Within
from tokcom_phy.utils.settings import Strict

Bandwidth = Annotated[float, Within(1, 1e12, "radios occupy from 1 Hz to 1 THz")]
PowerDbm = Annotated[float, Within(-150, 100, "radios send from nanowatts to megawatts")]
Lengths = Annotated[
    tuple[Annotated[PositiveInt, Within(1, 65536, "no encoder has more tokens")], ...], Field(min_length=1)
]


class AllocationSettings(Strict):
    """Bandwidth, power and tokens of each user, chosen together: minimise w·T + (1 − w)·L."""

    link: str = "awgn"
    """Link over which tokens are sent, with a band for each user: its name, or a key of the experiment's ``links``."""

    budget: LinkBudgetConfig
    """Link budget of the users: the distance or path loss of each. Powers and bandwidths are those allocated."""

    lengths: dict[str, Lengths]
    """user → token lengths to choose from, numbers or lengths that the profile names."""

    fixed: dict[str, Annotated[PositiveInt, Within(1, 65536, "no encoder has more tokens")]] = Field(
        default_factory=dict
    )
    """user → its length in baselines that do not choose it; by default the middle one of its lengths."""

    bandwidth_hz: Annotated[tuple[Bandwidth, ...], Field(min_length=1)] = (1e6,)
    """Budgets of bandwidth [Hz]: what the users' bandwidths may add up to."""

    power_dbm: Annotated[tuple[PowerDbm, ...], Field(min_length=1)] = (23.0,)
    """Budgets of power [dBm]: what the users' powers may add up to, or what each may send at."""

    power_limit: Literal["total", "each"] = "total"
    """Whether the budget of power is for all users together, as the letter has it, or for each: then each sends at it,
    since power costs nothing else."""

    weight: Annotated[float, Within(0, 1, "it is the share of the latency, and the loss has the rest")] = 0.5
    """w, the weight of the latency; that of the loss is 1 − w."""

    latency: Literal["max", "sum"] = "max"
    """T: the largest latency of a user, since the answer waits for all tokens, or their sum."""

    latency_unit_s: Annotated[float, Within(1e-9, 1e3, "uplinks take from nanoseconds to minutes")] = 1e-3
    """What T is counted in [s]; with milliseconds it is of the size of a loss in nats."""

    sent: Literal["analog", "digital"] = "analog"
    """'analog': two values a channel use, which noise disturbs; 'digital': ``bits`` a value at the rate of
    ``efficiency``, which arrive with the error of the quantiser."""

    bits: Annotated[PositiveInt, Within(1, 6, "quantisers have 1 to 6 bits")] = 2
    """Bits of a value that is sent digitally."""

    efficiency: str = "shannon"
    """Bits a channel use of digital tokens: 'shannon', log2(1 + SNR), or the name of a digital link whose throughput is
    measured."""

    min_share: Annotated[float, Within(1e-6, 1, "a share of the bandwidth")] = 0.01
    """Least share of the bandwidth that a user gets: without one, a weight of zero would stretch time without end."""

    simulate: Literal["all", "diagonal", "none"] = "all"
    """Which budgets are simulated: every bandwidth with every power, the first with the first and so on, or none."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.lengths:
            raise ValueError("lengths: there are no users: give token lengths for at least one")
        for key in ("tx_power_dbm", "bandwidth_hz"):
            if getattr(self.budget, key) != LinkBudgetConfig.model_fields[key].default:
                raise ValueError(f"budget.{key} is what is allocated: leave it out, and give {_OWN[key]}")
        for user in self.lengths:
            if self.budget.users and user not in self.budget.users:
                raise ValueError(f"user '{user}' has no gain: give it a distance_m or path_loss_db in budget")
        if self.budget.distance_m is None and self.budget.path_loss_db is None:
            raise ValueError("budget: users have no gain: give their distance_m or path_loss_db")
        for user, length in self.fixed.items():
            if length not in self.lengths.get(user, ()):
                raise ValueError(f"fixed.{user}: {length} is none of its lengths: choose one of them")
        return self

    def fixed_lengths(self) -> dict[str, int]:
        """user → its length where it is not chosen."""
        return {user: self.fixed.get(user, sorted(some)[len(some) // 2]) for user, some in self.lengths.items()}


_OWN = {"tx_power_dbm": "power_dbm", "bandwidth_hz": "bandwidth_hz of the allocation"}
