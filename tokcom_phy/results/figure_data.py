"""The numbers that a figure shows, read from its axes, so that a figure of one's own has them too."""

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

DATA_COLUMNS = ["panel", "title", "x_label", "y_label", "series", "x", "y", "low", "high"]
"""Columns of `figure_data`."""


def figure_data(figure: Figure) -> pd.DataFrame:
    """What a figure shows, a row a point, in the units of its axes.

    Returns
    -------
    DataFrame
        Columns panel (from 1), title, x_label, y_label (those of the panel at the left where it has none of its own),
        series (as the legend calls it), x and y, low and high (of a band or whisker at x). A heat map has the names of
        its columns and rows as x and y, and one more column, value.
    """
    names = _legend_names(figure)
    rows: list[dict[str, Any]] = []
    shown = [axis for axis in figure.axes if axis.get_visible()]
    left = ""
    for number, axis in enumerate(shown, 1):
        left = axis.get_ylabel() or left
        panel = {
            "panel": number,
            "title": _words(axis.get_title()),
            "x_label": _words(axis.get_xlabel()),
            "y_label": _words(left),
        }
        rows += [panel | row for row in (*_curves(axis, names), *_heat_maps(axis))]
    table = pd.DataFrame(rows)
    columns = [*DATA_COLUMNS, *(["value"] if "value" in table else [])]
    return table.reindex(columns=columns)


def _words(text: str) -> str:
    return " ".join(text.replace(r"\$", "$").split())


def _legend_names(figure: Figure) -> dict[Hashable, str]:
    """Look → name in a legend."""
    legends = [*figure.legends, *(legend for axis in figure.axes if (legend := axis.get_legend()))]
    return {_look(line): _words(text.get_text()) for legend in legends for line, text in _entries(legend)}


def _entries(legend: Legend) -> Iterator[tuple[Line2D, Any]]:
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        if isinstance(handle, Line2D):
            yield handle, text


def _look(line: Line2D) -> Hashable:
    """What tells lines apart; the pattern of dashes is told by its name alone, which a legend keeps."""
    return to_hex(line.get_color()), line.get_marker(), line.get_linestyle(), line.get_fillstyle()


def _curves(axis: Axes, names: dict[Hashable, str]) -> Iterator[dict[str, Any]]:
    """Lines with the band that is drawn after each, or their whiskers; and points. Lines across the panel, as that at
    zero, hold no data and are left out."""
    children = axis.get_children()
    whiskers = {
        id(container.lines[0]): container.lines[2][0]
        for container in axis.containers
        if isinstance(container, ErrorbarContainer) and container.lines[2]
    }
    for place, child in enumerate(children):
        if isinstance(child, Line2D) and child.get_visible() and child.get_transform() is axis.transData:
            label = str(child.get_label())
            name = names.get(_look(child), "" if label.startswith("_") else _words(label))
            following = children[place + 1] if place + 1 < len(children) else None
            limits = _whisker_limits(whiskers[id(child)]) if id(child) in whiskers else _band_limits(following)
            for x, y in zip(np.asarray(child.get_xdata()), np.asarray(child.get_ydata()), strict=True):
                low, high = limits.get(float(x), (np.nan, np.nan))
                yield {"series": name, "x": float(x), "y": float(y), "low": low, "high": high}
        elif isinstance(child, PathCollection):
            for x, y in np.asarray(child.get_offsets()):
                yield {"series": _words(str(child.get_label()).removeprefix("_")), "x": float(x), "y": float(y)}


def _band_limits(child: object) -> dict[float, tuple[float, float]]:
    """x → ends of a band."""
    if not isinstance(child, PolyCollection):
        return {}
    corners = np.concatenate([path.vertices for path in child.get_paths()] or [np.zeros((0, 2))])
    return {
        float(x): (float(corners[corners[:, 0] == x, 1].min()), float(corners[corners[:, 0] == x, 1].max()))
        for x in np.unique(corners[:, 0])
    }


def _whisker_limits(bars: LineCollection) -> dict[float, tuple[float, float]]:
    """x → ends of a whisker; one that is not a number has no segment."""
    segments = (ends for ends in bars.get_segments() if len(ends))
    return {float(ends[0, 0]): (float(ends[:, 1].min()), float(ends[:, 1].max())) for ends in segments}


def _heat_maps(axis: Axes) -> Iterator[dict[str, Any]]:
    """Cells of images, by the labels of their columns and rows."""
    for image in axis.get_images():
        if not isinstance(image, AxesImage):
            continue
        values = np.asarray(image.get_array())
        if values.ndim != 2:
            continue
        columns = _tick_names(axis.get_xticks(), axis.get_xticklabels(), values.shape[1])
        rows = _tick_names(axis.get_yticks(), axis.get_yticklabels(), values.shape[0])
        for (row, column), value in np.ndenumerate(values):
            yield {"series": "", "x": columns[column], "y": rows[row], "value": float(value)}


def _tick_names(ticks: Any, labels: Any, count: int) -> list[str]:
    named = {round(float(tick)): _words(label.get_text()) for tick, label in zip(ticks, labels, strict=True)}
    return [named.get(place) or str(place) for place in range(count)]
