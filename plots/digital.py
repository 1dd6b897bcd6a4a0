"""Analog tokens against quantised, coded and modulated ones at equal channel uses and energy: the cliff, and the SNR at
which the digital curve rises above the analog one."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tokcom_phy.results.plotting import against_snr, decibels
from tokcom_phy.results.run import Run

ANALOG = "analog tokens"
AWGN = {
    "awgn": ANALOG,
    "digital-1-bit": "1 bit a value, 16-QAM",
    "digital-2-bits": "2 bits a value, 64-QAM",
}
TDL = {
    "ofdm-tdl-c": ANALOG,
    "digital-2-bits-tdl-c": "2 bits a value, 64-QAM",
}


def draw(run: Run) -> Figure:
    groups = {"over awgn": AWGN, "over ofdm-tdl-c": TDL}
    figure, axes = against_snr(run, groups, "aligned", "analog minus\ndigital [points]")
    for group, (upper, lower) in zip(groups.values(), axes.T, strict=True):
        analog, *digital = group
        found = run.differences[(run.differences["variant"] == "aligned") & (run.differences["link"] == analog)]
        for link in digital:
            difference = found[found["than_link"] == link]
            snr_db = crossing(difference)
            if snr_db is None:
                continue
            shown = (difference.loc[difference["snr_db"] > snr_db, "ci_high"] < 0).any()
            for axis in (upper, lower):
                axis.axvline(snr_db, color="0.3", linewidth=0.8, linestyle="-.")
            lower.annotate(
                f"crossing at {decibels(round(snr_db, 1))}" + ("" if shown else ",\nwithin the interval"),
                (snr_db, 0.97),
                xycoords=("data", "axes fraction"),
                rotation=90,
                va="top",
                ha="right",
                fontsize=8,
            )
    return figure


def crossing(difference: pd.DataFrame) -> float | None:
    """SNR [dB] above which digital answers better than analog for good, by linear interpolation; None without one."""
    difference = difference.sort_values("snr_db")
    snr_db, gain = difference["snr_db"].to_numpy(), difference["value"].to_numpy()
    last = np.flatnonzero(gain > 0).max(initial=-1)
    if last in (-1, len(gain) - 1):
        return None
    return float(np.interp(0, gain[[last + 1, last]], snr_db[[last + 1, last]]))
