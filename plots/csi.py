"""Answer accuracy against SNR with perfect and with estimated channel knowledge, and what the estimates cost."""

from matplotlib.figure import Figure

from tokcom_phy.results.plotting import against_snr
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    density = {
        "perfect": "perfect CSI",
        "ls-4-pilots": "LS, 4 pilot symbols a slot",
        "ls-2-pilots": "LS, 2 pilot symbols a slot",
        "ls-1-pilot": "LS, 1 pilot symbol a slot",
    }
    interpolation = {
        "perfect": "perfect CSI",
        "ls-2-pilots": "LS, 2 pilot symbols a slot",
        "ls-2-pilots-nearest": "LS, 2 pilot symbols, nearest",
    }
    groups = {"pilot density (linear interpolation)": density, "interpolation (2 pilot symbols)": interpolation}
    return against_snr(run, groups, "aligned", "perfect CSI minus\nestimated [points]")[0]
