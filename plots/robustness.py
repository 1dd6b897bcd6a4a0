"""Accuracy of systems trained on one link and tested on another, as a heat map with the two controls; and what training
at a range of SNRs changes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokcom_phy.results.plotting import (
    CONTROLS,
    accuracy_axis,
    basis,
    controls,
    curve,
    decibels,
    finish,
    looks,
    panels,
)
from tokcom_phy.results.run import Run

TEST_SNR_DB = 10.0
RANGE = "awgn-range"


def draw(run: Run) -> Figure:
    figure, axes = panels(1, 2, width=4.8, height=3.8)
    left, right = axes[0]
    matrix(left, run)
    low, high = run.config["variants"][RANGE]["stage1"]["snr_db"]
    usual = decibels(run.config["stage1"]["snr_db"])
    labels = {"awgn": f"trained at {usual}", RANGE: f"trained at {decibels(low)} to {decibels(high)}"}
    on_awgn = run.curves[run.curves["link"] == "awgn"]
    handles = {
        labels[variant]: curve(right, on_awgn[on_awgn["variant"] == variant], "snr_db", look)
        for variant, look in looks(list(labels)).items()
    }
    handles |= controls(right, on_awgn)
    right.set_title("tested on awgn", fontsize=10)
    accuracy_axis(right, "SNR [dB]")
    return finish(figure, run, handles, f"{basis(run)} (± in the table)")


def matrix(axis: Axes, run: Run) -> None:
    """Rows are what a system was trained on, columns what it is tested on."""
    tested = run.config["evaluate"][0]["links"]
    trained = [name for name in run.config["variants"] if name not in CONTROLS]
    rows = [*trained, *CONTROLS]
    wanted = pd.MultiIndex.from_product([rows, tested])
    table = run.curves[run.curves["snr_db"] == TEST_SNR_DB].set_index(["variant", "link"]).reindex(wanted)
    cells = [[table.loc[(variant, link)] for link in tested] for variant in rows]
    values = np.array([[100 * cell["value"] for cell in row] for row in cells])
    axis.imshow(values, cmap="Greys", vmin=0, vmax=120, aspect="auto")
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            half = 50 * (cell["ci_high"] - cell["ci_low"])
            colour = "white" if values[y, x] > 65 else "black"
            axis.text(x, y, f"{values[y, x]:.0f}\n±{half:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(len(tested)), tested, rotation=20, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
    axis.axhline(len(trained) - 0.5, color="black", linewidth=1.2)
    axis.set_xlabel("tested on")
    axis.set_ylabel("trained on (below the line: controls)")
    axis.set_title(f"accuracy [%] at {decibels(TEST_SNR_DB)}", fontsize=10)
