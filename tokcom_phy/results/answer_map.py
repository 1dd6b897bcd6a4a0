"""The figure of a map of answers: accuracy and SINR from above, and what simulation at some places says of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tokcom_phy.radio.ofdm_config import SceneConfig
from tokcom_phy.radio.scene_grid import SceneGrid
from tokcom_phy.results.styles import PLAIN, current, figure_width, find_style, styled
from tokcom_phy.utils.figures import plain, save_figure, without_formulas

_LEAST_IN = 6.0
"""Panels stand beside each other: a figure is at least so wide where a style has anything as wide [in]."""

ROOFS, NO_PATH, BASE_STATION = "0.55", "0.88", "#d55e00"
"""Colours of buildings, of ground that no path reaches, and of the base station."""

_BELOW_DB, _ABOVE_DB = -20.0, 30.0
"""Ends of the scale of SINR [dB]."""


@dataclass(frozen=True)
class AnswerMap:
    """A map of answers, and its check.

    Attributes
    ----------
    folder : Path
        Where it is written.
    title : str
    grid : SceneGrid
    scene : SceneConfig
    table : DataFrame
        A row a place: x_m, y_m [m], snr_db, sinr_db of all modalities together and of each [dB], accuracy and its
        interval.
    check : DataFrame
        A row a simulated place: the same as predicted, the simulated accuracy and its interval, and whether the
        predicted one is within.
    answers : int
        That the dependence of accuracy on SNR is measured by.
    """

    folder: Path
    title: str
    grid: SceneGrid
    scene: SceneConfig
    table: pd.DataFrame
    check: pd.DataFrame
    answers: int

    @property
    def verdict(self) -> str:
        """How many simulated places agree with the map, in words."""
        within, count = int(self.check["within"].sum()), len(self.check)
        if not count:
            return "no place simulated"
        error = float((self.check["predicted"] - self.check["simulated"]).abs().mean())
        bar = "" if within >= 0.95 * count else ", fewer than 95 %: the effective SNRs do not say all"
        return (
            f"accuracy within the interval of the simulation at {within} of {count} places{bar}; "
            f"off by {100 * error:.1f} points in the mean"
        )


def draw_map(found: AnswerMap, folder: Path, style: str | None = None) -> list[Path]:
    """Draw a map into ``map.pdf`` and ``map.png`` of a folder; a style adds its name.

    Raises
    ------
    UserError
        If there is no such style, or a file cannot be written.
    """
    pyplot.switch_backend("Agg")
    targets = [folder / f"map{f'-{style}' if style else ''}.{kind}" for kind in ("pdf", "png")]
    with styled(find_style(style)), without_formulas():
        figure = map_figure(found)
        for target in targets:
            metadata = {"CreationDate": None} if target.suffix == ".pdf" else None
            save_figure(figure, target, dpi=200, metadata=metadata)
        pyplot.close(figure)
    return targets


def map_figure(found: AnswerMap) -> Figure:
    """Accuracy and SINR from above; beside them, where places were simulated, predicted against simulated accuracy."""
    count = 3 if len(found.check) else 2
    width, scale = figure_width(lambda width: width >= _LEAST_IN), current().size / PLAIN.size
    size = (width, width / count + 0.35 * scale)
    figure, axes = pyplot.subplots(1, count, figsize=size, layout="constrained", squeeze=False)
    accuracy, sinr, *check = axes.flat
    below: dict[str, Any] = {"location": "bottom", "shrink": 0.9, "aspect": 25}
    low, high = 100 * found.table["accuracy"].min(), 100 * found.table["accuracy"].max()
    shown = _draw_scene(accuracy, found, 100 * found.table["accuracy"], "viridis", (low, high))
    figure.colorbar(shown, ax=accuracy, label="right answers [%]", **below)
    shown = _draw_scene(sinr, found, found.table["sinr_db"], "cividis", (_BELOW_DB, _ABOVE_DB))
    figure.colorbar(shown, ax=sinr, label="SINR after combining [dB]", extend="both", **below)
    if check:
        x, y = found.check["x_m"], found.check["y_m"]
        marks: dict[str, Any] = {"c": 100 * found.check["simulated"], "cmap": "viridis", "vmin": low, "vmax": high}
        accuracy.scatter(x, y, s=22 * scale, edgecolors="white", linewidths=0.8, zorder=3, **marks)
        _draw_check(check[0], found.check)
    where: dict[str, Any] = {"loc": "lower right", "ncols": 2} if check else {"loc": "outside lower center", "ncols": 4}
    handles = [handle for handle in _handles() if check or handle.get_label() != "simulated"]
    figure.legend(handles=handles, frameon=False, handlelength=1.2, columnspacing=1.2, **where)
    if current().titled:
        figure.suptitle(plain(found.title))
    return figure


def _handles() -> list[Artist]:
    """What the legend explains."""
    circle: dict[str, Any] = {
        "marker": "o",
        "ls": "",
        "markerfacecolor": "0.4",
        "markeredgecolor": "0.8",
        "label": "simulated",
    }
    return [
        Line2D([], [], marker="^", ls="", color=BASE_STATION, label="base station"),
        Patch(color=ROOFS, label="built"),
        Line2D([], [], **circle),
        Patch(color=NO_PATH, label="no path"),
    ]


def _draw_scene(
    axes: Axes, found: AnswerMap, values: pd.Series, colours: str, limits: tuple[float, float]
) -> AxesImage:
    """A scene from above, its places coloured by values: the base station, roofs, and places without a path."""
    grid = found.grid
    left, right, bottom, top = grid.extent
    extent: dict[str, Any] = {"extent": (left, right, bottom, top), "origin": "lower", "interpolation": "nearest"}
    on_grid = grid.on_grid(values.to_numpy())
    axes.set_facecolor(NO_PATH)
    shown = axes.imshow(on_grid, cmap=colours, vmin=limits[0], vmax=limits[1], **extent)
    roofs = grid.roofs.numpy().astype(float)
    roofs[~grid.roofs.numpy()] = float("nan")
    axes.imshow(roofs, cmap=ListedColormap([ROOFS]), **extent)
    x, y, _ = found.scene.base_station
    axes.plot(x, y, "^", color=BASE_STATION, markeredgecolor="white", markersize=8, zorder=4)
    axes.set(xlabel="x [m]", ylabel="y [m]", xlim=(left, right), ylim=(bottom, top), aspect="equal")
    return shown


def _draw_check(axes: Axes, check: pd.DataFrame) -> None:
    """Predicted against simulated accuracies [%] with their intervals; those outside are red squares."""
    for within, rows in check.groupby("within", sort=True):
        x, y = 100 * rows["predicted"], 100 * rows["simulated"]
        across = (x - 100 * rows["predicted_low"], 100 * rows["predicted_high"] - x)
        along = (y - 100 * rows["simulated_low"], 100 * rows["simulated_high"] - y)
        look: dict[str, Any] = {"fmt": "o", "color": "#0072b2"} if within else {"fmt": "s", "color": "#d55e00"}
        label = "within" if within else "outside"
        axes.errorbar(x, y, xerr=across, yerr=along, markersize=3, elinewidth=0.8, label=label, **look)
    low = 100 * float(check[["predicted_low", "simulated_low"]].min().min())
    high = 100 * float(check[["predicted_high", "simulated_high"]].max().max())
    axes.axline((low, low), slope=1, color="0.5", lw=0.8, dashes=(4, 2))
    edge = 0.04 * (high - low)
    axes.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge), aspect="equal")
    axes.set(xlabel="right, by the map [%]", ylabel="right, simulated [%]")
    axes.legend(loc="upper left", frameon=False, handlelength=1.2)
