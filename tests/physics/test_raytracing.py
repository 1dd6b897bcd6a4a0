"""Ray-traced links: closed forms over a plane, and a street canyon that is traced once."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plane_scene import PLANE, SCENE, antenna_gain, plane
from safetensors.torch import save

from tokcom_phy.radio import load_link, raytracing
from tokcom_phy.radio.channels import RayTracedChannel
from tokcom_phy.radio.llvm import obstacle
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.ofdm_config import SceneConfig
from tokcom_phy.radio.raytracing import TracedPaths, trace, traced_file, traced_paths
from tokcom_phy.utils.errors import UserError

pytestmark = pytest.mark.skipif(bool(obstacle()) and not torch.cuda.is_available(), reason=f"ray tracing {obstacle()}")

SPEED_OF_LIGHT, CARRIER = 299792458.0, 3.5e9
WAVELENGTH = SPEED_OF_LIGHT / CARRIER
HEIGHT, USER_HEIGHT = 12.0, 2.0
CANYON: dict[str, Any] = {"name": "simple_street_canyon", "base_station": (-33, 0, 32), "facing": (20, 0, 1.5)}
SMALL: dict[str, Any] = {"num_rx_ant": 4, "num_subcarriers": 48, "channel": "ray-traced"}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKCOM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def over_plane(tmp_path_factory: pytest.TempPathFactory) -> TracedPaths:
    scene = SceneConfig(
        name=plane(tmp_path_factory.mktemp("plane")),
        base_station=(0, 0, HEIGHT),
        facing=(100, 0, HEIGHT),
        radius=150,
        user_height=USER_HEIGHT,
        positions=20,
    )
    return trace(scene, CARRIER, 3, "single")


def canyon_link(**overrides: Any) -> OfdmLink:
    link = load_link("ofdm-tdl-c", device="cpu", **{**SMALL, "scene": {**CANYON, "positions": 64}, **overrides})
    assert isinstance(link, OfdmLink)
    return link


def test_two_rays_over_a_plane(over_plane: TracedPaths) -> None:
    """Line of sight and its image in a perfect conductor: Friis' gains, delays by length, Doppler by angle."""
    position, heading = over_plane.position.double().numpy(), over_plane.heading.double().numpy()
    assert np.allclose(position[:, 2], USER_HEIGHT, atol=1e-4)
    assert (np.hypot(*position[:, :2].T) < 150).all()
    users = {"sight": position, "image": position * [1, 1, -1]}
    to_user = {path: point - [0, 0, HEIGHT] for path, point in users.items()}
    length = {path: np.linalg.norm(vector, axis=1) for path, vector in to_user.items()}
    assert over_plane.a.shape[-1] == 2
    order = over_plane.tau.argsort(dim=1)
    for user in range(len(position)):
        for column, path in zip(order[user].tolist(), users, strict=True):
            expected_delay = (length[path][user] - length["sight"][user]) / SPEED_OF_LIGHT
            assert float(over_plane.tau[user, column]) == pytest.approx(expected_delay, abs=1e-12)
            friis = (WAVELENGTH / (4 * np.pi * length[path][user])) ** 2 * antenna_gain(to_user[path])[user]
            gain = over_plane.a[user, :, column].abs().square().double().numpy()
            assert gain == pytest.approx(friis, rel=5e-3)
            approach = -(heading[user] @ to_user[path][user]) / length[path][user]
            assert float(over_plane.doppler[user, column]) == pytest.approx(approach / WAVELENGTH, abs=1e-3)


def test_array_sees_the_direction_of_the_user(over_plane: TracedPaths) -> None:
    """Antennas half a wavelength apart across the boresight: the phase turns by π·sin(azimuth)·cos(elevation)."""
    first = over_plane.tau.argmin(dim=1)
    a = over_plane.a[torch.arange(len(first)), :, first]
    turn = (a[:, 1:] * a[:, :-1].conj()).sum(1).angle()
    to_user = over_plane.position.double() - torch.tensor([0, 0, HEIGHT])
    across = to_user[:, 1] / to_user.norm(dim=1)
    difference = torch.stack([turn - sign * math.pi * across for sign in (1, -1)])
    wrapped = torch.remainder(difference + math.pi, 2 * math.pi) - math.pi
    assert float(wrapped.abs().max(dim=1).values.min()) < 1e-3


def test_power_control_is_of_the_paths_and_leaves_fading() -> None:
    """Σ|a|² over paths, mean over antennas, is one in every realisation and at every symbol; |h|² is not."""
    channel = canyon_link(speed=30.0).channel
    assert isinstance(channel, RayTracedChannel)
    a, _ = channel.paths(2, 0, [0, 1, 2], 28)
    power = a[:, 0, :, :, 0].abs().square().sum(3).mean(1)
    torch.testing.assert_close(power, torch.ones(8, 3, 28), rtol=1e-4, atol=0)
    h = torch.cat([channel.response(2, block, [0, 1, 2], [0, 27], slice(0, 48, 47)) for block in range(12)])
    received = h.abs().square().mean((1, 4)).flatten(0, 1)
    assert float(received.std()) > 0.1
    for symbol in received.unbind(1):
        assert abs(float(symbol.mean()) - 1) < 4 * float(symbol.std()) / math.sqrt(64)


def test_without_power_control_positions_differ_by_their_path_gain() -> None:
    """Relative to the mean [dB] over positions."""
    channel = canyon_link(power_control="none").channel
    assert isinstance(channel, RayTracedChannel)
    gain_db = 10 * torch.log10(channel.traced.a.abs().square().sum(2).mean(1))
    drawn = torch.cat([channel.paths(0, block, [0, 1, 2], 1)[0] for block in range(64)])
    found_db = 10 * torch.log10(drawn[:, 0, :, :, 0, :, 0].abs().square().sum(3).mean(1).flatten())
    torch.testing.assert_close(found_db.unique().min(), (gain_db - gain_db.mean()).min(), rtol=0, atol=0.01)
    torch.testing.assert_close(found_db.unique().max(), (gain_db - gain_db.mean()).max(), rtol=0, atol=0.01)


def test_users_stand_on_different_streets_under_the_open_sky() -> None:
    channel = canyon_link().channel
    assert isinstance(channel, RayTracedChannel)
    position = channel.traced.position
    assert len(position) == 64
    assert len(set(map(tuple, position.tolist()))) == 64
    assert position[:, 2].tolist() == pytest.approx([1.5 - 0.0308] * 64, abs=1e-3)
    gain_db = 10 * torch.log10(channel.traced.a.abs().square().sum(2).mean(1))
    assert (gain_db >= -130).all()
    # The line of sight bounds what a position can receive; reflections add at most some dB.
    distance = (position - torch.tensor([-33.0, 0.0, 32.0])).norm(dim=1)
    assert (gain_db < 8 + 6 + 20 * torch.log10(WAVELENGTH / (4 * math.pi * distance))).all()


def test_speed_turns_the_line_of_sight(tmp_path: Path) -> None:
    """Alone, it turns by exp(j2π·v·cos(angle)·t/λ), slot after slot; at rest nothing changes."""
    scene = {"name": plane(tmp_path), "base_station": (0, 0, HEIGHT), "facing": (100, 0, HEIGHT)}
    options: dict[str, Any] = {"scene": {**scene, "positions": 3, "max_depth": 0}, "num_rx_ant": 3}
    still, moving = (canyon_link(speed=speed, **options).channel for speed in (0.0, 40.0))
    h = moving.response(3, 0, [0], range(60), slice(0, 1))[:, :, 0, :, 0]
    assert isinstance(moving, RayTracedChannel)
    to_base = torch.tensor([0, 0, HEIGHT]) - moving.traced.position
    approach = 40 * (to_base * moving.traced.heading).sum(1) / to_base.norm(dim=1)
    time = torch.arange(60) * moving.symbol_duration
    expected = torch.exp(2j * torch.pi * approach[:, None] / WAVELENGTH * time)
    for turns in h / h[..., :1]:
        error = (turns[0] - expected).abs().amax(dim=1)
        assert float(error.min()) < 1e-3
        torch.testing.assert_close(turns, turns[:1].expand(3, -1))
    at_rest = still.response(3, 0, [0], range(60), slice(0, 1))[:, :, 0, :, 0]
    assert torch.equal(at_rest, at_rest[..., :1].expand(-1, -1, 60))


def test_a_realisation_is_its_seed_and_index() -> None:
    link = canyon_link()
    sent = torch.randn(20, 90, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    whole = link.draw(20, {"audio": 90, "text": 90}, 10.0, seed=5).apply({"audio": sent, "text": sent})["text"]
    again = link.draw(2, {"audio": 90, "text": 90}, 10.0, seed=5, indices=[11, 3])
    part = again.apply({"audio": sent[[11, 3]], "text": sent[[11, 3]]})["text"]
    torch.testing.assert_close(part, whole[[11, 3]])


def test_traced_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = SceneConfig(**CANYON, positions=5)
    path = traced_file(scene, CARRIER, 2, "single")
    assert not path.exists()
    first = traced_paths(scene, CARRIER, 2, "single")
    assert path.exists()
    again = trace(scene, CARRIER, 2, "single")
    monkeypatch.setattr(raytracing, "_trace_apart", None)
    kept = traced_paths(scene, CARRIER, 2, "single")
    for before, fresh, read in zip(first, again, kept, strict=True):
        assert torch.equal(before, fresh)
        assert torch.equal(before, read)
    others = [
        traced_file(scene.model_copy(update={"seed": 1}), CARRIER, 2, "single"),
        traced_file(scene, 28e9, 2, "single"),
        traced_file(scene, CARRIER, 4, "single"),
    ]
    assert len({path, *others}) == 4


def test_another_mesh_is_another_file(tmp_path: Path) -> None:
    scene = SceneConfig(**{**CANYON, "name": plane(tmp_path)})
    before = traced_file(scene, CARRIER, 2, "single")
    assert traced_file(scene, CARRIER, 2, "single") == before
    (tmp_path / "plane.ply").write_text(PLANE.replace("1000", "900"))
    assert traced_file(scene, CARRIER, 2, "single") != before


@pytest.mark.long
@pytest.mark.parametrize("content", [b"half a file", save({"a": torch.ones(1)})])
def test_a_broken_cache_is_traced_again(content: bytes) -> None:
    scene = SceneConfig(**CANYON, positions=3)
    path = traced_file(scene, CARRIER, 2, "single")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    first = traced_paths(scene, CARRIER, 2, "single")
    assert torch.equal(first.a, traced_paths(scene, CARRIER, 2, "single").a)


PROCESS = """
import sys
from pathlib import Path
from tokcom_phy.radio import raytracing
from tokcom_phy.radio.ofdm_config import SceneConfig

trace = raytracing._trace_apart
def counted(*arguments):
    with open(sys.argv[2], "a") as file:
        file.write("traced\\n")
    trace(*arguments)
raytracing._trace_apart = counted
print(float(raytracing.traced_paths(SceneConfig.model_validate_json(sys.argv[1]), 3.5e9, 2, "single").a.abs().sum()))
"""


@pytest.mark.long
def test_processes_that_start_together_trace_once(tmp_path: Path) -> None:
    script, count = tmp_path / "process.py", tmp_path / "count"
    script.write_text(PROCESS)
    command = [sys.executable, str(script), SceneConfig(**CANYON, positions=7).model_dump_json(), str(count)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[0] == said[1]
    assert count.read_text() == "traced\n"


@pytest.mark.long
def test_a_mistake_found_while_tracing_is_reported() -> None:
    link = canyon_link(scene={**CANYON, "positions": 4, "radius": 0.1, "base_station": (-33, 22, 60)})
    with pytest.raises(UserError, match="scene simple_street_canyon has hardly any ground"):
        link.draw(1, {"audio": 10}, 0.0, seed=0)


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"min_path_gain_db": -10.0}, "min_path_gain_db"),
        ({"radius": 0.1, "base_station": (-33, 22, 60)}, "hardly any ground"),
    ],
)
def test_a_base_station_without_served_positions(
    change: dict[str, Any], mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raytracing, "_MAX_EMPTY_BATCHES", 2)
    with pytest.raises(UserError) as raised:
        trace(SceneConfig(**{**CANYON, **change}), CARRIER, 2, "single")
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)


def test_a_scene_that_cannot_be_read(tmp_path: Path) -> None:
    for number, text in enumerate(["<scene", "<scene version='2.1.0'></scene>", SCENE.replace("ply", "plz", 1)]):
        path = tmp_path / f"broken{number}.xml"
        path.write_text(text)
        with pytest.raises(UserError) as raised:
            trace(SceneConfig(**{**CANYON, "name": str(path)}), CARRIER, 2, "single")
        assert "\n" not in str(raised.value)
        assert path.name in str(raised.value)
