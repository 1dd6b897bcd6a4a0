"""Answer accuracy against SNR over every family of link, a panel each: aligned, unaligned and the two controls."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import accuracy_axis, controls, curve, finish, looks, panels, title
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    links = run.experiment.resolved().evaluated_links
    figure, axes = panels(len(links), height=1.5)
    handles: dict[str, Line2D] = {}
    for axis, link in zip(axes, links, strict=True):
        curves = run.accuracy[run.accuracy["link"] == link]
        for variant, look in looks([variant.name for variant in run.variants(blind=False)]).items():
            handles[variant] = curve(axis, curves[curves["variant"] == variant], "snr_db", look)
        handles |= controls(axis, run, curves)
        title(axis, link)
        accuracy_axis(axis, "SNR [dB]")
    return finish(figure, run, handles)
