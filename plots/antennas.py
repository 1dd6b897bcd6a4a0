"""Answer accuracy against the number of antennas of the base station, a line an SNR."""

from matplotlib.figure import Figure

from tokcom_phy.results.plotting import against_setting
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    antennas = {link: run.setting(link, "num_rx_ant") for link in run.experiment.links}
    users = len(run.setting(next(iter(antennas)), "users"))
    return against_setting(run, antennas, f"antennas of the base station, {users} users at once", log=True)
