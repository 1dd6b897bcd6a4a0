"""Answer accuracy over a grid of settings: a heat map for two keys, a line for one; a panel each variant and SNR."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokcom_phy.results.plotting import accuracy_axis, basis, decibels, finish, panels, plain, title
from tokcom_phy.results.run import Run

SHOWN = 12
"""Most panels of one figure."""


def draw(run: Run) -> Figure:
    keys = list(run.experiment.grid)
    table = _with_cells(run, keys)
    groups = list(table.groupby(["base", "snr_db"], sort=False))[:SHOWN]
    figure, axes = panels(len(groups), 3, height=2.2)
    for axis, ((base, snr_db), part) in zip(axes, groups, strict=True):
        title(axis, f"{base}, {decibels(snr_db)}")
        if len(keys) == 1:
            _line(axis, part, keys[0], run.experiment.grid)
        else:
            _heat_map(axis, part, keys[0], keys[1], run.experiment.grid)
    return finish(figure, run, {}, f"{basis(run)}, in the cells ±")


def _with_cells(run: Run, keys: list[str]) -> pd.DataFrame:
    """Accuracy of each variant that hears or sees something, with its place in the grid."""
    resolved = run.experiment.resolved()
    heard = {variant.name for variant in run.variants(blind=False)}
    table = run.accuracy[run.accuracy["variant"].isin(heard)].copy()
    pairs = list(zip(table["link"], table["variant"], strict=True))
    for key in keys:
        table[key] = [_label({**resolved.links[link].cell, **resolved.variants[who].cell}[key]) for link, who in pairs]
    bases = [(resolved.variants[who].base, resolved.links[link].base) for link, who in pairs]
    several = len({link for _, link in bases}) > 1
    table["base"] = [f"{variant} over {link}" if several else variant for variant, link in bases]
    return table


def _line(axis: Axes, part: pd.DataFrame, key: str, grid: Mapping[str, Sequence[Any]]) -> None:
    values = [_label(value) for value in grid[key]]
    part = 100 * part.groupby(key)[["value", "ci_low", "ci_high"]].mean().reindex(values)
    x = np.arange(len(values))
    axis.plot(x, part["value"], "o-", color="#0072b2")
    axis.fill_between(x, part["ci_low"], part["ci_high"], color="#0072b2", alpha=0.15, linewidth=0)
    axis.set_xticks(x, values)
    accuracy_axis(axis, plain(key))


def _heat_map(axis: Axes, part: pd.DataFrame, down: str, across: str, grid: Mapping[str, Sequence[Any]]) -> None:
    """Rows are values of one key, columns of another; of further keys the mean is shown."""
    part = part.assign(half=(part["ci_high"] - part["ci_low"]) / 2)
    rows, columns = ([_label(value) for value in grid[key]] for key in (down, across))
    values, halves = (
        100 * part.pivot_table(of, down, across).reindex(index=rows, columns=columns) for of in ("value", "half")
    )
    axis.imshow(values, cmap="Greys", vmin=0, vmax=250, aspect="auto")  # light enough for black text at 100 %
    for (y, x), value in np.ndenumerate(values.to_numpy()):
        axis.text(x, y, f"{value:.0f}\n±{halves.iat[y, x]:.0f}", ha="center", va="center", fontsize=6.5)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xlabel(plain(across))
    axis.set_ylabel(plain(down))


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else plain(str(value))
