"""The paper's Fig. 3: accuracy against SNR for four token lengths, aligned and unaligned, and what alignment gains on
the same questions and realisations; at the paper's profile also what the paper states."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.experiments.resolve import ResolvedVariant
from tokcom_phy.results.plotting import (
    Look,
    accuracy_axis,
    basis,
    controls,
    curve,
    difference_axis,
    finish,
    ordered_looks,
    panels,
)
from tokcom_phy.results.run import Run

# Stated in arXiv 2505.07841, on MUSIC-AVQA with VALOR-32K for the alignment.
BEST_ACCURACY = 47.9
"""The paper's best accuracy [%]."""
OTHER_MODELS = {"OneLLM-7B": 47.6, "ChatBridge-13B": 43.0}
"""Accuracy [%] that the paper quotes for models that are not sent over the air."""
GAINS = {0: 7.3, 6: 13.7}
"""SNR [dB] → what alignment gains [points]."""

DODGE_DB = 0.6
"""What the gains of two lengths stand apart on the SNR axis, so that each one's interval is seen."""


def draw(run: Run) -> Figure:
    aligned = sorted(run.variants(alignment="contrastive", blind=False), key=lambda v: sum(v.lengths.values()))
    figure, (left, right) = panels(2, 2, height=2.6)
    handles: dict[str, Line2D] = {}
    for place, (variant, look) in enumerate(zip(aligned, ordered_looks(len(aligned)), strict=True)):
        length = variant.lengths["audio"]
        handles[f"aligned, {length} tokens"] = curve(left, _rows(run, variant), "snr_db", look)
        for other in run.variants(alignment="none", blind=False, lengths=variant.lengths):
            dashed = curve(left, _rows(run, other), "snr_db", look._replace(dashes="--"), band=False)
            handles[f"unaligned, {length} tokens"] = dashed
            ours, theirs = run.accuracy_differences["variant"], run.accuracy_differences["than_variant"]
            gain = run.accuracy_differences[(ours == variant.name) & (theirs == other.name)]
            _whiskers(right, gain, look, shift=DODGE_DB * (place - (len(aligned) - 1) / 2))
    handles |= controls(left, run, run.accuracy)
    accuracy_axis(left, "SNR [dB]")
    difference_axis(right, "SNR [dB]", "aligned minus unaligned\n[points]")
    if run.experiment.profile == "paper":
        handles |= _stated(left, right)
    return finish(figure, run, handles, f"{basis(run)}, on the right side by side")


def _rows(run: Run, variant: ResolvedVariant) -> pd.DataFrame:
    return run.accuracy[run.accuracy["variant"] == variant.name]


def _whiskers(axis: Axes, gain: pd.DataFrame, look: Look, shift: float) -> None:
    """Draw differences [points] with their intervals, ``shift`` dB beside their SNR."""
    table = 100 * gain.set_index("snr_db")[["value", "ci_low", "ci_high"]].astype(float).sort_index()
    intervals = np.array([table["value"] - table["ci_low"], table["ci_high"] - table["value"]])
    snr_db = table.index.to_numpy() + shift
    axis.errorbar(snr_db, table["value"], intervals, marker=look.marker, color=look.colour, markersize=3, linewidth=0.8)


def _stated(left, right) -> dict[str, Line2D]:
    """Draw what the paper states."""
    handles = {}
    levels = {"the paper's best": BEST_ACCURACY, **OTHER_MODELS}
    for (name, accuracy), dashes in zip(levels.items(), ("-", (0, (5, 1)), (0, (1, 1))), strict=True):
        handles[f"{name}, {accuracy} %"] = left.axhline(accuracy, color="0.6", linestyle=dashes, linewidth=1.2)
    (handles["the paper's gain"],) = right.plot(list(GAINS), list(GAINS.values()), "*", color="0.2", markersize=9)
    return handles
