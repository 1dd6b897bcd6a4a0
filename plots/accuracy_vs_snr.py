"""Answer accuracy against SNR: a panel a link, and one more where the question goes over the air too; confidence bands
and the two controls."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import CONTROLS, MAJORITY, accuracy_axis, curve, finish, looks, panels
from tokcom_phy.results.run import Run

ON_AIR = "-on-air"


def draw(run: Run) -> Figure:
    """Variants named ``NAME-on-air`` are drawn as NAME in panels of their own."""
    named = looks(list(dict.fromkeys([name.removesuffix(ON_AIR) for name in run.config["variants"]] + [MAJORITY])))
    links = list(dict.fromkeys(link for series in run.config["evaluate"] for link in series["links"]))
    shown = [(link, on_air) for on_air in (False, True) for link in links if _has_systems(run, link, on_air)] or [
        (link, False) for link in links
    ]
    columns = min(len(shown), 4)
    figure, axes = panels(-(-len(shown) // columns), columns)
    handles: dict[str, Line2D] = {}
    for axis, (link, on_air) in zip(axes.flat, shown, strict=False):
        curves = run.curves[run.curves["link"] == link]
        for name, look in named.items():
            variant = name + ON_AIR if on_air and name != MAJORITY else name
            rows = curves[curves["variant"] == variant]
            if not rows.empty:
                handles[name] = curve(axis, rows, "snr_db", look, band=name not in CONTROLS)
        axis.set_title(link + (", question on air" if on_air else ""), fontsize=10)
        accuracy_axis(axis, "SNR [dB]", ylabel=axis in axes[:, 0])
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    return finish(figure, run, handles)


def _has_systems(run: Run, link: str, on_air: bool) -> bool:
    """Whether a panel would show anything beside the majority control."""
    variants = run.curves.loc[run.curves["link"] == link, "variant"]
    return bool((variants[variants != MAJORITY].str.endswith(ON_AIR) == on_air).any())
