"""Ray tracing: users dropped on the streets of a scene, and their paths to the base station, traced once.

Traced paths are cached in a file, for other links, SNRs, speeds, runs and processes.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pad

from tokcom_phy.radio.engine import describe, engine
from tokcom_phy.radio.llvm import INSTALL, obstacle, use_llvm
from tokcom_phy.radio.ofdm_config import SceneConfig
from tokcom_phy.utils.errors import UserError, nearest, reason
from tokcom_phy.utils.files import cache_folder, write_atomically

_MISTAKE = 2
_FORMAT = 1
_AT_A_TIME = 32
_RAYS = 10**5
_MAX_EMPTY_BATCHES = 32
"""Consecutive batches of positions without a served one after which tracing is given up."""


class TracedPaths(NamedTuple):
    """Propagation paths between each position of a user and the base station.

    Attributes
    ----------
    a : complex64 [positions, num_rx_ant, paths]
        Coefficients at the carrier frequency, the strongest path first, zero where there are fewer paths.
    tau : float32 [positions, paths]
        Delay after the first path [s].
    doppler : float32 [positions, paths]
        Doppler shift over the user's speed [Hz per m/s].
    position : float32 [positions, 3]
        [m]
    heading : float32 [positions, 3]
        Direction of the user's motion, a unit vector.
    """

    a: Tensor
    tau: Tensor
    doppler: Tensor
    position: Tensor
    heading: Tensor

    @property
    def gain(self) -> Tensor:
        """Path gain: sum of |a|² over the paths, mean over the antennas, float32 [positions]."""
        return self.a.abs().square().sum(2).mean(1)

    def at(self, positions: Tensor) -> "TracedPaths":
        """The paths of some positions: int64 or bool."""
        return TracedPaths(*(tensor[positions] for tensor in self))


def scene_file(name: str) -> Path:
    """The Mitsuba file of a scene: one that Sionna RT ships by name, or a user's own by path.

    Raises
    ------
    UserError
        If there is no such scene, or a mesh that it names is missing.
    """
    if name.endswith(".xml"):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"no scene at {path}: give the path of a Mitsuba file, or the name of a scene of Sionna RT")
        for mesh in _meshes(path):
            if not mesh.is_file():
                raise UserError(f"scene {path} names {mesh}, which is not there: put its meshes beside it")
        return path
    spec = find_spec("sionna.rt")
    if spec is None:
        raise UserError("ray tracing needs Sionna RT, which is not installed: pip install sionna-rt")
    built_in = {path.stem: path for folder in spec.submodule_search_locations or () for path in _scenes(Path(folder))}
    if name not in built_in:
        raise UserError(f"unknown scene '{name}': {nearest(name, built_in)}")
    return built_in[name]


def _scenes(package: Path) -> Iterator[Path]:
    return (path for path in package.glob("scenes/*/*.xml") if path.stem == path.parent.name)


def _meshes(path: Path) -> list[Path]:
    """The mesh files that a scene file names."""
    named = re.findall(r'name="filename"\s+value="([^"]+)"', path.read_text(encoding="utf-8", errors="replace"))
    return [path.parent / name for name in sorted(set(named))]


def traced_file(scene: SceneConfig, carrier_frequency: float, num_rx_ant: int, polarization: str, *more: float) -> Path:
    """The file of a scene's cached paths, named by a hash of everything that determines them, ``more`` among it.

    Raises
    ------
    UserError
        If there is no such scene.
    """
    path = scene_file(scene.name)
    content = hashlib.sha256(path.read_bytes())
    for mesh in _meshes(path):
        content.update(mesh.read_bytes())
    settings = {**scene.model_dump(mode="json"), "name": content.hexdigest()}
    key = [_FORMAT, metadata.version("sionna-rt"), settings, carrier_frequency, num_rx_ant, polarization, *more]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "ray-tracing" / f"{path.stem}-{digest}.safetensors"


def traced_paths(scene: SceneConfig, carrier_frequency: float, num_rx_ant: int, polarization: str) -> TracedPaths:
    """The paths of a scene, from the cache file or traced into it.

    Raises
    ------
    UserError
        As `trace`.
    """
    path = traced_file(scene, carrier_frequency, num_rx_ant, polarization)
    radio = carrier_frequency, num_rx_ant, polarization
    return TracedPaths(**traced_tensors(path, TracedPaths._fields, "tokcom_phy.radio.raytracing", scene, *radio))


def traced_tensors(
    path: Path, names: Sequence[str], module: str, scene: SceneConfig, *arguments: float | int | str
) -> dict[str, Tensor]:
    """The tensors of a cache file, or those that a module traces into it. A file lock lets one process trace at a time.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Of the tensors; a file that holds others is made anew.
    module : str
        It is run as ``python -m MODULE PATH SCENE ARGUMENTS``, see `trace_into`.
    scene : SceneConfig
    *arguments : number or str

    Raises
    ------
    UserError
        If the folder cannot be written, or as the module raises it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path.parent}: {error.strerror}; name another folder by TOKCOM_CACHE") from error
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            try:
                tensors = load_file(path)
            except (SafetensorError, OSError):
                tensors = {}
            if set(tensors) == set(names):
                return tensors
            path.unlink()
        _trace_apart(path, module, scene, *arguments)
        return load_file(path)


def _trace_apart(path: Path, module: str, scene: SceneConfig, *arguments: float | int | str) -> None:
    """Trace into a file in a separate process: Dr.Jit crashes in a process with TensorFlow."""
    command = [sys.executable, "-m", module, str(path), scene.model_dump_json(), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == _MISTAKE:
        raise UserError(done.stdout.strip())
    if done.returncode or not path.exists():
        raise UserError(
            f"tracing scene {scene.name} ended with exit code {done.returncode}: if LLVM crashed, {INSTALL}, or name "
            "another library by DRJIT_LIBLLVM_PATH"
        )


def trace_into(path: str, scene: str, traced: Callable[[SceneConfig], Mapping[str, Tensor]]) -> None:
    """What the separate process does: trace and write the file, or print a `UserError` on standard output."""
    try:
        tensors = traced(SceneConfig.model_validate_json(scene))
        with write_atomically(Path(path)) as temporary:
            save_file(dict(tensors), temporary, {"scene": scene})
    except UserError as error:
        print(error)
        sys.exit(_MISTAKE)


def _main(path: str, scene: str, carrier_frequency: str, num_rx_ant: str, polarization: str) -> None:
    radio = float(carrier_frequency), int(num_rx_ant), polarization
    trace_into(path, scene, lambda settings: trace(settings, *radio)._asdict())


def check_tracing() -> None:
    """Raise a `UserError` without the torch engine, or with neither a GPU nor a working LLVM."""
    if engine() != "torch":
        raise UserError(f"ray tracing needs the torch engine, installed is {describe(engine())}: see docs/engines.md")
    if not torch.cuda.is_available() and (lack := obstacle()):
        raise UserError(f"ray tracing on a CPU {lack}")


def trace(scene: SceneConfig, carrier_frequency: float, num_rx_ant: int, polarization: str) -> TracedPaths:
    """Drop users and trace their paths to the base station, with a progress bar on standard error.

    A user is dropped at random on the ground, the largest object of the scene, under the open sky, and heads in a
    random direction. A position is served, and used, if its total path gain is at least ``min_path_gain_db``. Users
    have one vertical isotropic antenna, the base station a row of ``num_rx_ant`` antennas of 3GPP TR 38.901, half a
    wavelength apart: all vertical, or half as many pairs of them at ±45°.

    Parameters
    ----------
    scene : SceneConfig
    carrier_frequency : float
        [Hz]
    num_rx_ant : int
    polarization : 'single' or 'dual'

    Returns
    -------
    TracedPaths
        The same for the same settings.

    Raises
    ------
    UserError
        If there is no such scene or it cannot be read, there is neither a GPU nor a working LLVM, or hardly any
        position is served.
    """
    tracer = Tracer(scene, carrier_frequency, num_rx_ant, polarization)
    batches: list[TracedPaths] = []
    found, empty_batches = 0, 0
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"tracing {tracer.name}", total=scene.positions)
        while found < scene.positions:
            paths = tracer.trace(tracer.drop())
            batch = paths.at(is_served(paths, scene))
            empty_batches = 0 if len(batch.a) else empty_batches + 1
            if empty_batches == _MAX_EMPTY_BATCHES:
                raise UserError(
                    f"scene {tracer.name}: from {list(scene.base_station)} hardly any position "
                    f"is served within {scene.radius:g} m: change base_station, facing, radius or min_path_gain_db"
                )
            batches.append(batch)
            found += len(batch.a)
            progress.update(task, completed=min(found, scene.positions))
    return joined(batches).at(torch.arange(scene.positions))


def joined(parts: Sequence[TracedPaths]) -> TracedPaths:
    """The paths of all positions of several parts; zeros stand for the paths that the others have more."""
    most = max(part.a.shape[-1] for part in parts)

    def whole(tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([pad(tensor, (0, most - tensor.shape[-1])) for tensor in tensors])

    return TracedPaths(
        whole(part.a for part in parts),
        whole(part.tau for part in parts),
        whole(part.doppler for part in parts),
        torch.cat([part.position for part in parts]),
        torch.cat([part.heading for part in parts]),
    )


def _sionna_rt() -> Any:
    """Import Sionna RT with a GPU or a working LLVM."""
    check_tracing()
    use_llvm()
    try:
        import sionna.rt as rt  # after Dr.Jit's LLVM is chosen
    except ImportError as error:
        raise UserError(f"ray tracing cannot start ({reason(error)}): see tokcom doctor") from error
    return rt


class Tracer:
    """A scene with a base station, in which users are dropped and paths are traced."""

    def __init__(self, scene: SceneConfig, carrier_frequency: float, num_rx_ant: int, polarization: str):
        rt = self._rt = _sionna_rt()
        path = scene_file(scene.name)
        self.name = path.stem
        self._scene = scene
        self._rng = np.random.default_rng(scene.seed)
        try:
            # Few objects are traced much faster than many: all but the ground are merged by their material.
            ground = _largest(rt.load_scene(str(path), merge_shapes=False))
            self._world = rt.load_scene(str(path), merge_shapes_exclude_regex=f"^(mesh-)?{re.escape(ground)}$")
            self._ground = self._world.objects[ground].mi_mesh
        except (RuntimeError, ValueError, KeyError, SyntaxError) as error:
            raise UserError(f"scene {path} cannot be read: {reason(error)}") from error
        self._world.frequency = carrier_frequency
        places, kind = (num_rx_ant, "V") if polarization == "single" else (num_rx_ant // 2, "cross")
        self._world.tx_array = rt.PlanarArray(num_rows=1, num_cols=places, pattern="tr38901", polarization=kind)
        self._world.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
        base_station = rt.Transmitter("base station", position=list(scene.base_station))
        self._world.add(base_station)
        base_station.look_at(list(scene.facing))

    def ground(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What lies under the open sky at some points of a scene [m].

        Returns
        -------
        outdoors : bool [n]
            Whether it is the ground.
        height : float [n]
            Of what is hit there [m]; infinite or NaN where there is nothing.
        """
        import mitsuba as mi  # with Sionna RT, see _sionna_rt

        sky = np.full(len(x), self._world.mi_scene.bbox().max.z + 1)
        below = self._world.mi_scene.ray_intersect(mi.Ray3f(mi.Point3f(x, y, sky), mi.Vector3f(0, 0, -1)))
        return np.array(below.shape == mi.ShapePtr(self._ground)), np.array(below.p.z)

    def drop(self) -> np.ndarray:
        """Draw `_AT_A_TIME` positions, uniformly over the ground around the base station, [_AT_A_TIME, 3] [m]."""
        scene, num_rays = self._scene, 1024
        positions = np.empty((0, 3))
        for _ in range(_MAX_EMPTY_BATCHES):
            distance = scene.radius * np.sqrt(self._rng.random(num_rays))
            azimuth = self._rng.uniform(0, 2 * np.pi, num_rays)
            x = scene.base_station[0] + distance * np.cos(azimuth)
            y = scene.base_station[1] + distance * np.sin(azimuth)
            outdoors, height = self.ground(x, y)
            found = np.stack([x, y, height + scene.user_height], axis=1)[outdoors]
            positions = np.concatenate([positions, found])[:_AT_A_TIME]
            if len(positions) == _AT_A_TIME:
                return positions
        raise UserError(
            f"scene {self.name} has hardly any ground under the open sky within {scene.radius:g} m of "
            f"{list(scene.base_station)}: change base_station or radius"
        )

    def trace(self, positions: np.ndarray) -> TracedPaths:
        """The paths of some positions, [n, 3] [m]; zeros where there are none."""
        azimuth = self._rng.uniform(0, 2 * np.pi, len(positions))
        heading = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros(len(positions))], axis=1)
        names = [f"user {number}" for number in range(len(positions))]
        for name, position, velocity in zip(names, positions.tolist(), heading.tolist(), strict=True):
            self._world.add(self._rt.Receiver(name, position=position, velocity=velocity))
        # Sionna RT 1 has no such option.
        choice = {"deterministic": True} if "deterministic" in signature(self._rt.PathSolver).parameters else {}
        paths = self._rt.PathSolver(**choice)(
            self._world,
            max_depth=self._scene.max_depth,
            samples_per_src=_RAYS,
            refraction=False,
            diffraction=self._scene.diffraction,
        )
        # Paths are traced from the base station, the only source, and reversed for the uplink.
        a, tau = paths.cir(reverse_direction=True, out_type="numpy")
        doppler = np.array(paths.doppler)[:, 0]
        for name in names:
            self._world.remove(name)
        a, tau = a[0, :, :, 0, :, 0].swapaxes(0, 1), tau[0]
        exists = tau >= 0
        a, tau, doppler = np.where(exists[:, None], a, 0), np.where(exists, tau, 0), np.where(exists, doppler, 0)
        power = np.square(np.abs(a)).mean(1)
        # Sionna RT finds the same paths every time, in varying order.
        order = np.lexsort((doppler, tau, -power))
        a = np.take_along_axis(a, order[:, None], axis=2)
        tau, doppler = np.take_along_axis(tau, order, axis=1), np.take_along_axis(doppler, order, axis=1)
        return TracedPaths(
            torch.from_numpy(a.astype(np.complex64)),
            torch.from_numpy(tau.astype(np.float32)),
            torch.from_numpy(doppler.astype(np.float32)),
            torch.from_numpy(positions.astype(np.float32)),
            torch.from_numpy(heading.astype(np.float32)),
        )


def is_served(paths: TracedPaths, scene: SceneConfig) -> Tensor:
    """Which positions are served, bool [positions]."""
    return paths.gain >= 10 ** (scene.min_path_gain_db / 10)


def _largest(scene: Any) -> str:
    """Name of the object that covers most of a scene, seen from above, by its bounding box."""

    def covered(name: str) -> float:
        box = scene.objects[name].mi_mesh.bbox()
        return float((box.max.x - box.min.x) * (box.max.y - box.min.y))

    if not scene.objects:
        raise ValueError("it holds no objects")
    return max(scene.objects, key=covered)


if __name__ == "__main__":
    _main(*sys.argv[1:])
