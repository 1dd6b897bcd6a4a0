"""Answer accuracy against token length for Slide, mean and max pooling; below it, what Slide gains."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import (
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


def draw(run: Run) -> Figure:
    heard = {variant.name: variant for variant in run.variants(blind=False)}
    lengths = {name: max(variant.lengths.values()) for name, variant in heard.items()}
    compressions = {name: variant.compression for name, variant in heard.items()}
    of_each = looks(list(dict.fromkeys(compressions.values())))
    first = next(iter(of_each))
    accuracy = run.accuracy.assign(length=run.accuracy["variant"].map(lengths))
    pairs = run.accuracy_differences.assign(length=run.accuracy_differences["variant"].map(lengths))
    places = [(link, snr_db) for link in run.experiment.resolved().evaluated_links for snr_db in _snrs(run, link)]
    figure, axes = panels(2 * len(places), columns=len(places))
    handles: dict[str, Line2D] = {}
    drawn: dict[str, Line2D] = {}
    for (link, snr_db), upper, lower in zip(places, axes[: len(places)], axes[len(places) :], strict=True):
        here = accuracy[(accuracy["link"] == link) & (accuracy["snr_db"] == snr_db)]
        there = pairs[(pairs["link"] == link) & (pairs["than_link"] == link) & (pairs["snr_db"] == snr_db)]
        for how, look in of_each.items():
            rows = here[here["variant"].map(compressions) == how].sort_values("length")
            handles[how] = curve(upper, rows, "length", look)
            gain = there[
                (there["variant"].map(compressions) == first) & (there["than_variant"].map(compressions) == how)
            ]
            if how != first:
                curve(lower, gain.sort_values("length"), "length", look)
        levels = here[here["length"].isna()]
        drawn |= controls(upper, run, _at_each(levels, sorted(set(lengths.values()))), "length")
        title(upper, f"{link}, {decibels(snr_db)}")
        accuracy_axis(upper, "tokens a modality")
        difference_axis(lower, "tokens a modality", f"{first} minus\nother [points]")
        for axis in (upper, lower):
            axis.set_xscale("log", base=2)
            ticks_at(axis, sorted(set(lengths.values())))
    return finish(figure, run, {**handles, **drawn})


def _snrs(run: Run, link: str) -> list[float]:
    return sorted(run.accuracy.loc[run.accuracy["link"] == link, "snr_db"].unique())


def _at_each(levels: pd.DataFrame, lengths: list[int]) -> pd.DataFrame:
    """Accuracies that do not depend on a length, at each of them."""
    return levels.drop(columns="length").merge(pd.DataFrame({"length": lengths}), how="cross")
