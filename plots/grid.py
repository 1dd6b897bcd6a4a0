"""Answer accuracy over a grid of settings: a heat map for two keys, a line for one; a panel each variant and SNR."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokcom_phy.results.plotting import accuracy_axis, decibels, finish, panels
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    resolved = run.experiment.resolved()
    keys = list(run.experiment.grid)
    cells = {name: dict(item.cell) for table in (resolved.links, resolved.variants) for name, item in table.items()}
    curves = run.curves[run.curves["variant"].isin(list(resolved.variants))].copy()
    pairs = list(zip(curves["link"], curves["variant"], strict=True))
    for key in keys:
        curves[key] = [{**cells[link], **cells[variant]}[key] for link, variant in pairs]
    curves["base"] = [resolved.variants[name].base for name in curves["variant"]]
    curves = curves[~curves["variant"].map(lambda name: resolved.variants[name].blind)]
    groups = list(curves.groupby(["base", "snr_db"], sort=False))
    columns = min(len(groups), 3)
    figure, axes = panels(-(-len(groups) // columns), columns, width=3.6, height=3.0)
    for axis, ((base, snr_db), part) in zip(axes.flat, groups, strict=False):
        axis.set_title(f"{base}, {decibels(snr_db)}", fontsize=10)
        if len(keys) == 1:
            _line(axis, part, keys[0])
        else:
            _heat_map(axis, part, keys[0], keys[1])
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    return finish(figure, run, {})


def _line(axis: Axes, part: pd.DataFrame, key: str) -> None:
    part = part.groupby(key, sort=False)[["value", "ci_low", "ci_high"]].mean()
    x = np.arange(len(part))
    axis.plot(x, 100 * part["value"], "o-", color="#0072b2")
    axis.fill_between(x, 100 * part["ci_low"], 100 * part["ci_high"], color="#0072b2", alpha=0.15, linewidth=0)
    axis.set_xticks(x, [_label(value) for value in part.index])
    accuracy_axis(axis, key)


def _heat_map(axis: Axes, part: pd.DataFrame, down: str, across: str) -> None:
    table = part.pivot_table("value", down, across, sort=False) * 100
    half = part.assign(half=(part["ci_high"] - part["ci_low"]) / 2).pivot_table("half", down, across, sort=False) * 100
    axis.imshow(table, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for row, column in np.ndindex(table.shape):
        value = table.iat[row, column]
        colour = "black" if value > 60 else "white"
        text = f"{value:.1f}\n±{half.iat[row, column]:.1f}"
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(table.shape[1]), [_label(value) for value in table.columns])
    axis.set_yticks(range(table.shape[0]), [_label(value) for value in table.index])
    axis.set_xlabel(across)
    axis.set_ylabel(down)


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
