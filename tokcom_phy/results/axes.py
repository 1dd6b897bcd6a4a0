"""The axis that a series sweeps: where its points lie along it, and what it is called."""

import pandas as pd

from tokcom_phy.results.run import Run

LABELS = {"snr_db": "SNR [dB]", "tx_power_dbm": "transmit power [dBm]", "distance_m": "distance [m]"}
"""Axis → label."""


def along_axis(run: Run, table: pd.DataFrame, link: str) -> tuple[pd.DataFrame, str]:
    """A table of points over a link with a column ``x``: where they lie along the axis of the series that sweeps it.

    Points of a link that several series sweep along different axes lie along the SNR.

    Parameters
    ----------
    run : Run
    table : DataFrame
        With a column snr_db.
    link : str

    Returns
    -------
    table : DataFrame
    label : str
        Of the axis, with its unit.
    """
    series = [one for one in run.experiment.resolved().series if link in one.links and one.values]
    axes = {one.axis for one in series} or {"snr_db"}
    if len(axes) > 1 or axes == {"snr_db"}:
        return table.assign(x=table["snr_db"]), LABELS["snr_db"]
    values = {snr: value for one in series for snr, value in zip(one.snr_db[link], one.values, strict=True)}
    return table.assign(x=table["snr_db"].map(values)), LABELS[axes.pop()]
