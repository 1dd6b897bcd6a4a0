"""What is allocated: users, budgets and weights; and what an allocation comes to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np

from tokcom_phy.allocation.surface import LossSurface
from tokcom_phy.utils.errors import UserError

MAX_COMBINATIONS = 100_000
"""Of lengths: as many as the length step evaluates."""

Rate = Literal["shannon"] | tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cell:
    """The allocation problem of one cell: minimise w·T + (1 − w)·L over bandwidths, powers and lengths.

    Attributes
    ----------
    gains : user → received over transmitted power at one antenna, a power ratio
    bandwidth_hz : B, what all bandwidths may add up to
    power_w : P, what all powers may add up to, or what each user may send at [W]
    surface : loss L over lengths and SNRs
    lengths : user → token lengths to choose from, ascending
    weight : w in 0…1
    token_width : d_T, values of a token
    noise_w_hz : N0 [W/Hz]
    latency : 'max' over users, or their 'sum'
    latency_unit_s : what T is counted in [s]
    power_limit : 'total' or 'each'
    sent : 'analog' or 'digital'
    bits : of a value that is sent as bits
    distortion : squared error of a value of that many bits, over its variance
    efficiency : bits a channel use over SNR: 'shannon', or points of measured throughput (SNR, bits)
    min_share : least share of the bandwidth that a user gets
    """

    gains: Mapping[str, float]
    bandwidth_hz: float
    power_w: float
    surface: LossSurface
    lengths: Mapping[str, tuple[int, ...]]
    weight: float = 0.5
    token_width: int = 128
    noise_w_hz: float = 1.27e-20
    latency: Literal["max", "sum"] = "max"
    latency_unit_s: float = 1e-3
    power_limit: Literal["total", "each"] = "total"
    sent: Literal["analog", "digital"] = "analog"
    bits: int = 2
    distortion: float = 0.119
    efficiency: Rate = "shannon"
    min_share: float = 0.01

    def __post_init__(self) -> None:
        for name, value in {"bandwidth": self.bandwidth_hz, "power": self.power_w}.items():
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"a {name} of {value:g} cannot be allocated: give a positive, finite one")
        if not 0 <= self.weight <= 1:
            raise UserError(f"weight {self.weight:g}: give a number from 0 (loss alone) to 1 (latency alone)")
        for user in self.lengths:
            if user not in self.gains or not self.gains[user] > 0:
                raise UserError(f"user '{user}' has no gain: give it a distance_m or path_loss_db")
            if not self.lengths[user]:
                raise UserError(f"user '{user}' has no lengths to choose from: name some")
            if user not in self.surface.users:
                raise UserError(f"user '{user}' is not on the loss surface, which has {', '.join(self.surface.users)}")
        for user in self.surface.users:
            if user not in self.lengths:
                raise UserError(f"user '{user}' of the loss surface has no lengths to choose from: name some")
        if (number := math.prod(map(len, self.lengths.values()))) > MAX_COMBINATIONS:
            raise UserError(f"{number} combinations of lengths are more than {MAX_COMBINATIONS}: give fewer lengths")

    @property
    def users(self) -> tuple[str, ...]:
        """The users in the order of the surface, which is that of all arrays."""
        return tuple(self.surface.users)

    @cached_property
    def combinations(self) -> np.ndarray:
        """All combinations of lengths, float [users, combinations]."""
        return np.array(list(product(*(self.lengths[user] for user in self.users))), dtype=float).T

    @property
    def snr_scale(self) -> np.ndarray:
        """SNR · B / P of each user: gain over N0."""
        return np.array([self.gains[user] for user in self.users]) / self.noise_w_hz

    @property
    def min_bandwidth(self) -> float:
        """Least bandwidth of a user [Hz]."""
        return min(self.min_share, 1 / len(self.users)) * self.bandwidth_hz

    def uses(self, length: float | np.ndarray) -> np.ndarray:
        """Channel uses of that many analog tokens, or bits of as many digital ones."""
        per_token = self.token_width / 2 if self.sent == "analog" else self.token_width * self.bits
        return np.asarray(length, dtype=float) * per_token

    def bits_per_use(self, snr: np.ndarray) -> np.ndarray:
        """Bits a channel use of digital tokens at an SNR, a power ratio; concave and rising."""
        if self.efficiency == "shannon":
            return np.log2(1 + snr)
        points = np.array(self.efficiency)
        return np.interp(snr, np.concatenate([[0], points[:, 0]]), np.concatenate([[0], points[:, 1]]))

    def snrs(self, bandwidths: np.ndarray, powers: np.ndarray) -> np.ndarray:
        """SNR of each user, a power ratio."""
        return (self.snr_scale * (powers / bandwidths).T).T

    def latencies(self, bandwidths: np.ndarray, powers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Latency of each user [s]; infinite where digital tokens have no power."""
        rate = bandwidths
        if self.sent == "digital":
            rate = bandwidths * self.bits_per_use(self.snrs(bandwidths, powers))
        with np.errstate(divide="ignore"):
            return self.uses(lengths) / rate

    def losses(self, bandwidths: np.ndarray, powers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """What each user's tokens take from the loss, negative [nat].

        Digital tokens arrive whatever the SNR, with the error of their quantiser.
        """
        snrs = self.snrs(bandwidths, powers)
        if self.sent == "digital":
            snrs = np.full(np.shape(lengths), 1 / self.distortion)
        return -self.surface.gains(lengths, snrs)

    def latencies_of(self, found: "Allocation") -> dict[str, float]:
        """Latency of each user of an allocation [s]."""
        of_each = (found.bandwidth_hz, found.power_w, found.lengths)
        bandwidths, powers, lengths = (np.array([values[user] for user in self.users]) for values in of_each)
        return self._named(self.latencies(bandwidths, powers, lengths))

    def total_latency(self, latencies: np.ndarray) -> np.ndarray:
        """T [s]: the largest latency of a user, or their sum; users come first."""
        return latencies.max(0) if self.latency == "max" else latencies.sum(0)

    def evaluate(self, bandwidths: np.ndarray, powers: np.ndarray, lengths: np.ndarray) -> "Allocation":
        """An allocation with what it comes to."""
        latency = float(self.total_latency(self.latencies(bandwidths, powers, lengths)))
        loss = self.surface.ceiling + float(self.losses(bandwidths, powers, lengths).sum())
        objective = self.weight * latency / self.latency_unit_s + (1 - self.weight) * loss
        return Allocation(
            self._named(bandwidths),
            self._named(powers),
            {user: int(length) for user, length in zip(self.users, lengths, strict=True)},
            self._named(self.snrs(bandwidths, powers)),
            latency,
            loss,
            float(objective),
        )

    def _named(self, values: np.ndarray) -> dict[str, float]:
        return {user: float(value) for user, value in zip(self.users, values, strict=True)}


@dataclass(frozen=True)
class Allocation:
    """Bandwidth [Hz], power [W] and tokens of each user, its SNR (a power ratio), and the latency [s], loss [nat] and
    objective that they come to."""

    bandwidth_hz: Mapping[str, float]
    power_w: Mapping[str, float]
    lengths: Mapping[str, int]
    snrs: Mapping[str, float]
    latency: float
    loss: float
    objective: float
