"""Answer accuracy against the users' speed, a line an SNR."""

from matplotlib.figure import Figure

from tokcom_phy.results.plotting import against_setting
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    speeds = {link: run.setting(link, "speed") for link in run.experiment.links}
    first = next(iter(speeds))
    pilots, symbols = run.setting(first, "pilot_symbols"), run.setting(first, "num_ofdm_symbols")
    return against_setting(run, speeds, f"speed [m/s], pilots in {len(pilots)} of {symbols} OFDM symbols")
