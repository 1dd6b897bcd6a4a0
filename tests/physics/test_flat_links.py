"""Flat links against closed forms. Every bound is four standard errors, or a Kolmogorov–Smirnov p-value of 1e-4."""

import math

import pytest
import torch
from scipy.special import exp1
from scipy.stats import gamma, kstest
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.state import LinkState

BATCH, NUM_SYMBOLS = 64, 1024


def qpsk(batch: int = BATCH, num_symbols: int = NUM_SYMBOLS) -> Tensor:
    bits = torch.randint(2, (batch, num_symbols, 2), generator=torch.Generator().manual_seed(0))
    return torch.view_as_complex((1.0 - 2.0 * bits) / math.sqrt(2))


def assert_mean(samples: Tensor, expected: float) -> None:
    """The mean of independent samples is the expected one within four of its standard errors."""
    error = float(samples.std()) / math.sqrt(samples.numel())
    assert abs(float(samples.mean()) - expected) < 4 * error


def independent_fades(name: str, **overrides: object) -> Link:
    return load_link(name, device="cpu", coherence=1, **overrides)


def gains(link: Link) -> Tensor:
    assert isinstance(link, FlatLink)
    return link.gains(3, range(BATCH), NUM_SYMBOLS)[:, 0].flatten()


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 20.0])
def test_awgn_has_the_noise_power_of_its_snr(snr_db: float) -> None:
    sent = qpsk()
    received = load_link("awgn-raw", device="cpu").draw(BATCH, NUM_SYMBOLS, snr_db, seed=1).apply(sent)
    noise = received - sent
    assert_mean(noise.abs().square(), 10 ** (-snr_db / 10))
    assert_mean(noise.real * noise.imag, 0.0)
    assert kstest((noise.real / noise.real.std()).flatten(), "norm").pvalue > 1e-4


def test_ideal_changes_nothing() -> None:
    sent = qpsk(2)
    assert torch.equal(load_link("ideal").draw(2, NUM_SYMBOLS, 0.0, seed=1).apply(sent), sent)


def test_rayleigh_power_is_exponential_and_phase_uniform() -> None:
    h = gains(independent_fades("rayleigh"))
    assert kstest(h.abs().square(), "expon").pvalue > 1e-4
    assert kstest(h.angle() / (2 * torch.pi) + 0.5, "uniform").pvalue > 1e-4


def test_rayleigh_keeps_a_fade_for_its_coherence() -> None:
    link = load_link("rayleigh", device="cpu", coherence=10)
    assert isinstance(link, FlatLink)
    h = link.gains(3, [0], 35)[0, 0]
    assert all(len(set(stretch.tolist())) == 1 for stretch in h.split(10))
    assert len(set(h.tolist())) == 4


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 10.0, 20.0])
def test_rayleigh_mmse_meets_its_closed_form(snr_db: float) -> None:
    sent = qpsk()
    received = independent_fades("rayleigh").draw(BATCH, NUM_SYMBOLS, snr_db, seed=1).apply(sent)
    snr = 10 ** (snr_db / 10)
    assert_mean((received - sent).abs().square(), math.exp(1 / snr) * exp1(1 / snr) / snr)


def test_raw_rayleigh_is_equation_6() -> None:
    """E|h·x + n − x|² = E|h − 1|² + N0 = 2 + N0 for unit-power h of zero mean."""
    sent = qpsk()
    received = independent_fades("rayleigh-raw").draw(BATCH, NUM_SYMBOLS, 3.0, seed=1).apply(sent)
    assert_mean((received - sent).abs().square(), 2 + 10**-0.3)


@pytest.mark.parametrize("k_factor_db", [0.0, 6.0, 12.0])
def test_rician_k_factor(k_factor_db: float) -> None:
    """E|h|² = 1 and E|h|⁴ = (K² + 4K + 2)/(K + 1)², which tells K (M. Simon and M. Alouini, table 2.2)."""
    power = gains(independent_fades("rician", k_factor_db=k_factor_db)).abs().square()
    k = 10 ** (k_factor_db / 10)
    assert_mean(power, 1.0)
    assert_mean(power.square(), (k**2 + 4 * k + 2) / (k + 1) ** 2)


def test_lines_of_sight_of_users_are_told_apart_by_their_directions() -> None:
    """Antennas half a wavelength apart see users in a sector of 120°; on the mean |cos| is the double integral of
    |sin(Mx/2)/(M·sin(x/2))|, x = π(sin θ − sin φ)."""
    link = independent_fades("rician", k_factor_db=60.0, num_rx_ant=8)
    assert isinstance(link, FlatLink)
    users = [link.gains(3, range(800), 1, user)[..., 0] for user in ("audio", "video")]
    cosine = (users[0].conj() * users[1]).sum(1).abs() / 8
    angles = torch.linspace(-math.pi / 3, math.pi / 3, 2001)[:, None]
    offset = math.pi * (angles.sin() - angles.sin().T)
    expected = torch.polar(torch.ones(1), offset[..., None] * torch.arange(8)).mean(-1).abs().mean()
    assert_mean(cosine, float(expected))
    assert_mean(users[0].abs().square(), 1.0)


def multiuser_state(**overrides: object) -> LinkState:
    link = independent_fades("rayleigh-mimo", **overrides)
    return link.draw(BATCH, {"audio": 256, "video": 256, "text": 256}, 7.0, seed=2)


@pytest.mark.parametrize("num_rx_ant", [3, 8])
def test_zero_forcing_sinr_is_gamma(num_rx_ant: int) -> None:
    """Output SNR over i.i.d. Rayleigh fading ~ SNR · Gamma(N_r − U + 1) (J. Winters, J. Salz, R. Gitlin, 1994)."""
    state = multiuser_state(combining="zf", num_rx_ant=num_rx_ant)
    for sinr in state.sinr.values():
        assert kstest(sinr.flatten(), gamma(num_rx_ant - 3 + 1, scale=10**0.7).cdf).pvalue > 1e-4


@pytest.mark.parametrize("combining", ["lmmse", "zf", "mrc"])
def test_errors_are_as_large_as_the_effective_noise_says(combining: str) -> None:
    """Unbiased output errs by noise and interference of the variance that the receiver reckons with."""
    state = multiuser_state(combining=combining, output="unbiased")
    generator = torch.Generator().manual_seed(1)
    sent = {user: qpsk(BATCH, 256)[:, torch.randperm(256, generator=generator)] for user in state.gain}
    for user, received in state.apply(sent).items():
        error = (received - sent[user]).abs().square() / state.effective_noise_var[user]
        assert_mean(error, 1.0)


@pytest.mark.parametrize("combining", ["lmmse", "zf", "mrc"])
def test_output_mmse_errs_by_what_a_scalar_attains(combining: str) -> None:
    """The least mean squared error of x from x + e, E|e|² = 1/γ, is 1/(1 + γ)."""
    state = multiuser_state(combining=combining)
    generator = torch.Generator().manual_seed(1)
    sent = {user: qpsk(BATCH, 256)[:, torch.randperm(256, generator=generator)] for user in state.gain}
    for user, received in state.apply(sent).items():
        assert_mean((received - sent[user]).abs().square() * (1 + 1 / state.effective_noise_var[user]), 1.0)


def test_effective_snr_of_awgn_is_the_snr() -> None:
    state = load_link("awgn").draw(4, {"audio": 100, "text": 7}, {"audio": 12.5, "text": -20.0}, seed=0)
    assert state.effective_snr_db == pytest.approx({"audio": 12.5, "text": -20.0}, abs=1e-4)


def test_users_fade_independently() -> None:
    link = independent_fades("rayleigh")
    assert isinstance(link, FlatLink)
    audio, video = (link.gains(3, range(BATCH), NUM_SYMBOLS, user).flatten() for user in ("audio", "video"))
    assert_mean((audio * video.conj()).real, 0.0)
    assert_mean((audio * video.conj()).imag, 0.0)
    assert (audio != video).all()
