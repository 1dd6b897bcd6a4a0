"""What the figures in ``plots/`` share: one style, panels that fit a width, looks that survive grey print, controls."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.results.axes import along_axis
from tokcom_phy.results.run import Run
from tokcom_phy.results.styles import PAGE_HEIGHT_IN, PLAIN, current, figure_width
from tokcom_phy.utils.figures import plain

PANEL_IN = 1.7
"""A panel is at least this wide, in text of 8 pt [in]."""


Dashes = str | tuple[float, tuple[float, ...]]
"""A line's dashes as matplotlib takes them."""


class Look(NamedTuple):
    """How one line differs from the others: by colour, and without colour by marker and dashes.

    ``weight`` scales line and marker: what is drawn first is heavier, and shows where a later line covers it.
    """

    colour: str
    marker: str = ""
    dashes: Dashes = "-"
    weight: float = 1.0


LOOKS = [
    Look("#0072b2", "o"),
    Look("#d55e00", "s"),
    Look("#009e73", "^"),
    Look("#cc79a7", "D"),
    Look("#56b4e9", "v"),
    Look("#8a6d00", "P"),
    Look("#000000", "X"),
    Look("#a0a0a0", "*"),
]
DASHES: tuple[Dashes, ...] = ("-", (0, (5, 1.2)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 1, 1, 1, 1, 1)))
"""Of lines in print, in the order in which they are drawn."""
BLIND_LOOKS = [Look("0.6", dashes="--", weight=1.8), Look("0.6", dashes="-.", weight=1.8)]
"""Of blind variants, a wide one under that of the majority control."""
MAJORITY_LOOK = Look("0.15", dashes=":")

HEAVIEST = 2.0
"""Weight of the first of several lines; the last has 1."""


def weights(count: int) -> list[float]:
    """A weight for each of several lines in the order in which they are drawn."""
    return [float(weight) for weight in np.linspace(HEAVIEST, 1.0, count)] if count > 1 else [1.0]


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name, in the order in which they are drawn; in print they differ by dashes too."""
    dashes = cycle(DASHES if current().dashed else ("-",))
    drawn = zip(names, cycle(LOOKS), weights(len(names)), dashes, strict=False)
    return {name: look._replace(weight=weight, dashes=line) for name, look, weight, line in drawn}


def control_looks(run: Run) -> dict[str, Look]:
    """Looks of the controls: blind variants, and the majority control."""
    blind = [variant.name for variant in run.variants(blind=True)]
    return {**dict(zip(blind, cycle(BLIND_LOOKS), strict=False)), MAJORITY: MAJORITY_LOOK}


def ramp(count: int) -> list[str]:
    """Colours from light to dark for ordered values."""
    colours = pyplot.get_cmap("viridis_r")(np.linspace(0.15, 0.95, count))
    return [f"#{int(255 * r):02x}{int(255 * g):02x}{int(255 * b):02x}" for r, g, b, _ in colours]


def ordered_looks(count: int) -> list[Look]:
    """Looks of ordered values, from light to dark."""
    drawn = zip(ramp(count), cycle(LOOKS), weights(count), strict=False)
    return [Look(colour, look.marker, weight=weight) for colour, look, weight in drawn]


def panels(count: int, columns: int | None = None, height: float = 1.75) -> tuple[Figure, list[Axes]]:
    """A figure of the `style`'s width with so many panels, row by row.

    Parameters
    ----------
    count : int
    columns : int, optional
        Panels beside each other where that says something; in print the figure takes both columns of a page for them.
        There are fewer where the width has no room for as many.
    height : float
        Of a panel with its labels [in].
    """
    scale = _scale()
    panel = height * scale * current().height

    def rows_at(width: float) -> int:
        return -(-count // max(min(columns or 4, count, int(width / (PANEL_IN * scale))), 1))

    def fits(width: float) -> bool:
        enough = columns is None or rows_at(width) * min(columns, count) <= count
        return enough and rows_at(width) * panel <= PAGE_HEIGHT_IN

    width = figure_width(fits)
    rows = rows_at(width)
    across = -(-count // rows)  # four panels two by two, not three and one
    size = (width, rows * panel)
    figure, axes = pyplot.subplots(rows, across, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def _scale() -> float:
    """Size of text beside that of a page's figures."""
    return current().size / PLAIN.size


def title(axis: Axes, text: str) -> None:
    """Put a title, in which a user's names may stand, over a panel."""
    spec = axis.get_subplotspec()
    columns = spec.get_gridspec().ncols if spec else 1
    figure = axis.get_figure(root=True)
    assert figure is not None
    room = int(12 * figure.get_figwidth() / _scale() / columns)
    axis.set_title(plain(textwrap.fill(text, max(room, 12))))


def leftmost(axis: Axes) -> bool:
    """Whether a panel stands at the left."""
    spec = axis.get_subplotspec()
    return spec is None or spec.is_first_col()


def curve(axis: Axes, table: pd.DataFrame, x: str, look: Look, band: bool = True) -> Line2D:
    """Draw accuracies [%] or their differences [points] with their intervals.

    Parameters
    ----------
    axis : Axes
    table : DataFrame
        With columns value, ci_low and ci_high as shares of one, and the one that ``x`` names; rows of the same ``x``
        are joined in the order given.
    x : str
    look : Look
    band : bool
        Whether the interval is drawn as a band.
    """
    table = table.sort_values(x, kind="stable")[[x, "value", "ci_low", "ci_high"]].astype(float)
    (line,) = axis.plot(
        table[x],
        100 * table["value"],
        linestyle=look.dashes,
        color=look.colour,
        marker=look.marker,
        markersize=3.6 * look.weight * current().lines,
        markeredgecolor="white",
        markeredgewidth=0.5,
        linewidth=1.1 * look.weight * current().lines,
    )
    if band:
        low, high = 100 * table["ci_low"], 100 * table["ci_high"]
        axis.fill_between(table[x], low, high, color=look.colour, alpha=0.15, linewidth=0)
    return line


def controls(axis: Axes, run: Run, curves: pd.DataFrame, x: str = "snr_db") -> dict[str, Line2D]:
    """Draw the blind variants and the majority control out of a table with one row per value of ``x`` for each."""
    return {
        name: curve(axis, curves[curves["variant"] == name], x, look, band=False)
        for name, look in control_looks(run).items()
        if (curves["variant"] == name).any()
    }


def accuracy_axis(axis: Axes, xlabel: str) -> None:
    """Labels, limits and grid of an axis that shows accuracies."""
    axis.set_xlabel(xlabel)
    if leftmost(axis):
        axis.set_ylabel("answer accuracy [%]")
    axis.set_ylim(0, 103)
    axis.grid(alpha=0.3, linewidth=0.5)


def difference_axis(axis: Axes, xlabel: str, ylabel: str) -> None:
    """Labels, zero line and grid of an axis that shows paired differences."""
    axis.axhline(0, color="0.3", linewidth=0.8)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.grid(alpha=0.3, linewidth=0.5)


def decibels(snr_db: float) -> str:
    """An SNR as a label: ``−10 dB``."""
    return f"{snr_db:g} dB".replace("-", "−")


def log_ticks(axis: Axes) -> None:
    """A logarithmic x axis with plain numbers at 1, 2, 5, 10 and so on, no more than there is room for."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=4))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def ticks_at(axis: Axes, values: Sequence[float]) -> None:
    """Ticks at just these values of x."""
    axis.xaxis.set_major_locator(FixedLocator(sorted(values)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def finish(figure: Figure, run: Run, handles: Mapping[str, Line2D], note: str = "") -> Figure:
    """Put the legend below, and above, in styles with titles, the experiment's and what the intervals rest on, or
    ``note``; the figure grows by what they take."""
    width = figure.get_figwidth() / _scale()
    longest = max((len(name) for name in handles), default=1)
    most = max(1, int((width - 0.1) / (0.053 * longest + 0.6)))
    rows = max(-(-len(handles) // most), 1)
    columns = max(-(-len(handles) // rows), 1)
    labels = [plain(name) for name in handles]
    figure.legend(
        list(handles.values()), labels, loc="outside lower center", ncols=columns, frameon=False, columnspacing=1.2
    )
    lines = []
    if current().titled:
        for text in (run.experiment.title, note or basis(run)):
            lines += textwrap.wrap(text, int(17 * width))
        figure.suptitle(plain("\n".join(lines)))
    figure.set_figheight(figure.get_figheight() + (0.165 * rows + 0.14 * len(lines) + 0.1) * _scale())
    return figure


def basis(run: Run) -> str:
    """How many questions and seeds the accuracies and their intervals rest on."""
    return f"{len(run.questions):,} questions, {seeds_in_words(run)}, bands: 95 % confidence"


def seeds_in_words(run: Run) -> str:
    """How many seeds there are."""
    seeds = len(run.experiment.seeds)
    return f"{seeds} seed{'s' * (seeds > 1)}"


def listener(run: Run) -> str:
    """The first variant that is not blind: the one that an experiment about links is about."""
    return run.variants(blind=False)[0].name


def against_snr(
    run: Run, groups: Mapping[str, Mapping[str, str]], difference: str
) -> tuple[Figure, dict[str, tuple[Axes, Axes]]]:
    """Accuracy of the `listener` against SNR, a line a link; below it, what the first link of each group gains over the
    others, question by question.

    Parameters
    ----------
    run : Run
    groups : title → link → what the legend calls it
        Two panels each.
    difference : str
        Label of the lower panels' axis.

    Returns
    -------
    figure : Figure
    axes : title → upper and lower panel
    """
    variant = listener(run)
    figure, axes = panels(2 * len(groups), len(groups), height=2.0)
    pairs = dict(zip(groups, zip(axes[: len(groups)], axes[len(groups) :], strict=True), strict=True))
    named = looks(list(dict.fromkeys(label for group in groups.values() for label in group.values())))
    handles: dict[str, Line2D] = {}
    drawn: dict[str, Line2D] = {}
    for name, group in groups.items():
        upper, lower = pairs[name]
        first, *others = group
        for link, label in group.items():
            on_link, xlabel = along_axis(run, run.accuracy[run.accuracy["link"] == link], link)
            handles[label] = curve(upper, on_link[on_link["variant"] == variant], "x", named[label])
        drawn |= controls(upper, run, along_axis(run, run.accuracy[run.accuracy["link"] == first], first)[0], "x")
        found = run.accuracy_differences[
            (run.accuracy_differences["variant"] == variant) & (run.accuracy_differences["link"] == first)
        ]
        for link in others:
            against = found[(found["than_link"] == link) & (found["than_variant"] == variant)]
            curve(lower, along_axis(run, against, first)[0], "x", named[group[link]])
        title(upper, name)
        accuracy_axis(upper, xlabel)
        difference_axis(lower, xlabel, difference)
    return finish(figure, run, {**handles, **drawn}), pairs


def against_setting(run: Run, values: Mapping[str, float], xlabel: str, log: bool = False) -> Figure:
    """Accuracy of the `listener` against a setting of the link, a line an SNR.

    Parameters
    ----------
    run : Run
    values : link → its value of the setting
    xlabel : str
    log : bool
        Whether the axis is logarithmic.
    """
    variant = listener(run)
    figure, (axis,) = panels(1, height=2.6)
    table = run.accuracy[run.accuracy["link"].isin(list(values))].copy()
    table["x"] = table["link"].map(values).astype(float)
    snrs = sorted({snr_db for series in run.experiment.resolved().series for snr_db in series.snrs})
    handles: dict[str, Line2D] = {}
    for snr_db, look in zip(snrs, ordered_looks(len(snrs)), strict=True):
        rows = table[(table["variant"] == variant) & (table["snr_db"] == snr_db)]
        handles[decibels(snr_db)] = curve(axis, rows, "x", look)
    handles |= controls(axis, run, table[table["snr_db"] == snrs[-1]], "x")
    if log:
        axis.set_xscale("log", base=2)
    ticks_at(axis, list(values.values()))
    accuracy_axis(axis, textwrap.fill(xlabel, int(16 * figure.get_figwidth() / _scale())))
    return finish(figure, run, handles)
