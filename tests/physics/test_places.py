"""Places of a ray-traced scene: free space in closed form, and a street canyon from above."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plane_scene import antenna_gain, plane

from tokcom_phy.radio import load_link
from tokcom_phy.radio.channels import RayTracedChannel
from tokcom_phy.radio.llvm import obstacle
from tokcom_phy.radio.ofdm_config import SceneConfig
from tokcom_phy.radio.places import check_traced, draw_places, standing
from tokcom_phy.radio.scene_grid import scene_grid
from tokcom_phy.utils.errors import UserError

pytestmark = pytest.mark.skipif(bool(obstacle()) and not torch.cuda.is_available(), reason=f"ray tracing {obstacle()}")

CARRIER = 3.5e9
WAVELENGTH = 299792458.0 / CARRIER
HEIGHT, USER_HEIGHT = 12.0, 2.0
CANYON: dict[str, Any] = {"name": "simple_street_canyon", "base_station": (-33, 0, 32), "facing": (20, 0, 1.5)}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKCOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def free_space(folder: Path, **more: Any) -> dict[str, Any]:
    """A plane from which nothing is reflected; its base station looks along x."""
    scene = {"name": plane(folder), "base_station": (0, 0, HEIGHT), "facing": (100, 0, HEIGHT), "radius": 150.0}
    return {**scene, "user_height": USER_HEIGHT, "positions": 8, "max_depth": 0, "diffraction": False, **more}


def friis(position: np.ndarray) -> np.ndarray:
    """Path gain from users to one antenna of the base station."""
    to_user = position - [0, 0, HEIGHT]
    return (WAVELENGTH / (4 * np.pi * np.linalg.norm(to_user, axis=1))) ** 2 * antenna_gain(to_user)


def test_sinr_of_places_in_free_space(tmp_path: Path) -> None:
    """With one antenna that knows its channel it is transmit power, Friis' gain and kTF in the user's band."""
    settings: dict[str, Any] = {
        "channel": "ray-traced",
        "scene": free_space(tmp_path),
        "power_control": "none",
        "budget": {"tx_power_dbm": 10.0, "noise_figure_db": 5.0},
        "users": ["audio", "video"],
        "access": "ofdma",
        "num_rx_ant": 1,
        "num_subcarriers": 48,
        "csi": "perfect",
        "speed": 0.0,
    }
    link, channel = check_traced(load_link("ofdm-tdl-c", device="cpu", **settings))
    grid = scene_grid(channel.scene, 60.0, CARRIER, 1, "single")
    position = grid.paths.position.double().numpy()
    assert len(position) == int(grid.outdoors.sum()) == 21  # of 5 by 5 cells, the corners are too far
    noise_dbm = 10 * math.log10(1.380649e-23 * 290 * 24 * link.config.subcarrier_spacing) + 30 + 5
    expected = 10.0 + 10 * np.log10(friis(position)) - noise_dbm
    assert link.budget_snr_db is not None
    placed = standing(link, grid.paths, grid.cell_size, 8)
    drawn = draw_places(placed, range(21), 8, {"audio": 100, "video": 100}, link.budget_snr_db, 3)
    for user in ("audio", "video"):
        assert drawn[user].shape == (21, 8)
        assert drawn[user].numpy() == pytest.approx(np.repeat(expected[:, None], 8, axis=1), abs=0.05)


@pytest.mark.long
def test_places_below_the_least_path_gain_are_not_served(tmp_path: Path) -> None:
    grid = scene_grid(SceneConfig(**free_space(tmp_path, min_path_gain_db=-85.0)), 25.0, CARRIER, 1, "single")
    rows, columns = np.nonzero(grid.outdoors.numpy())
    centres = (np.stack([columns, rows], axis=1) + 0.5) * grid.cell_size + grid.corner.numpy()
    assert (np.hypot(*centres.T) <= 150).all()
    gain_db = 10 * np.log10(friis(np.column_stack([centres, np.full(len(centres), USER_HEIGHT)])))
    served = np.isfinite(grid.on_grid(np.ones(len(grid.cell))))[rows, columns]
    assert 0 < served.sum() < len(served)
    clear = np.abs(gain_db + 85) > 0.05
    assert (served == (gain_db >= -85))[clear].all()
    assert not grid.roofs.any()


@pytest.mark.long
def test_a_canyon_from_above() -> None:
    """Two rows of houses along the street; no place on a roof, and a finer grid keeps its square."""
    scene = SceneConfig(**{**CANYON, "radius": 60.0, "max_depth": 1, "diffraction": False})
    grid = scene_grid(scene, 20.0, CARRIER, 2, "single")
    assert grid.extent == (-93.0, 27.0, -60.0, 60.0)
    assert 0.2 < float(grid.roofs.float().mean()) < 0.8
    finer = len(grid.roofs) // len(grid.outdoors)
    rows, columns = grid.cell.numpy().T
    centre = finer // 2
    assert not grid.roofs.numpy()[rows * finer + centre, columns * finer + centre].any()
    assert set(map(tuple, grid.cell.tolist())) <= set(map(tuple, grid.outdoors.nonzero().tolist()))
    left, _, bottom, _ = grid.extent
    assert grid.paths.position[:, 0].numpy() == pytest.approx(left + 20 * (columns + 0.5), abs=1e-4)
    assert grid.paths.position[:, 1].numpy() == pytest.approx(bottom + 20 * (rows + 0.5), abs=1e-4)


@pytest.mark.long
def test_users_stand_at_their_place_and_interferers_do_not() -> None:
    """Powers tell where a user is: path gains over those of the random positions."""
    options: dict[str, Any] = {
        "channel": "ray-traced",
        "scene": {**CANYON, "positions": 48},
        "users": ["audio", "video", "other"],
        "interferers": ["other"],
        "power_control": "none",
        "num_rx_ant": 4,
        "num_subcarriers": 48,
    }
    link, channel = check_traced(load_link("ofdm-tdl-c", device="cpu", **options))
    places = channel.traced.at(torch.tensor([3, 40]))
    placed = standing(link, places, 10.0, 16).channel
    assert isinstance(placed, RayTracedChannel)
    assert placed.mean_power == channel.mean_power
    expected = places.gain / channel.mean_power
    others = []
    for block, place in enumerate([0, 0, 1, 1, 1]):  # beyond the last place, all stand there
        a, _ = placed.paths(5, block, [0, 1, 2], 2)
        power = a[:, 0, :, :, 0].abs().square().sum(3).mean(1)
        torch.testing.assert_close(power[:, :2], expected[place].expand(8, 2, 2), rtol=1e-4, atol=0)
        before, _ = channel.paths(5, block, [2], 1)
        others.append(power[:, 2, 0])
        torch.testing.assert_close(power[:, 2, 0], before[:, 0, :, 0, 0].abs().square().sum(2).mean(1)[:, 0])
    assert len(torch.cat(others).unique()) > 8
    # They fade from realisation to realisation, and are not on one spot.
    h = placed.response(5, 0, [0, 1], [0], slice(0, 1))[:, 0, :, 0, 0]
    assert len(h.abs().unique()) > 8


def test_other_links_have_no_places() -> None:
    for name in ("awgn", "ofdm-tdl-c", "digital-awgn"):
        with pytest.raises(UserError, match=f"link '{name}' has no places: give a ray-traced one"):
            check_traced(load_link(name))


def test_too_many_places_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"4000000 places within 200 m, more than 20000: choose cells of at least 2\.9 m"
    ):
        scene_grid(SceneConfig(**CANYON), 0.2, CARRIER, 2, "single")
