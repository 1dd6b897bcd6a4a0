"""What the figures in ``plots/`` share: looks that survive grey print, bands, controls, legend and title."""

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
from tokcom_phy.results.run import Run

BLIND = "blind"
"""Name that experiments give to the control which neither hears nor sees."""


class Look(NamedTuple):
    """How one line is told from the others: by colour, and without colour by marker and dashes."""

    colour: str
    marker: str = ""
    dashes: str = "-"


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
CONTROLS = {BLIND: Look("0.3", dashes="--"), MAJORITY: Look("0.3", dashes=":")}


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name; the controls have theirs."""
    others = zip([name for name in names if name not in CONTROLS], cycle(LOOKS), strict=False)
    return {**dict(others), **{name: CONTROLS[name] for name in names if name in CONTROLS}}


def ramp(count: int) -> list[str]:
    """Colours from light to dark for ordered values."""
    colours = pyplot.get_cmap("viridis_r")(np.linspace(0.15, 0.95, count))
    return [f"#{int(255 * r):02x}{int(255 * g):02x}{int(255 * b):02x}" for r, g, b, _ in colours]


def panels(rows: int, columns: int, width: float = 3.1, height: float = 3.0) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns axes, wide enough for its title and legend."""
    size = (max(width * columns, 6.4), height * rows + 0.9)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    return figure, axes


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
        look.dashes,
        color=look.colour,
        marker=look.marker,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.4,
        linewidth=1.4,
    )
    if band:
        low, high = 100 * table["ci_low"], 100 * table["ci_high"]
        axis.fill_between(table[x], low, high, color=look.colour, alpha=0.15, linewidth=0)
    return line


def controls(axis: Axes, curves: pd.DataFrame, x: str = "snr_db") -> dict[str, Line2D]:
    """Draw the blind and the majority control out of a table that holds one row per value of ``x`` for each."""
    return {
        name: curve(axis, curves[curves["variant"] == name], x, look, band=False)
        for name, look in CONTROLS.items()
        if (curves["variant"] == name).any()
    }


def accuracy_axis(axis: Axes, xlabel: str, ylabel: bool = True) -> None:
    """Labels, limits and grid of an axis that shows accuracies."""
    axis.set_xlabel(xlabel)
    if ylabel:
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
    """A logarithmic x axis with plain numbers at 1, 2, 5, 10 and so on."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def ticks_at(axis: Axes, values: Sequence[float]) -> None:
    """Ticks at just these values of x."""
    axis.xaxis.set_major_locator(FixedLocator(sorted(values)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def finish(figure: Figure, run: Run, handles: Mapping[str, Line2D], note: str = "") -> Figure:
    """Put the legend below, and above the experiment's title and what the intervals rest on, or ``note``."""
    longest = max((len(name) for name in handles), default=1)
    most = max(1, int(figure.get_figwidth() / (0.075 * longest + 0.55)))
    rows = max(-(-len(handles) // most), 1)
    columns = max(-(-len(handles) // rows), 1)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns, frameon=False)
    figure.suptitle(f"{run.config['title']}\n{note or basis(run)}", fontsize=10)
    return figure


def basis(run: Run) -> str:
    """How many questions and seeds the accuracies and their intervals rest on."""
    seeds = f"{len(run.config['seeds'])} seed{'s' * (len(run.config['seeds']) > 1)}"
    return f"{int(run.curves['n'].max()):,} questions, {seeds}, bands: 95 % confidence"


def against_snr(
    run: Run, groups: Mapping[str, Mapping[str, str]], variant: str, difference: str
) -> tuple[Figure, np.ndarray]:
    """Accuracy of one variant against SNR, a line a link; below it, what the first link of each group gains over the
    others, question by question.

    Parameters
    ----------
    run : Run
    groups : title → link → what the legend calls it
        A column of panels each.
    variant : str
    difference : str
        Label of the lower panels' axis.
    """
    figure, axes = panels(2, len(groups), width=4.2, height=2.7)
    named = looks(list(dict.fromkeys(label for group in groups.values() for label in group.values())))
    handles: dict[str, Line2D] = {}
    for (title, group), (upper, lower) in zip(groups.items(), axes.T, strict=True):
        first, *others = group
        for link, label in group.items():
            on_link = run.curves[run.curves["link"] == link]
            handles[label] = curve(upper, on_link[on_link["variant"] == variant], "snr_db", named[label])
        drawn = controls(upper, run.curves[run.curves["link"] == first])
        found = run.differences[(run.differences["variant"] == variant) & (run.differences["link"] == first)]
        for link in others:
            against = found[(found["than_link"] == link) & (found["than_variant"] == variant)]
            curve(lower, against, "snr_db", named[group[link]])
        upper.set_title(title, fontsize=10)
        accuracy_axis(upper, "SNR [dB]")
        difference_axis(lower, "SNR [dB]", difference)
    return finish(figure, run, {**handles, **drawn}), axes


def against_setting(run: Run, values: Mapping[str, float], xlabel: str, variant: str, log: bool = False) -> Figure:
    """Accuracy of one variant against a setting of the link, a line an SNR.

    Parameters
    ----------
    run : Run
    values : link → its value of the setting
    xlabel : str
    variant : str
    log : bool
        Whether the axis is logarithmic.
    """
    figure, axes = panels(1, 1, width=6.4, height=3.4)
    axis = axes[0, 0]
    table = run.curves[run.curves["link"].isin(list(values))].copy()
    table["x"] = table["link"].map(values).astype(float)
    snrs = sorted({snr_db for series in run.config["evaluate"] for snr_db in series["snr_db"]})
    handles: dict[str, Line2D] = {}
    for snr_db, colour, look in zip(snrs, ramp(len(snrs)), cycle(LOOKS), strict=False):
        rows = table[(table["variant"] == variant) & (table["snr_db"] == snr_db)]
        handles[decibels(snr_db)] = curve(axis, rows, "x", Look(colour, look.marker))
    handles |= controls(axis, table[table["snr_db"] == snrs[-1]], "x")
    if log:
        axis.set_xscale("log", base=2)
    ticks_at(axis, list(values.values()))
    accuracy_axis(axis, xlabel)
    return finish(figure, run, handles)


def training_loss(axis: Axes, run: Run, styles: Mapping[str, Look]) -> dict[str, Line2D]:
    """Loss of every step of stage 2, a line a variant: the mean over the seeds and over a window of steps.

    Parameters
    ----------
    axis : Axes
    run : Run
    styles : variant → Look
    """
    handles = {}
    for variant, look in styles.items():
        trained = [seed for seed in run.config["seeds"] if run.losses(variant, seed)]
        losses = np.mean([run.losses(variant, seed) for seed in trained] or [[np.nan]], axis=0)
        window = smoothing(len(losses))
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        steps = np.arange(len(smooth)) + (window + 1) / 2
        every = max(len(smooth) // 6, 1)
        (handles[variant],) = axis.plot(
            steps,
            smooth,
            look.dashes,
            color=look.colour,
            marker=look.marker,
            markevery=every,
            markersize=5,
            linewidth=1.4,
        )
    axis.set_xlabel("round (optimiser step of stage 2)")
    axis.set_ylabel("training loss [nat]")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    axis.tick_params(axis="y", which="minor", labelsize=8)
    axis.grid(alpha=0.3, linewidth=0.5, which="both")
    return handles


def smoothing(steps: int) -> int:
    """Steps that a loss curve is averaged over."""
    return max(steps // 10, 1)


def loss_by_length(run: Run, modality: str) -> Figure:
    """Training loss per round for the token lengths of one modality, aligned and unaligned, and where it ends.

    Variants are named ``aligned…`` and ``unaligned…``.
    """
    figure, axes = panels(1, 2, width=5.0, height=3.6)
    left, right = axes[0]
    lengths = {
        name: variant["lengths"].get(modality, run.config["lengths"][modality])
        for name, variant in run.config["variants"].items()
    }
    different = sorted(set(lengths.values()))
    of_length = dict(zip(different, zip(ramp(len(different)), LOOKS, strict=False), strict=True))
    styles = {
        name: Look(of_length[s][0], of_length[s][1].marker, "--" if name.startswith("unaligned") else "-")
        for name, s in lengths.items()
    }
    drawn = training_loss(left, run, styles)
    pairs = sorted(drawn, key=lambda name: (lengths[name], name))
    handles = {f"{name.split('-')[0]}, {lengths[name]} {modality} tokens": drawn[name] for name in pairs}
    ends = run.results[run.results["metric"] == "loss"]
    for kind, dashes in (("aligned", "-"), ("unaligned", "--")):
        means = {
            s: ends.loc[ends["variant"] == name, "value"].mean()
            for name, s in lengths.items()
            if name.split("-")[0] == kind
        }
        right.plot(list(means), list(means.values()), dashes, color="0.3", linewidth=1)
        for s, loss in means.items():
            colour, look = of_length[s]
            right.plot([s], [loss], look.marker, color=colour, fillstyle="full" if kind == "aligned" else "none")
    right.set_xscale("log", base=2)
    ticks_at(right, different)
    right.set_xlabel(f"{modality} tokens")
    right.set_ylabel("loss over the last tenth of rounds [nat]")
    right.set_ylim(bottom=0)
    right.grid(alpha=0.3, linewidth=0.5)
    seeds = len(run.config["seeds"])
    steps = run.config["stage2"]["steps"]
    return finish(
        figure, run, handles, f"moving mean of {smoothing(steps)} of {steps} rounds, {seeds} seed{'s' * (seeds > 1)}"
    )
