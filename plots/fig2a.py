"""The paper's Fig. 2(a): training loss per round for audio token lengths, aligned and unaligned."""

from matplotlib.figure import Figure

from tokcom_phy.results.loss_plots import loss_by_length
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    return loss_by_length(run, "audio")
