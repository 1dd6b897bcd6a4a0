"""Analog tokens against an adaptive digital link at equal channel uses and energy, the fixed schemes thin beneath.

Below: what analog gains over digital, question by question.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import (
    LOOKS,
    accuracy_axis,
    controls,
    curve,
    difference_axis,
    finish,
    listener,
    panels,
    title,
)
from tokcom_phy.results.run import Run

ANALOG, ADAPTIVE, AWARE = "analog tokens", "digital, adaptive", "digital, adaptive, trained through it"
MAIN = {
    ANALOG: LOOKS[0]._replace(weight=1.8),
    ADAPTIVE: LOOKS[1]._replace(weight=1.5),
    AWARE: LOOKS[2]._replace(weight=1.2),
}
THIN = 0.7


def draw(run: Run) -> Figure:
    heard = listener(run)
    channels = [series.links for series in run.experiment.evaluate if heard in series.variants]
    others = [variant.name for variant in run.variants(blind=False) if variant.name != heard]
    figure, axes = panels(2 * len(channels), len(channels), height=2.0)
    handles: dict[str, Line2D] = {}
    fixed: dict[str, Line2D] = {}
    drawn: dict[str, Line2D] = {}
    for links, upper, lower in zip(channels, axes[: len(channels)], axes[len(channels) :], strict=True):
        named = {_label(run, link): link for link in links}
        for label, look in zip((label for label in named if label not in MAIN), LOOKS[len(MAIN) :], strict=False):
            thin = look._replace(weight=THIN)
            fixed[label] = curve(upper, _rows(run.accuracy, heard, named[label]), "snr_db", thin, band=False)
        for label in (ANALOG, ADAPTIVE):
            handles[label] = curve(upper, _rows(run.accuracy, heard, named[label]), "snr_db", MAIN[label])
        for variant in others:
            handles[AWARE] = curve(upper, _rows(run.accuracy, variant, named[ADAPTIVE]), "snr_db", MAIN[AWARE])
        drawn |= controls(upper, run, run.accuracy[run.accuracy["link"] == named[ANALOG]])
        found = _rows(run.accuracy_differences, heard, named[ANALOG])
        difference = found[(found["than_variant"] == heard) & (found["than_link"] == named[ADAPTIVE])]
        curve(lower, difference, "snr_db", MAIN[ADAPTIVE])
        title(upper, f"over {named[ANALOG]}")
        accuracy_axis(upper, "SNR [dB]")
        difference_axis(lower, "SNR [dB]", "analog minus\ndigital [points]")
    return finish(figure, run, {**handles, **fixed, **drawn})


def _label(run: Run, link: str) -> str:
    """How a link sends tokens."""
    if run.setting(link, "family") != "digital":
        return ANALOG
    if run.setting(link, "adaptation") != "none":
        return ADAPTIVE
    bits, modulation = run.setting(link, "bits"), run.setting(link, "modulation")
    return f"{bits} bit{'s' * (bits != 1)} a value, {modulation}"


def _rows(table: pd.DataFrame, variant: str, link: str) -> pd.DataFrame:
    return table[(table["variant"] == variant) & (table["link"] == link)]
