"""Answer accuracy against the users' speed, a line an SNR."""

from matplotlib.figure import Figure

from tokcom_phy.experiments.drawing import against_setting
from tokcom_phy.experiments.figures import Run


def draw(run: Run) -> Figure:
    speeds = {link: run.setting(link, "speed") for link in run.config["links"]}
    pilots = run.setting(next(iter(speeds)), "pilot_symbols")
    return against_setting(run, speeds, f"speed [m/s], pilots in OFDM symbols {pilots} of 14", "aligned")
