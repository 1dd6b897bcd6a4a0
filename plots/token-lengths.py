"""Accuracy against token length, what each doubling gains, and what losing tokens alone or in bursts costs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import (
    Look,
    accuracy_axis,
    controls,
    curve,
    decibels,
    difference_axis,
    finish,
    looks,
    panels,
    ticks_at,
    title,
)
from tokcom_phy.results.run import Run

NO_LOSS = "ideal"
"""The link on which a system loses no token, beside those on which it does."""


def draw(run: Run) -> Figure:
    losing = list(run.experiment.links)
    (link,) = (name for name in run.experiment.resolved().evaluated_links if name not in (*losing, NO_LOSS))
    snrs = sorted(run.accuracy.loc[run.accuracy["link"] == link, "snr_db"].unique())
    lossy = run.accuracy[run.accuracy["link"].isin(losing)]
    systems = [variant.name for variant in run.variants(blind=False) if (lossy["variant"] == variant.name).any()]
    of_each = looks([*map(decibels, snrs), *systems])
    figure, (left, middle, right) = panels(3)
    handles = {
        **_draw_lengths(left, middle, run, link, {snr_db: of_each[decibels(snr_db)] for snr_db in snrs}),
        **_draw_losses(right, run, losing, {system: of_each[system] for system in systems}),
        **controls(right, run, _by_loss(run, losing), "position"),
    }
    return finish(figure, run, handles)


def _draw_lengths(left: Axes, middle: Axes, run: Run, link: str, of_each: dict[float, Look]) -> dict[str, Line2D]:
    """Accuracy against token length, and what each length gains over half of it, a line an SNR."""
    lengths = {variant.name: max(variant.lengths.values()) for variant in run.variants(blind=False)}
    here = run.accuracy[run.accuracy["link"] == link]
    here = here.assign(length=here["variant"].map(lengths)).dropna(subset="length").sort_values("length")
    pairs = run.accuracy_differences
    pairs = pairs[(pairs["link"] == link) & (pairs["than_link"] == link)]
    pairs = pairs.assign(length=pairs["variant"].map(lengths), half=pairs["than_variant"].map(lengths))
    gains = pairs[pairs["length"] == 2 * pairs["half"]].sort_values("length")
    handles = {}
    for snr_db, look in of_each.items():
        handles[decibels(snr_db)] = curve(left, here[here["snr_db"] == snr_db], "length", look)
        curve(middle, gains[gains["snr_db"] == snr_db], "length", look)
    title(left, f"over {link}")
    title(middle, "gain over half as many")
    accuracy_axis(left, "tokens a modality")
    difference_axis(middle, "tokens a modality", "difference [points]")
    for axis in (left, middle):
        axis.set_xscale("log", base=2)
        ticks_at(axis, sorted(here["length"].unique()))
    return handles


def _draw_losses(axis: Axes, run: Run, losing: list[str], of_each: dict[str, Look]) -> dict[str, Line2D]:
    """Accuracy by how tokens are lost, a line a system."""
    there = _by_loss(run, losing)
    handles = {
        system: curve(axis, there[there["variant"] == system], "position", look) for system, look in of_each.items()
    }
    (rate,) = {run.setting(link, "loss_rate") for link in losing}
    bursts = [run.setting(link, "mean_burst") for link in losing]
    title(axis, f"{100 * rate:g} % of tokens lost")
    accuracy_axis(axis, "mean burst [tokens]")
    axis.set_xticks(range(1 + len(losing)), ["none", *(f"{burst:g}" if burst else "single" for burst in bursts)])
    return handles


def _by_loss(run: Run, losing: list[str]) -> pd.DataFrame:
    """Accuracies without and with losses, at their positions on the axis."""
    position = {link: number for number, link in enumerate((NO_LOSS, *losing))}
    there = run.accuracy[run.accuracy["link"].isin(position)]
    return there.assign(position=there["link"].map(position)).sort_values("position")
