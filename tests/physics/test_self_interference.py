"""Power beyond the prefix and Doppler within a symbol, against simulations in the time domain; ranges of models."""

import ast
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.channels import PathChannel
from tokcom_phy.radio.materials import RANGES_GHZ
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.prefix import SPEED_OF_LIGHT, doppler_interference, window_gain
from tokcom_phy.radio.seeding import BLOCK

N, SPACING = 64, 30e3
USEFUL = 1 / SPACING


def ofdm_link(name: str = "ofdm-tdl-c", **overrides: object) -> OfdmLink:
    link = load_link(name, device="cpu", **overrides)
    assert isinstance(link, OfdmLink)
    return link


def through_paths(
    a: Tensor, tau: Tensor, prefix: float, sent: Tensor, frequencies: Tensor, oversampling: int = 8
) -> Tensor:
    """One OFDM symbol after another over static paths, sampled in the receiver's window and transformed.

    Parameters
    ----------
    a : complex128 [paths]
    tau : float64 [paths]
    sent : complex128 [symbols, subcarriers]

    Returns
    -------
    complex128 [symbols − 1, subcarriers]
        The received symbols but for the first.
    """
    samples = oversampling * len(frequencies)
    t = torch.arange(samples, dtype=torch.float64) / samples * USEFUL
    waves = torch.exp(2j * math.pi * t[:, None] * frequencies)
    received = torch.zeros(len(sent) - 1, samples, dtype=torch.complex128)
    for gain, delay in zip(a, tau, strict=True):
        early = t - delay < -prefix
        own = torch.exp(2j * math.pi * (t - delay)[:, None] * frequencies)
        # The symbol before began one symbol earlier: its phases go on from its own window's start.
        before = torch.exp(2j * math.pi * (t - delay + USEFUL + prefix)[:, None] * frequencies)
        received += gain * torch.where(early, sent[:-1] @ before.mT, sent[1:] @ own.mT)
    return received @ waves.conj() / samples


@pytest.mark.parametrize(
    "settings", [{"delay_spread": 1e-6}, {"cyclic_prefix_length": 0, "delay_spread": 1e-6}, {"delay_spread": 1e-5}]
)
def test_power_beyond_the_prefix_is_that_of_a_waveform(settings: dict[str, Any]) -> None:
    """What a link hands to its receiver and calls lost, against each realisation's own waveform.

    The link takes the interference for white; the mean over the subcarriers is compared.
    """
    link = ofdm_link(num_subcarriers=N, users=["one"], num_rx_ant=1, speed=0.0, **settings)
    channel = link.channel
    assert isinstance(channel, PathChannel)
    a, tau = channel.paths(3, 0, [0], 1)
    drawn = channel.draw(3, 0, [0], 1)
    h, lost = drawn.within([0], slice(None))[:, 0, 0, 0], drawn.outside([0])[:, 0, 0]
    assert float(lost.mean()) > 1e-3
    sent = torch.randn(40, N, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    measured = []
    for example in range(BLOCK):
        y = through_paths(
            a[example, 0, 0, 0, 0, :, 0].to(torch.complex128),
            tau[0, 0, 0].double(),
            channel.prefix_duration,
            sent,
            channel.frequencies.double(),
        )
        measured.append(float((y - h[example] * sent[1:]).abs().square().mean()))
        useful = (y - h[example] * sent[1:]).mul(sent[1:].conj()).mean().abs()
        assert float(useful) < 4 * math.sqrt(measured[-1] / sent[1:].numel()) + 0.03 * measured[-1] ** 0.5
    # Paths of one realisation overlap outside the window; over realisations their powers add up. Of the interference
    # some falls beside the band.
    assert 0.6 < np.mean(measured) / float(lost.mean()) < 1.25


def test_one_late_path_exactly() -> None:
    """A single path 12 samples beyond the prefix of 9, of 64: useful 1 − 12/64, the rest interference."""
    sample = USEFUL / N
    tau = torch.tensor([21 * sample], dtype=torch.float64)
    sent = torch.randn(2000, N, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    frequencies = (torch.arange(N, dtype=torch.float64) - N // 2) * SPACING
    y = through_paths(torch.ones(1, dtype=torch.complex128), tau, 9 * sample, sent, frequencies, oversampling=1)
    turned = sent[1:] * torch.exp(-2j * math.pi * frequencies * tau)
    gain = float(window_gain(tau, 9 * sample, USEFUL)[0])
    assert gain == pytest.approx(1 - 12 / N)
    measured = (y * turned.conj()).mean() / turned.abs().square().mean()
    assert float(measured.real) == pytest.approx(gain, abs=2e-3)
    assert float((y - gain * turned).abs().square().mean()) == pytest.approx(1 - gain**2, rel=0.02)


@pytest.mark.parametrize("speed", [30.0, 120.0, 2000.0])
def test_doppler_interference_is_that_of_a_waveform(speed: float) -> None:
    """Clarke's spectrum as many plane waves from all sides, over the samples of one symbol."""
    rng = np.random.default_rng(0)
    shift = speed / SPEED_OF_LIGHT * 3.5e9 * np.cos(rng.uniform(0, 2 * np.pi, (4000, 64)))
    phase = rng.uniform(0, 2 * np.pi, (4000, 64))
    t = (np.arange(64) + 0.5) / 64 * USEFUL
    h = np.exp(1j * (2 * np.pi * shift[..., None] * t + phase[..., None])).mean(1) * 8
    lost = (np.abs(h) ** 2).mean(1) - np.abs(h.mean(1)) ** 2
    expected = doppler_interference(speed, 3.5e9, USEFUL)
    assert abs(lost.mean() - expected) < 4 * lost.std() / np.sqrt(len(lost)) + 1e-3 * expected


def test_doppler_interference_at_120_m_per_s() -> None:
    assert 10 * math.log10(doppler_interference(120.0, 3.5e9, USEFUL)) == pytest.approx(-24.5, abs=0.1)
    small = [doppler_interference(speed, 3.5e9, USEFUL) for speed in (20.0, 22.0)]
    assert small[1] / small[0] == pytest.approx(1.21, abs=1e-3)  # no step where the series takes over


def test_interference_is_a_ceiling_of_the_effective_snr() -> None:
    """One user, one antenna, channel known: 1/SINR = 1/(SNR|h|²) + lost/|h|², 24.5 dB at 120 m/s."""
    link = ofdm_link(users=["one"], num_rx_ant=1, csi="perfect", speed=120.0)
    state = link.draw(64, 264, 100.0, seed=0)
    free = ofdm_link(users=["one"], num_rx_ant=1, csi="perfect", speed=120.0, self_interference=False)
    gain = free.draw(64, 264, 100.0, seed=0).sinr["payload"].double() / 1e10
    spread = doppler_interference(120.0, 3.5e9, USEFUL)
    share = 264 / (12 * 132)  # a short payload is spread thinly, and interferes as little
    expected = (1 - spread) * gain / (spread * share)
    torch.testing.assert_close(state.sinr["payload"].double(), expected, rtol=1e-3, atol=0)
    assert torch.allclose(1 / state.effective_noise_var["payload"], state.sinr["payload"], rtol=1e-5)


def test_the_noise_of_a_realisation_has_the_variance_that_it_says() -> None:
    link = ofdm_link(users=["one"], num_rx_ant=1, csi="perfect", speed=120.0, output="unbiased")
    state = link.draw(64, 1584, 40.0, seed=0)
    share = state.noise["payload"].abs().square() * state.sinr["payload"]
    assert float(share.mean()) == pytest.approx(1.0, abs=4 / math.sqrt(64 * 1584))


@pytest.mark.parametrize(("channel", "users", "power"), [("UMi", 0.179, 0.006), ("UMa", 0.259, 0.011)])
def test_how_many_users_have_paths_beyond_the_default_prefix(channel: str, users: float, power: float) -> None:
    link = ofdm_link(channel=channel, num_rx_ant=3)
    assert isinstance(link.channel, PathChannel)
    beyond, lost = [], []
    for block in range(20):
        a, tau = link.channel.paths(0, block, [0, 1, 2], 1)
        strength = a[:, 0, :, :, 0, :, 0].abs().square().mean(1)
        late = strength * (tau[:, 0] > link.channel.prefix_duration)
        beyond.append(late.sum(2) / strength.sum(2))
        lost.append(link.channel.draw(0, block, [0, 1, 2], 1).outside([0])[..., 0])
    share = torch.cat(beyond)
    assert float((share > 0).float().mean()) == pytest.approx(users, abs=4 * math.sqrt(users * (1 - users) / 480))
    assert 0.6 * power < float(share.mean()) < 1.6 * power
    assert (torch.cat(lost) > 0).equal(share > 0)


def test_a_prefix_that_is_too_short_costs_snr() -> None:
    users = {"audio": 264, "video": 264}
    known: dict[str, Any] = {"csi": "perfect", "delay_spread": 300e-9}
    found = {
        length: ofdm_link(cyclic_prefix_length=length, **known).draw(16, users, 30.0, seed=0).effective_snr_db["audio"]
        for length in (0, 4, 9, 14)
    }
    assert found[0] < found[4] - 1 < found[9] - 1
    assert found[14] == pytest.approx(found[9], abs=0.6)


@pytest.mark.skipif(find_spec("sionna.rt") is None, reason="without Sionna RT")
def test_materials_are_defined_where_sionna_rt_defines_them() -> None:
    spec = find_spec("sionna.rt")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0]) / "radio_materials" / "itu.py"
    (table,) = (
        node.value
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ITU_MATERIALS_PROPERTIES"
    )
    theirs = ast.literal_eval(table)
    assert set(RANGES_GHZ) == set(theirs)
    for material, ranges in theirs.items():
        for frequency in np.geomspace(5e-4, 500, 3000):
            defined = any(low <= frequency <= high for low, high in ranges)
            assert defined == any(low <= frequency <= high for low, high in RANGES_GHZ[material]), material
