"""Accuracy of systems trained on one link and tested on another, as a heat map with the two controls; and what training
at a range of SNRs changes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokcom_phy.results.plotting import (
    accuracy_axis,
    basis,
    control_looks,
    controls,
    curve,
    decibels,
    finish,
    looks,
    panels,
    plain,
    title,
)
from tokcom_phy.results.run import Run

TEST_SNR_DB = 10.0


def draw(run: Run) -> Figure:
    figure, (left, right) = panels(2, 2, height=2.9)
    matrix(left, run)
    (ranged,) = [variant for variant in run.variants(blind=False) if isinstance(variant.stage2.snr_db, tuple)]
    link = ranged.stage2_link.name
    labels = {
        variant.name: f"trained at {_snr_in_words(variant.stage2.snr_db)}"
        for variant in run.variants(blind=False)
        if variant.stage2_link.name == link
    }
    there = run.accuracy[run.accuracy["link"] == link]
    handles = {
        labels[variant]: curve(right, there[there["variant"] == variant], "snr_db", look)
        for variant, look in looks(list(labels)).items()
    }
    handles |= controls(right, run, there)
    title(right, f"tested on {link}")
    accuracy_axis(right, "SNR [dB]")
    return finish(figure, run, handles, f"{basis(run)}, in the table ±")


def _snr_in_words(snr_db: float | tuple[float, float]) -> str:
    return " to ".join(map(decibels, snr_db)) if isinstance(snr_db, tuple) else decibels(snr_db)


def matrix(axis: Axes, run: Run) -> None:
    """Rows are what a system was trained on, columns what it is tested on."""
    tested = run.experiment.resolved().evaluated_links
    trained = [variant.name for variant in run.variants(blind=False)]
    rows = [*trained, *control_looks(run)]
    wanted = pd.MultiIndex.from_product([rows, tested])
    table = run.accuracy[run.accuracy["snr_db"] == TEST_SNR_DB].set_index(["variant", "link"]).reindex(wanted)
    values = 100 * table["value"].to_numpy(dtype=float).reshape(len(rows), len(tested))
    halves = 50 * (table["ci_high"] - table["ci_low"]).to_numpy(dtype=float).reshape(values.shape)
    axis.imshow(values, cmap="Greys", vmin=0, vmax=250, aspect="auto")  # light enough for black text at 100 %
    for (y, x), value in np.ndenumerate(values):
        axis.text(x, y, f"{value:.0f}\n±{halves[y, x]:.0f}", ha="center", va="center", fontsize=6.5)
    axis.set_xticks(range(len(tested)), [plain(link) for link in tested], rotation=30, ha="right", fontsize=6.5)
    axis.set_yticks(range(len(rows)), rows, fontsize=6.5)
    axis.axhline(len(trained) - 0.5, color="black", linewidth=1.2)
    axis.set_xlabel("tested on")
    axis.set_ylabel("trained on (below: controls)")
    title(axis, f"accuracy [%] at {decibels(TEST_SNR_DB)}")
