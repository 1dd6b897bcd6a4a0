"""What a receiver hands on under each output, against closed forms. Every bound is four standard errors."""

import math
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from scipy.special import exp1
from scipy.stats import gamma
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.state import LinkState

BATCH, NUM_SYMBOLS, SNR_DB, SNR = 64, 1024, -10.0, 0.1
USERS = ["audio", "video", "text"]
TDL_C = {"csi": "perfect", "access": "tdma", "speed": 0.0}
"""TDL-C received by independently fading antennas, whose channels are known and do not change."""


def drawn(name: str, num_symbols: int = NUM_SYMBOLS, batch: int = BATCH, **overrides: object) -> LinkState:
    return load_link(name, device="cpu", **overrides).draw(batch, dict.fromkeys(USERS, num_symbols), SNR_DB, seed=5)


def errors(state: LinkState) -> Tensor:
    """Squared errors of Gaussian symbols, float64 [users, b, n]."""
    generator = torch.Generator().manual_seed(0)
    shape = state.sinr["audio"].shape
    sent = {user: torch.randn(shape, dtype=torch.complex64, generator=generator) for user in state.gain}
    return torch.stack([(y - sent[user]).abs().square() for user, y in state.apply(sent).items()]).double()


def assert_mean(samples: Tensor, expected: float) -> None:
    """The mean of independent samples is the expected one."""
    assert abs(float(samples.mean()) - expected) < 4 * float(samples.std()) / math.sqrt(samples.numel())


def test_awgn() -> None:
    """1/(1 + γ): −0.41 dB at −10 dB."""
    assert_mean(errors(drawn("awgn")), 1 / (1 + SNR))
    assert_mean(errors(drawn("awgn", output="unbiased")), 1 / SNR)
    assert_mean(errors(drawn("awgn-raw")), 1 / SNR)


def test_rayleigh() -> None:
    """E[1/(1 + γ|h|²)] = e^{1/γ}·E₁(1/γ)/γ: −0.38 dB at −10 dB."""
    fades = {"coherence": 1}
    assert_mean(errors(drawn("rayleigh", **fades)), math.exp(1 / SNR) * exp1(1 / SNR) / SNR)
    assert_mean(errors(drawn("rayleigh-raw", **fades)), 2 + 1 / SNR)


@pytest.mark.parametrize("num_rx_ant", [1, 8])
def test_tdl_c(num_rx_ant: int) -> None:
    """E[1/(1 + γ·g)] for the power g of independently fading antennas, which is Gamma-distributed."""
    expected, _ = quad(lambda g: gamma.pdf(g, num_rx_ant) / (1 + SNR * g), 0, 100)
    found = errors(drawn("ofdm-tdl-c", batch=200, num_symbols=132, num_rx_ant=num_rx_ant, **TDL_C))
    # Subcarriers of a realisation fade together: users and realisations are the samples.
    assert_mean(found.mean(2), expected)


def test_raw_tdl_c_is_equation_6() -> None:
    found = errors(drawn("ofdm-tdl-c", batch=200, num_symbols=132, num_rx_ant=1, access="tdma", output="raw"))
    assert_mean(found.mean(2), 2 + 1 / SNR)


@pytest.mark.parametrize(
    "name", ["awgn", "rayleigh", "rician", "rayleigh-mimo", "ofdm-tdl-c", "ofdm-cdl-c", "ofdm-umi"]
)
def test_no_link_hands_on_more_error_than_signal(name: str) -> None:
    """So the ranking of links at low SNR is one of physics, not of scales."""
    assert float(errors(drawn(name, batch=16)).mean()) < 1


@pytest.mark.parametrize("output", ["mmse", "unbiased"])
@pytest.mark.parametrize("name", ["awgn", "rayleigh", "rayleigh-mimo", "ofdm-tdl-c", "erasure"])
def test_state_says_the_error_without_a_genie(name: str, output: str) -> None:
    options: dict[str, Any] = {} if name == "erasure" else {"output": output}
    state = drawn(name, batch=32, **options)
    found = errors(state).mean((1, 2))
    expected = 10 ** (torch.tensor(list(state.nmse_db.values())).double() / 10)
    # 32,768 symbols a user; an error's standard deviation is about its mean, more where it varies with the channel.
    torch.testing.assert_close(found, expected, rtol=0.06, atol=0)


@pytest.mark.parametrize("name", ["awgn", "rayleigh", "rayleigh-mimo", "ofdm-tdl-c"])
def test_output_changes_the_scale_alone(name: str) -> None:
    mmse, unbiased = drawn(name), drawn(name, output="unbiased")
    for user, noise_var in unbiased.effective_noise_var.items():
        torch.testing.assert_close(mmse.effective_noise_var[user], noise_var)
        torch.testing.assert_close(mmse.sinr[user], unbiased.sinr[user])
        torch.testing.assert_close(mmse.noise[user], unbiased.noise[user] / (1 + noise_var), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output", ["mmse", "unbiased", "raw"])
@pytest.mark.parametrize("name", ["awgn", "rayleigh", "ofdm-tdl-c"])
def test_gradients_pass_through_every_output(name: str, output: str) -> None:
    """That of Re⟨w, A·x⟩ is Aᴴ·w."""
    alone = {"num_rx_ant": 1, "access": "ofdma"} if name == "ofdm-tdl-c" else {}
    state = drawn(name, 100, 2, output=output, **alone)
    x, weights = torch.randn(2, 2, 100, dtype=torch.complex64).unbind()
    x.requires_grad_()
    silent = dict.fromkeys(USERS[1:], torch.zeros(2, 100, dtype=torch.complex64))
    received = state.apply({"audio": x, **silent})["audio"]
    (gradient,) = torch.autograd.grad((received * weights.conj()).real.sum(), x)
    gain = state.gain["audio"]["audio"]
    torch.testing.assert_close(gradient, weights if gain is None else weights * gain.conj())
