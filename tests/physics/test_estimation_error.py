"""Error variance of interpolated estimates, and what a receiver that knows it makes of it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.placement import Placement

SLOT = list(range(14))


def ofdm_link(name: str = "ofdm-tdl-c", **overrides: object) -> OfdmLink:
    link = load_link(name, device="cpu", **overrides)
    assert isinstance(link, OfdmLink)
    return link


def line(at: int, pilots: list[int]) -> dict[int, float]:
    """Weights of linear interpolation, and of extrapolation by the nearest two pilots, written out anew."""
    if len(pilots) == 1:
        return {pilots[0]: 1.0}
    right = min(max(int(np.searchsorted(pilots, at)), 1), len(pilots) - 1)
    low, high = pilots[right - 1], pilots[right]
    share = (at - low) / (high - low)
    return {low: 1 - share, high: share}


@pytest.mark.parametrize(("pilots", "expected"), [([2], 0.734), ([2, 11], 0.649), ([2, 5, 8, 11], 0.995)])
def test_what_linear_interpolation_makes_of_noise(pilots: list[int], expected: float) -> None:
    """Σ|w|² over the data of a slot and the three combs: below one pilot's noise, but four extrapolate steeply."""
    link = ofdm_link(pilot_symbols=pilots)
    gains = [
        [
            sum(w**2 for w in line(t, pilots).values()) * sum(w**2 for w in line(f, comb).values())
            for t in SLOT
            if t not in pilots
            for f in range(132)
        ]
        for comb in (list(range(user, 132, 3)) for user in range(3))
    ]
    found = link.estimator.error.noise_gain[:, link.data_symbols]
    torch.testing.assert_close(found.flatten(1), torch.tensor(gains), rtol=1e-4, atol=0)
    assert float(found[0].mean()) == pytest.approx(expected, abs=5e-4)  # the first comb
    # By simulation: the noise of estimates of a channel that is zero.
    at_pilots = torch.randn(64, 8, 1, len(pilots), 132, dtype=torch.complex64)
    silence = torch.zeros(64, 8, 3, 1, len(pilots), 132, dtype=torch.complex64)
    h_hat, _ = link.estimator.estimate(silence, at_pilots, torch.zeros(64, 3), [0, 1, 2], link.data_symbols)
    power = 3 * h_hat[:, :, 0].abs().square().mean((1, 2, 3, 4))
    assert abs(float(power.mean()) - expected) < 4 * float(power.std()) / 8


CHANNELS: list[dict[str, Any]] = [
    {"channel": "TDL-C", "speed": 60.0},
    {"channel": "TDL-C", "speed": 60.0, "pilot_symbols": [2, 5, 8, 11], "interpolation": "nearest"},
    {"channel": "TDL-D", "delay_spread": 300e-9, "speed": 30.0},
    {"channel": "CDL-C", "delay_spread": 300e-9, "speed": 30.0},
]


@pytest.mark.parametrize("settings", CHANNELS, ids=lambda settings: f"{settings['channel']}")
def test_the_error_variance_is_that_of_estimates(settings: dict[str, Any]) -> None:
    """At 0 and 40 dB within four standard errors; over CDL, where Clarke's spectrum is assumed, within a factor of two.

    Sionna's CDL users move in any direction of space and fade more slowly than Clarke's.
    """
    link = ofdm_link(num_subcarriers=36, num_rx_ant=4, **settings)
    pilots = sorted(link.config.pilot_symbols)
    h = torch.cat([link.channel.response(2, b, range(3), SLOT, slice(None)) for b in range(48)])[:, :, :, None]
    noise = torch.randn(len(h), 4, 1, len(pilots), 36, dtype=torch.complex64)
    for amplitude in (1.0, 100.0):
        scaled = torch.full((len(h), 3), amplitude)
        h_hat, err_var = link.estimator.estimate(
            amplitude * h[..., pilots, :], noise, scaled, [0, 1, 2], link.data_symbols
        )
        error = (h_hat - amplitude * h[..., link.data_symbols, :]).abs().square().mean(1)
        for user in range(3):
            # Means over edges and middles of the slot by themselves: they differ by ten and more decibels.
            for symbols in ([0, 1, -1], [4, 5, 6]):
                ratio = (error[:, user, 0, symbols] / err_var[:, user, 0, symbols]).mean((1, 2))
                bound = 4 * float(ratio.std()) / math.sqrt(len(ratio))
                if settings["channel"] == "CDL-C":
                    assert 0.45 < float(ratio.mean()) < 1 + bound
                else:
                    assert abs(float(ratio.mean()) - 1) < bound


def test_recorded_channels_have_the_error_of_their_records(tmp_path) -> None:
    recorded = torch.fft.fft(torch.randn(200, 4, 3, 1, 6, dtype=torch.complex64), n=36) / 6**0.5
    np.save(tmp_path / "recorded.npy", recorded.numpy())
    link = ofdm_link(channel="file", responses=str(tmp_path / "recorded.npy"), num_subcarriers=36, num_rx_ant=4)
    h = recorded[:, :, :, None].expand(-1, -1, -1, 1, 2, -1).unsqueeze(3)[:, :, :, 0]
    h_hat, err_var = link.estimator.estimate(
        1e3 * h, torch.zeros(200, 4, 1, 2, 36), torch.full((200, 3), 1e3), [0, 1, 2], [5]
    )
    error = (h_hat - 1e3 * h[..., :1, :]).abs().square().mean((0, 1, 3, 4, 5))
    torch.testing.assert_close(error, err_var.mean((0, 2, 3, 4)), rtol=0.1, atol=0)


def lost(snr_db: float, **over: object) -> Tensor:
    """Share of lost values by example, 1024-QAM over a fast channel."""
    link = load_link("digital-ofdm-tdl-c", device="cpu", bits=4, modulation="1024-QAM", over={"speed": 30.0, **over})
    tokens = {user: torch.randn(24, 32, 64, generator=torch.Generator().manual_seed(k)) for k, user in enumerate("abc")}
    tokens = dict(zip(("audio", "video", "text"), tokens.values(), strict=True))
    received, _ = link.transmit(tokens, snr_db, seed=0)
    return torch.stack([(received[user] == 0).float().mean((1, 2)) for user in tokens]).mean(0)


@pytest.mark.slow
def test_lost_blocks_do_not_rise_with_the_snr() -> None:
    """With the error variance of pilots alone they do: the receiver trusts interpolated estimates too much."""
    rates = [float(lost(snr_db).mean()) for snr_db in (30.0, 40.0, 60.0)]
    assert rates[0] <= 0.05
    assert rates[0] + 0.01 >= rates[1]
    assert rates[1] + 0.01 >= rates[2]
    trusting = lost(60.0, error_variance="pilots", self_interference=False)
    assert float(trusting.mean()) > rates[0] + 0.05


def test_a_short_payload_meets_the_same_quality_as_a_long_one() -> None:
    """Within 0.1 dB, paired over the same channels; placed from the start of the slot, 264 symbols lost 0.8 dB."""
    link = ofdm_link()
    means = {}
    for n in (264, 1024, 1584):
        sinr = link.draw(64, dict.fromkeys(link.users, n), 10.0, seed=0).sinr
        means[n] = torch.stack([torch.log1p(sinr[user].double()).mean(1) for user in link.users])
    for n in (264, 1024):
        difference = 10 / math.log(10) * (means[n] - means[1584]).mean(0)
        assert abs(float(difference.mean())) < 4 * float(difference.std()) / 8 + 1e-3
        assert abs(float(difference.mean())) < 0.1


@pytest.mark.parametrize("n", [1, 5, 12, 13, 264, 1584, 1700])
def test_every_payload_symbol_has_a_resource_element_of_its_own(n: int) -> None:
    """What is drawn for one payload is that of a longer one's beginning, wherever it lies."""
    link = ofdm_link(num_rx_ant=3)
    short, long = (link.draw(2, dict.fromkeys(link.users, m), 10.0, seed=0) for m in (n, 1800))
    elements = Placement(12, 132, spread=True).elements(0, n)
    assert isinstance(elements, Tensor)
    assert len(elements.unique()) == n
    if n % 1584:
        torch.testing.assert_close(short.sinr["audio"], long.sinr["audio"][:, :n], rtol=1e-3, atol=1e-4)
