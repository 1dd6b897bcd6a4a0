"""Analog tokens against quantised, coded and modulated ones at equal channel uses and energy: the cliff, and the SNR at
which the digital curve rises above the analog one."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tokcom_phy.results.plotting import against_snr, decibels, listener, title
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    groups = {
        f"over {series.links[0]}": {link: _label(run, link) for link in series.links}
        for series in run.experiment.evaluate
    }
    figure, axes = against_snr(run, groups, "analog minus\ndigital [points]")
    for name, group in groups.items():
        analog, *others = group
        found = run.accuracy_differences[
            (run.accuracy_differences["variant"] == listener(run)) & (run.accuracy_differences["link"] == analog)
        ]
        crossings = []
        for link in others:
            difference = found[found["than_link"] == link]
            snr_db = crossing(difference)
            if snr_db is None:
                continue
            shown = (difference.loc[difference["snr_db"] > snr_db, "ci_high"] < 0).any()
            for axis in axes[name]:
                axis.axvline(snr_db, color="0.3", linewidth=0.8, linestyle="-.", zorder=0)
            crossings.append(decibels(round(snr_db, 1)) + ("" if shown else " (within the interval)"))
        if crossings:
            title(axes[name][1], f"crossing at {', '.join(crossings)}")
    return figure


def _label(run: Run, link: str) -> str:
    """How a link sends tokens."""
    if run.setting(link, "family") != "digital":
        return "analog tokens"
    bits, modulation = run.setting(link, "bits"), run.setting(link, "modulation")
    return f"{bits} bit{'s' * (bits != 1)} a value, {modulation}"


def crossing(difference: pd.DataFrame) -> float | None:
    """SNR [dB] above which digital answers better than analog for good, by linear interpolation; None without one."""
    difference = difference.sort_values("snr_db")
    snr_db, gain = difference["snr_db"].to_numpy(), difference["value"].to_numpy()
    last = np.flatnonzero(gain > 0).max(initial=-1)
    if last in (-1, len(gain) - 1):
        return None
    return float(np.interp(0, gain[[last + 1, last]], snr_db[[last + 1, last]]))
