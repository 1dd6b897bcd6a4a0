"""OFDM channels against 3GPP TR 38.901 and closed forms. Bounds are four standard errors unless they say otherwise."""

import math

import numpy as np
import pytest
import torch
from scipy.special import j0
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.channels import Channel, PathChannel
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.seeding import BLOCK

SPEED_OF_LIGHT = 299792458.0

# TR 38.901, table 7.7.2-3: normalised delays and powers [dB] of TDL-C.
TDL_C = np.array(
    [
        *[(0.0, -4.4), (0.2099, -1.2), (0.2219, -3.5), (0.2329, -5.2), (0.2176, -2.5), (0.6366, 0.0)],
        *[(0.6448, -2.2), (0.6560, -3.9), (0.6584, -7.4), (0.7935, -7.1), (0.8213, -10.7), (0.9336, -11.1)],
        *[(1.2285, -5.1), (1.3083, -6.8), (2.1704, -8.7), (2.7105, -13.2), (4.2589, -13.9), (4.6003, -13.9)],
        *[(5.4902, -15.8), (5.6077, -17.1), (6.3065, -16.0), (6.6374, -15.7), (7.0427, -21.6), (8.6523, -22.8)],
    ]
)
TDL_C_DELAYS = TDL_C[:, 0]
TDL_C_POWERS = 10 ** (TDL_C[:, 1] / 10) / (10 ** (TDL_C[:, 1] / 10)).sum()


def channel(**overrides: object) -> Channel:
    link = load_link("ofdm-tdl-c", device="cpu", **overrides)
    assert isinstance(link, OfdmLink)
    return link.channel


def assert_mean(samples: Tensor, expected: float, standard_errors: float = 4.0) -> None:
    """The mean of independent samples is the expected one."""
    error = float(samples.std()) / math.sqrt(samples.numel())
    assert abs(float(samples.mean()) - expected) < standard_errors * error


def test_tdl_c_power_delay_profile() -> None:
    delay_spread = 300e-9
    c = channel(delay_spread=delay_spread)
    assert isinstance(c, PathChannel)
    drawn = [c.paths(1, block, [0], 1) for block in range(16)]
    powers = torch.cat([a[:, 0, :, 0, 0, :, 0].abs().square() for a, _ in drawn])
    delays = drawn[0][1][0, 0, 0].numpy()
    np.testing.assert_allclose(delays, TDL_C_DELAYS * delay_spread, rtol=1e-5, atol=1e-12)
    for tap, expected in enumerate(TDL_C_POWERS):
        # 24 taps at five standard errors: one false alarm in 70,000 runs.
        assert_mean(powers[:, :, tap].flatten(), float(expected), standard_errors=5.0)


@pytest.mark.parametrize("model", ["TDL-A", "TDL-D", "CDL-C", "UMi"])
def test_unit_mean_power(model: str) -> None:
    """E|h|² = 1 for each user. Antennas of a realisation may be correlated: realisations are the samples."""
    c = channel(channel=model, num_rx_ant=4)
    h = torch.cat([c.response(2, block, [0, 1, 2], [0], slice(0, 132, 33)) for block in range(12)])
    power = h.abs().square().mean((1, 3, 4))
    for user in range(3):
        assert_mean(power[:, user], 1.0)


def test_tdl_frequency_correlation() -> None:
    """E[H(f) H*(f + Δ)] is the Fourier transform of the power-delay profile."""
    delay_spread = 100e-9
    c = channel(delay_spread=delay_spread)
    h = torch.cat([c.response(3, block, [0], [0], slice(None))[:, :, 0, 0] for block in range(16)])
    for gap in (10, 40, 100):
        expected = (TDL_C_POWERS * np.exp(2j * np.pi * gap * 30e3 * TDL_C_DELAYS * delay_spread)).sum()
        product = (h[..., 0] * h[..., gap].conj()).flatten()
        assert_mean(product.real, expected.real)
        assert_mean(product.imag, expected.imag)


def test_doppler_correlation_is_bessel_across_slots() -> None:
    """E[h(t) h*(t + τ)] = J0(2π f_D τ) under Clarke's spectrum, over two slots without a break."""
    speed, carrier = 50.0, 3.5e9
    c = channel(speed=speed)
    h = torch.cat([c.response(4, block, [0], range(28), slice(0, 1))[:, :, 0, :, 0] for block in range(24)])
    for lag in (1, 7, 14, 20, 27):
        # Antennas share a realisation's Doppler angles: realisations are the samples.
        product = (h[..., 0] * h[..., lag].conj()).mean(1)
        argument = 2 * np.pi * speed / SPEED_OF_LIGHT * carrier * lag * c.symbol_duration
        assert_mean(product.real, float(j0(argument)))


def test_cdl_users_come_from_different_directions() -> None:
    """In CDL-D the line of sight carries most power: neighbours in the array differ by the phase of its direction."""
    c = channel(channel="CDL-E")
    h = torch.cat([c.response(5, block, [0, 1, 2], [0], slice(60, 61))[..., 0, 0] for block in range(2)])
    phase = (h[:, 1:] * h[:, :-1].conj()).mean((0, 1)).angle()
    expected = [math.pi * math.sin(angle) for angle in (-math.pi * 2 / 9, 0.0, math.pi * 2 / 9)]
    assert len(h) == 2 * BLOCK
    assert sorted(phase.tolist()) == pytest.approx(expected, abs=0.35)


def test_perfect_csi_gives_the_sinr_that_the_receiver_reckons_with() -> None:
    state = load_link("ofdm-tdl-c", device="cpu", csi="perfect").draw(2, {"audio": 300, "text": 200}, 5.0, seed=0)
    for user, sinr in state.sinr.items():
        torch.testing.assert_close(sinr, 1 / state.effective_noise_var[user], rtol=1e-5, atol=0)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "lmmse"])
def test_sinr_with_estimated_channels(interpolation: str) -> None:
    """Over symbols of one realisation, what is left beside A_kk·x has the power that SINR says."""
    link = load_link("ofdm-tdl-c", device="cpu", interpolation=interpolation, num_subcarriers=36)
    users = dict.fromkeys(link.config.users, 400)
    state = link.draw(16, users, 0.0, seed=1)
    generator = torch.Generator().manual_seed(0)
    sent = {user: torch.randn(16, 400, dtype=torch.complex64, generator=generator) for user in users}
    for user, received in state.apply(sent).items():
        gain = state.gain[user][user]
        assert gain is not None
        rest = (received - gain * sent[user]).abs().square() / gain.abs().square() * state.sinr[user]
        assert_mean(rest, 1.0)
