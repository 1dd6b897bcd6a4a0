"""Answer accuracy against SNR over every family of link, a panel each: aligned, unaligned and the two controls."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import accuracy_axis, controls, curve, finish, looks, panels
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    links = run.config["evaluate"][0]["links"]
    figure, axes = panels(-(-len(links) // 5), 5, width=2.2, height=2.2)
    handles: dict[str, Line2D] = {}
    for axis, link in zip(axes.flat, links, strict=False):
        curves = run.curves[run.curves["link"] == link]
        for variant, look in looks(["aligned", "unaligned"]).items():
            handles[variant] = curve(axis, curves[curves["variant"] == variant], "snr_db", look)
        handles |= controls(axis, curves)
        axis.set_title(link, fontsize=10)
        accuracy_axis(axis, "SNR [dB]", ylabel=axis in axes[:, 0])
    for axis in axes.flat[len(links) :]:
        axis.set_visible(False)
    return finish(figure, run, handles)
