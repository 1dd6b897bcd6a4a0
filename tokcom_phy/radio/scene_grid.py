"""A scene from above: places on a grid over its ground, their paths to the base station, and the roofs between them.

Traced once and cached, as `tokcom_phy.radio.raytracing` does it for users at random.
"""

import math
import sys
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.ofdm_config import SceneConfig
from tokcom_phy.radio.raytracing import TracedPaths, Tracer, is_served, joined, trace_into, traced_file, traced_tensors
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.progress import tracked

_AT_A_TIME = 64
_FINER = 8
"""Roofs are sampled so many times as finely as places, along each axis."""

_OWN = ("cell", "outdoors", "roofs", "corner")
"""Tensors of a grid beside its paths."""

MAX_PLACES = 20_000
"""Of a grid: each is traced by itself."""


class SceneGrid(NamedTuple):
    """The square around a base station in cells, each with one place at its centre.

    Attributes
    ----------
    paths : TracedPaths
        Of the places that are served, [places, ...].
    cell : int64 [places, 2]
        Row (along y) and column (along x) of each.
    outdoors : bool [cells, cells]
        Whether a cell's centre is on the ground, under the open sky, within the cell's radius.
    roofs : bool [finer, finer]
        Whether anything but the ground is seen from above, on a finer raster of the same square.
    corner : float64 [2]
        x and y of the lowest corner [m].
    cell_size : float
        [m]
    """

    paths: TracedPaths
    cell: Tensor
    outdoors: Tensor
    roofs: Tensor
    corner: Tensor
    cell_size: float

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the square [m], as matplotlib takes it."""
        (x, y), side = self.corner.tolist(), len(self.outdoors) * self.cell_size
        return x, x + side, y, y + side

    def on_grid(self, values: np.ndarray) -> np.ndarray:
        """A value of each place on the cells, float [cells, cells], NaN where there is none."""
        whole = np.full(tuple(self.outdoors.shape), np.nan)
        rows, columns = self.cell.numpy().T
        whole[rows, columns] = values
        return whole


def scene_grid(
    scene: SceneConfig, cell_size: float, carrier_frequency: float, num_rx_ant: int, polarization: str
) -> SceneGrid:
    """The grid of a scene, from the cache file or traced into it.

    Raises
    ------
    UserError
        If there are more than `MAX_PLACES` cells, no place is served, or as `tokcom_phy.radio.raytracing.trace`.
    """
    cells = _cells(scene, cell_size)
    if cells**2 > MAX_PLACES:
        least = 2 * scene.radius / math.isqrt(MAX_PLACES)
        raise UserError(
            f"cells of {cell_size:g} m make {cells**2} places within {scene.radius:g} m, more than {MAX_PLACES}: "
            f"choose cells of at least {math.ceil(10 * least) / 10:g} m, or a smaller scene.radius"
        )
    radio = carrier_frequency, num_rx_ant, polarization
    path = traced_file(scene, *radio, cell_size)
    names = TracedPaths._fields + _OWN
    tensors = traced_tensors(path, names, "tokcom_phy.radio.scene_grid", scene, *radio, cell_size)
    rest = {name: tensors.pop(name) for name in _OWN}
    return SceneGrid(TracedPaths(**tensors), **rest, cell_size=cell_size)


def _cells(scene: SceneConfig, cell_size: float) -> int:
    """Cells along each side of the square."""
    return max(round(2 * scene.radius / cell_size), 1)


def _main(path: str, scene: str, carrier_frequency: str, num_rx_ant: str, polarization: str, cell_size: str) -> None:
    def traced(settings: SceneConfig) -> dict[str, Tensor]:
        grid = trace_grid(settings, float(cell_size), float(carrier_frequency), int(num_rx_ant), polarization)
        own = {name: getattr(grid, name).contiguous() for name in _OWN}
        return {**grid.paths._asdict(), **own}

    trace_into(path, scene, traced)


def trace_grid(
    scene: SceneConfig, cell_size: float, carrier_frequency: float, num_rx_ant: int, polarization: str
) -> SceneGrid:
    """Trace the paths of each place of a grid, with a progress bar on standard error; see `scene_grid`."""
    tracer = Tracer(scene, carrier_frequency, num_rx_ant, polarization)
    cells = _cells(scene, cell_size)
    corner = np.array(scene.base_station[:2]) - cells * cell_size / 2
    x, y, outdoors, height = _seen_from_above(tracer, corner, cells, cell_size)
    near = np.hypot(x - scene.base_station[0], y - scene.base_station[1]) <= scene.radius
    outdoors &= near.reshape(outdoors.shape)
    rows, columns = np.nonzero(outdoors)
    positions = np.stack([x, y, height + scene.user_height], axis=1)[outdoors.ravel()]
    batches = [
        tracer.trace(positions[first : first + _AT_A_TIME])
        for first in tracked(range(0, len(positions), _AT_A_TIME), f"tracing {tracer.name}")
    ]
    paths = joined(batches) if batches else None
    if paths is None or not (served := is_served(paths, scene)).any():
        raise UserError(
            f"scene {tracer.name}: no place on a grid of {cell_size:g} m is served from {list(scene.base_station)}: "
            "change base_station, facing, radius or min_path_gain_db, or choose smaller cells"
        )
    _, _, ground, roof = _seen_from_above(tracer, corner, _FINER * cells, cell_size / _FINER)
    return SceneGrid(
        paths.at(served),
        torch.from_numpy(np.stack([rows, columns], axis=1))[served],
        torch.from_numpy(outdoors),
        torch.from_numpy(~ground & np.isfinite(roof).reshape(ground.shape)),
        torch.from_numpy(corner),
        cell_size,
    )


def _seen_from_above(
    tracer: Tracer, corner: np.ndarray, cells: int, size: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centres x, y of cells [cells²] [m], which are outdoors, bool [cells, cells], and their heights [cells²] [m]."""
    centres = (np.arange(cells) + 0.5) * size
    y, x = (axis.ravel() for axis in np.meshgrid(corner[1] + centres, corner[0] + centres, indexing="ij"))
    outdoors, height = tracer.ground(x, y)
    return x, y, outdoors.reshape(cells, cells), height


if __name__ == "__main__":
    _main(*sys.argv[1:])
