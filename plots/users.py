"""Answer accuracy against the number of users on the band, a line an SNR."""

from matplotlib.figure import Figure

from tokcom_phy.results.plotting import against_setting
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    ours = len(run.experiment.encoders)
    users = {link: ours + len(run.setting(link, "interferers")) for link in run.experiment.links}
    antennas = run.setting(next(iter(users)), "num_rx_ant")
    return against_setting(run, users, f"users on the band, {antennas} antennas")
