"""Settings of links have bounds: within them a link draws finite values or says what it would take, in seconds."""

import ctypes
import gc
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.estimation import PilotEstimator
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.sionna import LinearInterpolator, NearestNeighborInterpolator
from tokcom_phy.utils import memory
from tokcom_phy.utils.errors import UserError

SCENE = {"name": "munich", "base_station": [0, 0, 30], "facing": [10, 0, 1.5]}

BEYOND: list[tuple[str, dict[str, Any], str]] = [
    ("ofdm-tdl-c", {"num_rx_ant": 10**9}, "num_rx_ant: 1000000000 is not within 1 to 1024: the largest arrays"),
    ("rayleigh", {"num_rx_ant": 10**9}, "num_rx_ant"),
    ("rayleigh", {"coherence": 10**12}, "coherence: 1e+12 is not within 1 to 1000000000: no payload is longer"),
    ("rayleigh", {"coherence": 10**400}, "coherence: a longer number"),
    ("ofdm-tdl-c", {"num_ofdm_symbols": 10**8}, "num_ofdm_symbols: 100000000 is not within 1 to 280"),
    ("ofdm-tdl-c", {"num_subcarriers": 3 * 10**6}, "num_subcarriers: 3000000 is not within 1 to 3300: a 5G carrier"),
    ("ofdm-tdl-c", {"num_subcarriers": 3300, "num_ofdm_symbols": 140}, "more than 100000 resource elements"),
    ("ofdm-tdl-c", {"num_subcarriers": 603, "interpolation": "lmmse"}, "lower num_subcarriers, or choose linear"),
    ("awgn", {"amplifier_backoff_db": 7000}, "amplifier_backoff_db: 7000 is not within -40 to 60"),
    ("ofdm-tdl-c", {"delay_spread": 1e300}, "delay_spread: 1e+300 is not within 1e-12 to 0.0001: 100 µs are a detour"),
    ("ofdm-tdl-c", {"speed": 4e8}, "speed: 4e+08 is not within 0 to 10000: satellites"),
    ("ofdm-tdl-c", {"carrier_frequency": 1e30}, "carrier_frequency"),
    ("ofdm-tdl-c", {"carrier_frequency": 4e8}, "TR 38.901 defines TDL-C from 0.5 to 100 GHz"),
    ("ofdm-umi", {"carrier_frequency": 150e9}, "TR 38.901 defines UMi from 0.5 to 100 GHz"),
    ("ofdm-umi", {"channel": "RMa", "carrier_frequency": 60e9}, "TR 38.901 defines RMa from 0.5 to 30 GHz"),
    ("ofdm-munich", {"carrier_frequency": 70e9}, "marble, which ITU-R P.2040 defines from 1 to 60 GHz and 100 to 400"),
    ("ofdm-tdl-c", {"subcarrier_spacing": 1e-9}, "subcarrier_spacing"),
    ("ofdm-tdl-c", {"snr_offset_db": {"text": -400}}, "snr_offset_db.text: -400 is not within -100 to 100"),
    ("rayleigh-mimo", {"snr_offset_db": {"text": -400}}, "snr_offset_db.text"),
    ("rician", {"k_factor_db": 4000}, "k_factor_db"),
    ("rician", {"k_factor_db": float("nan")}, "k_factor_db: nan"),
    ("awgn", {"symbol_rate": 1e300}, "symbol_rate"),
    ("erasure", {"packet_symbols": 10**12}, "packet_symbols"),
    ("erasure", {"mean_burst": 1e300}, "mean_burst"),
    ("digital-awgn", {"clip": 1e300}, "clip"),
    ("digital-awgn", {"over": {"num_rx_ant": 10**9}}, "over.num_rx_ant"),
    ("ofdm-tdl-c", {"users": [f"u{i}" for i in range(33)]}, "users"),
    ("ofdm-tdl-c", {"users": ["u" * 1000, "v", "w"]}, "users.0"),
    ("ofdm-tdl-c", {"channel": "ray-traced", "scene": {**SCENE, "seed": 2**32}}, "scene.seed"),
    ("ofdm-tdl-c", {"channel": "ray-traced", "scene": {**SCENE, "positions": 10**9}}, "scene.positions"),
    ("ofdm-tdl-c", {"channel": "ray-traced", "scene": {**SCENE, "base_station": [0, 0, 1e30]}}, "scene.base_station.2"),
]


@pytest.mark.parametrize(("name", "settings", "message"), BEYOND)
def test_a_setting_out_of_bounds_is_told_with_the_reason(name: str, settings: dict[str, Any], message: str) -> None:
    start = time.process_time()
    with pytest.raises(UserError) as raised:
        load_link(name, **settings)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 300
    assert time.process_time() - start < 5


EXTREMES: list[tuple[str, dict[str, Any], float]] = [
    *(
        (name, {}, snr)
        for name in ("awgn", "awgn-raw", "rayleigh", "rician", "rayleigh-raw")
        for snr in (-200.0, 200.0)
    ),
    *(("rayleigh-mimo", {"snr_offset_db": {"text": offset}}, 0.0) for offset in (-100, 100)),
    *(("ofdm-tdl-c", {"snr_offset_db": {"text": offset}, "csi": "perfect"}, 0.0) for offset in (-100, 100)),
    ("ofdm-tdl-c", {}, -200.0),
    *(
        ("ofdm-tdl-c", {"interpolation": interpolation}, snr)
        for interpolation in ("nearest", "linear", "lmmse", "wiener")
        for snr in (-120.0, -90.0, 120.0)
    ),
    ("ofdm-tdl-c", {"delay_spread": 1e-4}, 10.0),
    ("ofdm-tdl-c", {"speed": 1e4, "carrier_frequency": 1e11}, 10.0),
    ("ofdm-umi", {"carrier_frequency": 1e11}, 10.0),
    ("ofdm-cdl-a", {"subcarrier_spacing": 100.0, "speed": 1e4}, 10.0),
    ("rayleigh", {"coherence": 10**9}, 10.0),
    ("erasure", {"packet_symbols": 10**9, "mean_burst": 1e9}, 10.0),
    ("ofdm-tdl-c", {"num_subcarriers": 3300}, 10.0),
    ("ofdm-tdl-c", {"num_ofdm_symbols": 280, "num_subcarriers": 132, "pilot_symbols": list(range(279))}, 10.0),
]


@pytest.mark.parametrize(("name", "settings", "snr_db"), EXTREMES)
def test_a_link_at_its_bounds_draws_finite_values(name: str, settings: dict[str, Any], snr_db: float) -> None:
    link = load_link(name, **settings)
    users = list(link.users or ["text"])
    tokens = {user: torch.randn(2, 4, 16, requires_grad=True) for user in users}
    received, state = link.transmit(tokens, snr_db, seed=0)
    torch.stack([tensor.square().sum() for tensor in received.values()]).sum().backward()
    for sent, tensor in zip(tokens.values(), received.values(), strict=True):
        assert tensor.isfinite().all()
        assert sent.grad is not None
        assert sent.grad.isfinite().all()
    effective = state.effective_snr_db["text"]
    assert not math.isnan(effective)
    if not isinstance(link, OfdmLink) and name != "erasure":
        own = snr_db + link.snr_offset_db.get("text", 0.0)
        assert own - 20 < effective < own + 20  # fades of one realisation, or the gain of the array


@pytest.mark.parametrize("snr_db", [-400.0, 400.0, 1e30])
def test_an_snr_beyond_what_float32_can_hold_is_told(snr_db: float) -> None:
    with pytest.raises(UserError, match="finite values within ±200 dB"):
        load_link("awgn").draw(1, 8, snr_db)


@pytest.mark.parametrize("name", ["ofdm-tdl-c", "ofdm-umi", "rayleigh", "rayleigh-mimo", "awgn", "digital-awgn"])
def test_a_draw_that_does_not_fit_into_memory_is_refused_before_it_is_made(name: str) -> None:
    link: Link[Any] = load_link(name)
    start = time.process_time()
    with pytest.raises(UserError, match=r"10000000000 symbols: this takes about .* of memory, .* are free: "):
        link.draw(1, dict.fromkeys(link.users or ["text"], 10**10), 10.0)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("num_rx_ant", [64, 128])
def test_the_estimate_is_of_the_size_of_the_peak(num_rx_ant: int, monkeypatch: pytest.MonkeyPatch) -> None:
    estimates = []
    monkeypatch.setattr("tokcom_phy.radio.link.check_memory", lambda what, needed, *rest: estimates.append(needed))
    link = load_link("rayleigh", num_rx_ant=num_rx_ant)
    link.draw(4, 10_000, 10.0, seed=0)
    # Channel and noise of each antenna are there at once, and seldom more than eight times that.
    one = 8 * 4 * num_rx_ant * 10_000
    assert 2 * one < estimates[0] < 8 * one


def resident(line: str) -> int:
    """A line of this process's status on Linux [bytes]: VmRSS, or its peak VmHWM."""
    found = re.search(rf"{line}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


CONTAMINATED = {"impairments": {"pilot_contamination_db": -10.0}}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is told by Linux alone")
@pytest.mark.parametrize(
    ("settings", "batch", "length"),
    [
        ({}, 24, 8000),
        (CONTAMINATED, 8, 12000),
        ({"amplifier_backoff_db": 3.0}, 32, 10000),
        ({"amplifier_backoff_db": 3.0, "access": "tdma", **CONTAMINATED}, 16, 8000),
    ],
    ids=["plain", "contaminated", "amplified", "both, in turns"],
)
def test_the_estimate_of_an_ofdm_link_is_of_the_size_of_the_peak(
    settings: dict[str, Any], batch: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured on the process, from draw to gradient."""
    estimates = []
    monkeypatch.setattr("tokcom_phy.radio.link.check_memory", lambda what, needed, *rest: estimates.append(needed))
    link = load_link("ofdm-tdl-c", device="cpu", **settings)
    link({user: torch.randn(1, 1, 64) for user in link.users or []}, snr_db=10.0, seed=0)
    sent = {user: torch.randn(batch, 1, 2 * length, requires_grad=True) for user in link.users or []}
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    received = link(sent, snr_db=10.0, seed=0)
    torch.stack([tensor.square().sum() for tensor in received.values()]).sum().backward()
    peak = resident("VmHWM") - before
    assert peak > 5e7
    assert 0.9 < estimates[-1] / peak < 2.5


def test_what_a_container_may_take_counts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_LIMIT": "2000000", "_USED": "500000"}.items():
        (tmp_path / name).write_text(value)
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert memory.free_memory() == 1_500_000
    (tmp_path / "_LIMIT").write_text("max\n")
    assert memory.free_memory() > 1_500_000


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("settings", [{}, {"pilot_symbols": [3]}, {"pilot_symbols": [0, 1, 2, 5, 9, 13]}])
def test_weights_are_those_of_one_pilot_at_a_time(interpolation: str, settings: dict[str, Any]) -> None:
    link = load_link("ofdm-tdl-c", device="cpu", num_subcarriers=24, interpolation=interpolation, **settings)
    assert isinstance(link, OfdmLink)
    estimator: PilotEstimator = link.estimator
    pattern = estimator.grid.pilot_pattern
    kinds = {"nearest": NearestNeighborInterpolator, "linear": LinearInterpolator}
    interpolate = kinds[interpolation](pattern, device="cpu")
    pilots = pattern.pilots[:, 0]
    for user in range(3):
        for position in pilots[user].nonzero()[:, 0].tolist():
            unit = torch.zeros(1, 1, 1, 3, 1, pilots.shape[1], dtype=pilots.dtype)
            unit[..., position] = 1
            alone = interpolate(unit, unit.real)[0][0, 0, 0, user, 0]
            symbol, comb = divmod(position, 24)
            over_time = estimator._over_time[symbol]
            over_frequency = estimator._over_frequency[user][comb // 3]
            torch.testing.assert_close(alone, over_time[:, None] * over_frequency, rtol=1e-5, atol=1e-6)
