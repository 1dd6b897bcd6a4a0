"""The three steps of alternating optimisation, each solved to optimality; docs/allocation.md proves it.

Bandwidth and power steps are convex, and have few dual variables: a root of a monotone function each. The length step
is exact by enumeration.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from tokcom_phy.allocation.problem import Cell

_HALVINGS = 60


def bandwidth_step(cell: Cell, powers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The best bandwidths for given powers and lengths [Hz]."""
    if cell.sent == "digital":
        return _digital_bandwidths(cell, powers, lengths)
    uses, scale, weight = cell.uses(lengths), cell.snr_scale * powers, cell.weight / cell.latency_unit_s
    longest = 1 / cell.min_bandwidth

    def slopes(y: np.ndarray) -> np.ndarray:
        """Slope of each user's weighted loss over y = 1/B."""
        return -(1 - cell.weight) * scale * cell.surface.slopes(lengths, scale * y)

    if cell.latency == "sum":

        def best(price: float) -> np.ndarray:
            return _bisect(lambda y: weight * uses + slopes(y) - price / y**2, np.full(len(uses), longest))

        y = best(0.0)
        if (1 / y).sum() > cell.bandwidth_hz:
            y = best(_price(lambda price: (1 / best(price)).sum() - cell.bandwidth_hz))
        return _within(1 / y, cell)

    def at(t: float) -> np.ndarray:
        """1/B where all users end at t, but for those of least bandwidth."""
        return np.minimum(t / uses, longest)

    def slope(t: float) -> float:
        return weight + float((slopes(at(t)) / uses * (t / uses < longest)).sum())

    last = float((uses * longest).max())
    first = float(uses.sum() / cell.bandwidth_hz)
    if (1 / at(first)).sum() > cell.bandwidth_hz:
        first = float(brentq(lambda t: (1 / at(t)).sum() - cell.bandwidth_hz, first, last, xtol=1e-18))
    if slope(first) >= 0:
        t = first
    elif slope(last * (1 - 1e-12)) <= 0:
        t = last
    else:
        t = float(brentq(slope, first, last, xtol=1e-18))
    return _within(1 / at(t), cell)


def power_step(cell: Cell, bandwidths: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The best powers for given bandwidths and lengths [W]."""
    if cell.power_limit == "each":
        return np.full(len(cell.users), cell.power_w)
    if cell.sent == "digital":
        return _digital_powers(cell, bandwidths, lengths)
    parts = list(cell.surface.users.values())
    amplitude = cell.surface.amplitudes(lengths)
    knee, beta = np.array([p.snr for p in parts]), np.array([p.steepness for p in parts])
    scale = cell.snr_scale / bandwidths
    first = amplitude * beta * scale / knee
    if not first.any():
        return np.full(len(cell.users), cell.power_w / len(cell.users))

    def filled(price: float) -> np.ndarray:
        """Water filling: powers at which another watt gains ``price``, or zero where it never does."""
        return knee / scale * np.maximum((first / price) ** (1 / (beta + 1)) - 1, 0)

    powers = filled(_price(lambda price: filled(price).sum() - cell.power_w, float(first.max())))
    return powers * cell.power_w / powers.sum()


def length_step(cell: Cell, bandwidths: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """The best lengths for given bandwidths and powers, by enumeration of all combinations."""
    choices = cell.combinations
    bandwidths, powers = bandwidths[:, None], powers[:, None]
    latency = cell.total_latency(cell.latencies(bandwidths, powers, choices))
    loss = cell.losses(bandwidths, powers, choices).sum(0)
    objective = cell.weight / cell.latency_unit_s * latency + (1 - cell.weight) * loss
    return choices[:, np.argmin(objective)].astype(int)


def _digital_bandwidths(cell: Cell, powers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    bits, scale, whole = cell.uses(lengths), cell.snr_scale * powers, np.full(len(powers), cell.bandwidth_hz)

    def rate(bandwidths: np.ndarray) -> np.ndarray:
        return bandwidths * cell.bits_per_use(scale / bandwidths)

    if cell.latency == "max":

        def enough(t: float) -> np.ndarray:
            """Bandwidths at which all users end at t."""
            return _bisect(lambda b: rate(b) - bits / t, whole)

        last = float((bits / rate(whole / len(whole))).max())
        first = float((bits / rate(whole)).max())
        t = _first(lambda t: enough(t).sum() - cell.bandwidth_hz, first, last)
        return _within(enough(t), cell)

    def saved(bandwidths: np.ndarray) -> np.ndarray:
        """Seconds that another hertz saves: −dT/dB, falling."""
        step = 1e-6 * bandwidths
        return (bits / rate(bandwidths) - bits / rate(bandwidths + step)) / step

    price = _price(lambda price: _bisect(lambda b: price - saved(b), whole).sum() - cell.bandwidth_hz)
    return _within(_bisect(lambda b: price - saved(b), whole), cell)


def _digital_powers(cell: Cell, bandwidths: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    bits, scale, whole = cell.uses(lengths), cell.snr_scale / bandwidths, np.full(len(bandwidths), cell.power_w)

    def latency(powers: np.ndarray) -> np.ndarray:
        return bits / (bandwidths * cell.bits_per_use(scale * powers))

    if cell.latency == "max":

        def enough(t: float) -> np.ndarray:
            return _bisect(lambda p: t - latency(p), whole)

        first, last = float(latency(whole).max()), float(latency(whole / len(whole)).max())
        t = _first(lambda t: enough(t).sum() - cell.power_w, first, last)
        powers = enough(t)
    else:

        def saved(powers: np.ndarray) -> np.ndarray:
            step = 1e-6 * powers
            return (latency(powers) - latency(powers + step)) / step

        price = _price(lambda price: _bisect(lambda p: price - saved(p), whole).sum() - cell.power_w)
        powers = _bisect(lambda p: price - saved(p), whole)
    return powers * cell.power_w / powers.sum()


def _bisect(rising: Callable[[np.ndarray], np.ndarray], high: np.ndarray) -> np.ndarray:
    """Roots of rising functions of each user's number between 0 and ``high``; ``high`` where there is none below."""
    low, high = high * 1e-15, high.copy()
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        above = rising(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


def _first(excess: Callable[[float], float], first: float, last: float) -> float:
    """The earliest time at which a falling excess has gone; one of the ends where rounding leaves no root between."""
    if excess(first) <= 0:
        return first
    return float(brentq(excess, first, last, xtol=1e-18)) if excess(last) < 0 else last


def _price(excess: Callable[[float], float], above: float | None = None) -> float:
    """The dual variable at which what is asked for is what there is; ``excess`` falls with it."""
    high = above if above is not None else 1.0
    while excess(high) > 0:
        high *= 16
    low = high / 16
    while excess(low) < 0 and low > 1e-300:
        low /= 16
    if excess(low) < 0:
        return low
    return float(np.exp(brentq(lambda log: excess(float(np.exp(log))), np.log(low), np.log(high), xtol=1e-13)))


def _within(bandwidths: np.ndarray, cell: Cell) -> np.ndarray:
    """Bandwidths that rounding has not lifted beyond what there is, nor below the least."""
    bandwidths = np.maximum(bandwidths, cell.min_bandwidth)
    over = bandwidths.sum() / cell.bandwidth_hz
    return bandwidths / over if over > 1 else bandwidths
