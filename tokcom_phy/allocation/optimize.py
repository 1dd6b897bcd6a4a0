"""Alternating optimisation of bandwidths, powers and lengths, and the baselines that it is compared with."""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Literal

import numpy as np

from tokcom_phy.allocation.problem import Allocation, Cell
from tokcom_phy.allocation.steps import bandwidth_step, length_step, power_step

Part = Literal["bandwidth", "power", "length"]
PARTS: tuple[Part, ...] = ("bandwidth", "power", "length")

BASELINES: Mapping[str, tuple[Part, ...]] = {
    "equal split": (),
    "fixed length": ("bandwidth", "power"),
    "bandwidth alone": ("bandwidth",),
    "power alone": ("power",),
    "length alone": ("length",),
}
"""Name → what is optimised; the rest is split equally, at the fixed length."""

OPTIMUM = "optimum"

_ENOUGH = 1e-9
"""Relative decrease of the objective at which the alternation ends."""


def alternate(cell: Cell, start: Allocation, parts: Iterable[Part] = PARTS) -> list[Allocation]:
    """Optimise one part after the other until none improves the objective; it never rises.

    Parameters
    ----------
    cell : Cell
    start : Allocation
    parts : what is optimised; the rest stays as it is

    Returns
    -------
    list of Allocation
        After each step, the start first.
    """
    history, chosen = [start], tuple(parts)
    for turn in count():
        before = history[-1]
        for part in chosen:
            history.append(min(_step(cell, history[-1], part), history[-1], key=lambda found: found.objective))
        gained = before.objective - history[-1].objective
        if gained <= _ENOUGH * abs(before.objective) or len(chosen) < 2 or turn == 200:
            return history
    raise AssertionError("count() does not end")


def optimum(cell: Cell, fixed: Mapping[str, int]) -> Allocation:
    """The best allocation that alternations from several starts lead to, the baselines among them.

    Alternation ends where no part alone improves. Lengths are discrete, so such places are many: each length for all
    users is a start, and a better one is looked for by changing one user's length and alternating anew.

    Parameters
    ----------
    cell : Cell
    fixed : user → its length in the baselines
    """
    most = max(len(lengths) for lengths in cell.lengths.values())
    starts = [
        equal_split(cell, {u: s[min(place, len(s) - 1)] for u, s in cell.lengths.items()}) for place in range(most)
    ]
    starts += baselines(cell, fixed).values()
    best = min((alternate(cell, start)[-1] for start in starts), key=lambda found: found.objective)
    while True:
        exchanged = min(_exchanges(cell, best), key=lambda found: found.objective, default=best)
        if exchanged.objective >= best.objective * (1 - np.sign(best.objective) * _ENOUGH):
            return best
        best = alternate(cell, exchanged)[-1]


def baselines(cell: Cell, fixed: Mapping[str, int]) -> dict[str, Allocation]:
    """What `BASELINES` come to; ``fixed`` gives the length of each user where it is not optimised."""
    start = equal_split(cell, fixed)
    return {name: alternate(cell, start, parts)[-1] for name, parts in BASELINES.items()}


def equal_split(cell: Cell, lengths: Mapping[str, int]) -> Allocation:
    """Equal bandwidths and powers."""
    users = len(cell.users)
    power = cell.power_w / (users if cell.power_limit == "total" else 1)
    chosen = np.array([lengths[user] for user in cell.users])
    return cell.evaluate(np.full(users, cell.bandwidth_hz / users), np.full(users, power), chosen)


def _exchanges(cell: Cell, found: Allocation) -> Iterable[Allocation]:
    """Allocations in which one user has another length, with the best bandwidths and powers for it."""
    for user, lengths in cell.lengths.items():
        for length in lengths:
            if length != found.lengths[user]:
                changed = {**found.lengths, user: length}
                start = cell.evaluate(*_arrays(cell, found)[:2], np.array([changed[u] for u in cell.users]))
                yield alternate(cell, start, ("bandwidth", "power"))[-1]


def _step(cell: Cell, now: Allocation, part: Part) -> Allocation:
    bandwidths, powers, lengths = _arrays(cell, now)
    if part == "bandwidth":
        bandwidths = bandwidth_step(cell, powers, lengths)
    elif part == "power":
        powers = power_step(cell, bandwidths, lengths)
    else:
        lengths = length_step(cell, bandwidths, powers)
    return cell.evaluate(bandwidths, powers, lengths)


def _arrays(cell: Cell, found: Allocation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    of_each = (found.bandwidth_hz, found.power_w, found.lengths)
    bandwidths, powers, lengths = (np.array([values[user] for user in cell.users]) for values in of_each)
    return bandwidths, powers, lengths
