"""Analog tokens against an adaptive digital link at equal channel uses and energy, the fixed schemes thin beneath.

Upper row: answers about clips, with HARQ and with quantisation-aware training. HARQ spends more channel uses at low
SNR. Its curve stands where their mean is equal: at the SNR plus 10·log10 of the mean uses over those of analog tokens,
which is what analog tokens would gain by repetition. Middle row: what analog gains over digital, question by question.
Lower row: the question over the air too, as analog tokens or as identifiers.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import (
    LOOKS,
    accuracy_axis,
    basis,
    controls,
    curve,
    difference_axis,
    finish,
    listener,
    panels,
    title,
)
from tokcom_phy.results.run import Run

ANALOG, ADAPTIVE, HARQ = "analog tokens", "digital, adaptive", "digital, adaptive, with HARQ"
AWARE, IDENTIFIERS = "digital, adaptive, trained through it", "digital, question as identifiers"
MAIN = {
    ANALOG: LOOKS[0]._replace(weight=1.8),
    ADAPTIVE: LOOKS[1]._replace(weight=1.5),
    AWARE: LOOKS[2]._replace(weight=1.2),
    HARQ: LOOKS[3]._replace(weight=1.2),
    IDENTIFIERS: LOOKS[4]._replace(weight=1.2),
}
THIN = 0.7
NOTE = "HARQ at equal mean channel uses"


def draw(run: Run) -> Figure:
    heard = listener(run)
    channels = [series.links for series in run.experiment.evaluate if heard in series.variants]
    count = len(channels)
    figure, axes = panels(3 * count, count, height=1.75)
    handles: dict[str, Line2D] = {}
    fixed: dict[str, Line2D] = {}
    drawn: dict[str, Line2D] = {}
    for position, links in enumerate(channels):
        upper, middle, lower = axes[position], axes[count + position], axes[2 * count + position]
        named = {_label(run, link): link for link in links}
        analog = named[ANALOG]
        for label, look in zip((label for label in named if label not in MAIN), LOOKS[5:], strict=False):
            thin = look._replace(weight=THIN)
            fixed[label] = curve(upper, _rows(run.accuracy, heard, named[label]), "snr_db", thin, band=False)
        for label in (ANALOG, ADAPTIVE, HARQ):
            found = _rows(run.accuracy, heard, named[label])
            shifted = _at_equal_uses(run, found, heard, analog) if label == HARQ else found
            handles[label] = curve(upper, shifted, "snr_db", MAIN[label], band=label != HARQ)
        for variant in run.variants(blind=False, question="reliable"):
            aware = _rows(run.accuracy, variant.name, named[ADAPTIVE])
            if variant.name != heard and len(aware):
                handles[AWARE] = curve(upper, aware, "snr_db", MAIN[AWARE])
        drawn |= controls(upper, run, run.accuracy[run.accuracy["link"] == analog])
        found = _rows(run.accuracy_differences, heard, analog)
        difference = found[(found["than_variant"] == heard) & (found["than_link"] == named[ADAPTIVE])]
        curve(middle, difference, "snr_db", MAIN[ADAPTIVE])
        for label, link in _question_on_air(run, analog).items():
            (variant,) = run.variants(blind=False, question="on-air")
            line = curve(lower, _rows(run.accuracy, variant.name, link), "snr_db", MAIN[label])
            handles.setdefault(label, line)
        title(upper, f"over {analog}")
        title(lower, "question on the air")
        accuracy_axis(upper, "SNR [dB]")
        difference_axis(middle, "SNR [dB]", "analog minus\ndigital [points]")
        accuracy_axis(lower, "SNR [dB]")
    return finish(figure, run, {**handles, **fixed, **drawn}, f"{basis(run)}; {NOTE}")


def _label(run: Run, link: str) -> str:
    """How a link sends tokens."""
    if run.setting(link, "family") != "digital":
        return ANALOG
    if run.setting(link, "harq") is not None:
        return HARQ
    if run.setting(link, "text") == "identifiers":
        return IDENTIFIERS
    if run.setting(link, "adaptation") != "none":
        return ADAPTIVE
    bits, modulation = run.setting(link, "bits"), run.setting(link, "modulation")
    return f"{bits} bit{'s' * (bits != 1)} a value, {modulation}"


def _question_on_air(run: Run, analog: str) -> dict[str, str]:
    """The links over which the question goes too, by label, of the channel of an analog link."""
    on_air = {variant.name for variant in run.variants(question="on-air")}
    for series in run.experiment.evaluate:
        if on_air & set(series.variants) and analog in series.links:
            return {_label(run, link): link for link in series.links}
    return {}


def _at_equal_uses(run: Run, found: pd.DataFrame, variant: str, analog: str) -> pd.DataFrame:
    """A curve at the SNR [dB] that analog tokens would reach by repetition in as many mean channel uses."""
    costs = run.results[(run.results["metric"] == "channel_uses") & (run.results["variant"] == variant)]
    own = costs.loc[(costs["link"] == analog), "value"].iloc[0]
    mean = costs[costs["snr_db"].notna()].groupby(["link", "snr_db"])["value"].mean()
    spent = np.array([mean.get((row.link, row.snr_db), own) for row in found.itertuples()], dtype=float)
    return found.assign(snr_db=found["snr_db"] + 10 * np.log10(spent / own))


def _rows(table: pd.DataFrame, variant: str, link: str) -> pd.DataFrame:
    return table[(table["variant"] == variant) & (table["link"] == link)]
