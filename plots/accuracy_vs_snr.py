"""Answer accuracy against SNR, a panel a link, with confidence bands and the two controls."""

from typing import TYPE_CHECKING

from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from tokcom_phy.experiments.figures import Run

STYLE = {
    "aligned": ("C0", "o", "-"),
    "text-only-alignment": ("C2", "^", "-"),
    "unaligned": ("C1", "s", "-"),
    "blind": ("0.35", None, "--"),
    "majority": ("0.35", None, ":"),
}
ON_AIR = "-on-air"


def draw(run: "Run") -> Figure:
    """A column a link, a second row of panels for questions sent over the air."""
    curves = run.curves
    panels = [
        (link, on_air)
        for on_air in (False, True)
        for link in curves["link"].unique()
        if ((curves["link"] == link) & (curves["variant"].str.endswith(ON_AIR) == on_air)).any()
    ]
    panels = [p for p in panels if _systems(curves, *p)]
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(3.1 * columns, 3.0 * rows + 0.5), sharey=True, squeeze=False, layout="constrained"
    )
    handles: dict[str, Line2D] = {}
    for axis, (link, on_air) in zip(axes.flat, panels, strict=False):
        here = curves[curves["link"] == link]
        for name, (colour, marker, line) in STYLE.items():
            variant = name + ON_AIR if on_air and name != "majority" else name
            curve = here[here["variant"] == variant].sort_values("snr_db")
            if curve.empty:
                continue
            snr, value = curve["snr_db"], 100 * curve["value"]
            (handles[name],) = axis.plot(snr, value, line, color=colour, marker=marker, markersize=4, linewidth=1.4)
            axis.fill_between(snr, 100 * curve["ci_low"], 100 * curve["ci_high"], color=colour, alpha=0.15, linewidth=0)
        axis.set_title(link + (", question on air" if on_air else ""), fontsize=10)
        axis.set_xlabel("SNR [dB]")
        axis.grid(alpha=0.3, linewidth=0.5)
        axis.set_ylim(0, 100)
    for axis in axes[:, 0]:
        axis.set_ylabel("answer accuracy [%]")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles), frameon=False)
    questions = int(curves["n"].max())
    seeds = len(run.config["seeds"])
    figure.suptitle(
        f"{run.config['title']} ({questions} questions, {seeds} seed{'s' * (seeds > 1)}, 95 % confidence)", fontsize=11
    )
    return figure


def _systems(curves, link: str, on_air: bool) -> set[str]:
    """Names of the systems, controls apart, that a panel would show."""
    here = set(curves.loc[curves["link"] == link, "variant"]) - {"majority"}
    return {name for name in here if name.endswith(ON_AIR) == on_air}
