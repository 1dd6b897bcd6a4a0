"""Answer accuracy against SNR: a panel a link, and one more where the question goes over the air too; confidence bands
and the two controls."""

from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from pandas import DataFrame

    from tokcom_phy.experiments.figures import Run

CONTROLS = {"blind": "--", "majority": ":"}
LINES = [("C0", "o"), ("C1", "s"), ("C2", "^"), ("C4", "D"), ("C5", "v"), ("C6", "P"), ("C8", "X"), ("C9", "*")]
ON_AIR = "-on-air"


def draw(run: "Run") -> Figure:
    """Variants named ``NAME-on-air`` are drawn as NAME in panels of their own."""
    curves = run.curves
    names = list(dict.fromkeys(name.removesuffix(ON_AIR) for name in run.config["variants"]))
    looks = dict(zip([name for name in names if name not in CONTROLS], cycle(LINES), strict=False))
    links = list(dict.fromkeys(link for series in run.config["evaluate"] for link in series["links"]))
    panels = [
        (link, on_air)
        for on_air in (False, True)
        for link in links
        if _has_systems(curves[curves["link"] == link], on_air)
    ] or [(link, False) for link in links]
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    width = max(3.1 * columns, 6.2)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(width, 3.0 * rows + 0.6), sharey=True, squeeze=False, layout="constrained"
    )
    handles: dict[str, Line2D] = {}
    for axis, (link, on_air) in zip(axes.flat, panels, strict=False):
        for name in [*names, "majority"]:
            variant = name + ON_AIR if on_air and name != "majority" else name
            curve = curves[(curves["link"] == link) & (curves["variant"] == variant)].sort_values("snr_db")
            if curve.empty:
                continue
            colour, marker = looks.get(name, ("0.3", ""))
            line = CONTROLS.get(name, "-")
            snr, accuracy = curve["snr_db"], 100 * curve["value"]
            size = max(7.0 - 1.5 * names.index(name), 3.0) if name in looks else 0.0
            (handles[name],) = axis.plot(
                snr, accuracy, line, color=colour, marker=marker, markersize=size, linewidth=1.3
            )
            if name not in CONTROLS:
                low, high = 100 * curve["ci_low"], 100 * curve["ci_high"]
                axis.fill_between(snr, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set_title(link + (", question on air" if on_air else ""), fontsize=10)
        axis.set_xlabel("SNR [dB]")
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.set_ylim(0, 100)
    for axis in axes[:, 0]:
        axis.set_ylabel("answer accuracy [%]")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    in_a_row = min(len(handles), int(width / 1.5))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=in_a_row, frameon=False)
    questions, seeds = int(curves["n"].max()), len(run.config["seeds"])
    figure.suptitle(
        f"{run.config['title']}: {questions:,} questions, {seeds} seed{'s' * (seeds > 1)}, bands of 95 % confidence",
        fontsize=10,
    )
    return figure


def _has_systems(on_link: "DataFrame", on_air: bool) -> bool:
    """Whether a panel would show anything beside the majority control."""
    variants = on_link.loc[on_link["variant"] != "majority", "variant"]
    return bool((variants.str.endswith(ON_AIR) == on_air).any())
