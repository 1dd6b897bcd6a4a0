"""Analog links of more or fewer channel uses a value, against closed forms. Every bound is four standard errors."""

import math
from typing import Any

import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.link import Link
from tokcom_phy.utils.errors import UserError

BATCH, NUM_SYMBOLS = 64, 1024


def errors(link: Link, snr_db: float) -> torch.Tensor:
    """Squared errors of Gaussian symbols of unit variance, float32 [BATCH, NUM_SYMBOLS]."""
    state = link.draw(BATCH, NUM_SYMBOLS, snr_db, seed=1)
    sent = torch.randn(BATCH, NUM_SYMBOLS, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    return (state.apply(sent) - sent).abs().square()


def assert_mean(samples: torch.Tensor, expected: float) -> None:
    assert abs(float(samples.mean()) - expected) < 4 * float(samples.std()) / samples.numel() ** 0.5


@pytest.mark.parametrize(("uses_per_value", "k"), [(0.5, 1), (1, 2), (2, 4)])
@pytest.mark.parametrize("snr_db", [-6.0, 3.0])
def test_repetition_over_awgn_has_the_snr_of_all_uses(uses_per_value: float, k: int, snr_db: float) -> None:
    """D = 1/(1 + kγ), and 1/(kγ) where the output is unbiased."""
    snr = k * 10 ** (snr_db / 10)
    assert_mean(errors(load_link("awgn", device="cpu", uses_per_value=uses_per_value), snr_db), 1 / (1 + snr))
    unbiased = load_link("awgn", device="cpu", uses_per_value=uses_per_value, output="unbiased")
    assert_mean(errors(unbiased, snr_db), 1 / snr)
    assert unbiased.draw(1, 8, snr_db).effective_snr_db["payload"] == pytest.approx(
        snr_db + 10 * torch.log10(torch.tensor(float(k))).item(), abs=1e-4
    )


@pytest.mark.parametrize("share", [0.25, 0.4, 0.75])
def test_fewer_uses_than_symbols_attain_the_best_linear_code(share: float) -> None:
    """D = (1 − r) + r/(1 + γ) for a share r of symbols that are sent."""
    link = load_link("awgn", device="cpu", uses_per_value=share / 2)
    sent = int((link.draw(1, NUM_SYMBOLS, 3.0).sinr["payload"] > 0).sum())
    assert sent == link.cost({"audio": NUM_SYMBOLS}).channel_uses == math.ceil(NUM_SYMBOLS * share)
    assert_mean(errors(link, 3.0), 1 - sent / NUM_SYMBOLS * (1 - 1 / (1 + 10**0.3)))


def test_a_use_and_a_half_repeats_every_second_symbol() -> None:
    sinr = load_link("awgn", device="cpu", uses_per_value=0.75).draw(1, 8, 0.0, seed=0).sinr["payload"][0]
    torch.testing.assert_close(sinr, torch.tensor([2.0, 1.0] * 4))


@pytest.mark.parametrize("uses_per_value", [0.5000001, 0.1234567, 0.55, 1.25, 1.45, 49.9])
def test_any_number_of_uses_repeats_whole_symbols(uses_per_value: float) -> None:
    """Of r uses a symbol ⌊r⌋ or one more carry it, and a share r − ⌊r⌋ of the symbols has one more, within a symbol."""
    link = load_link("awgn", device="cpu", uses_per_value=uses_per_value)
    whole, share = divmod(2 * uses_per_value, 1)
    for count in (1, 2, 7, 100):
        sinr = link.draw(1, count, 0.0, seed=0).sinr["payload"]
        assert (sinr - sinr.round()).abs().max() < 1e-3
        assert whole - 1e-3 < sinr.min() <= sinr.max() < whole + 1 + 1e-3
        assert -1e-3 < float((sinr - whole).sum()) - share * count < 1 + 1e-3


@pytest.mark.parametrize("name", ["rayleigh", "ofdm-tdl-c"])
def test_the_sinr_is_that_of_what_arrives(name: str) -> None:
    """Errors at the known gain have mean power |A|²/SINR, with the interference of users that repeat their symbols too,
    of payloads of two lengths."""
    link, lengths = load_link(name, device="cpu", uses_per_value=1), {"audio": 1024, "video": 512}
    state = link.draw(16, lengths, 5.0, seed=3)
    generator = torch.Generator().manual_seed(0)
    sent = {user: torch.randn(16, n, dtype=torch.complex64, generator=generator) for user, n in lengths.items()}
    for user, received in state.apply(sent).items():
        gain = state.gain[user][user]
        assert gain is not None
        error = (received - gain * sent[user]).abs().square()
        assert_mean(error * state.sinr[user] / gain.abs().square(), 1.0)


def test_two_uses_are_combined_as_two_antennas_are() -> None:
    """Over fades that differ from use to use, the receiver's noise variance is that of the sum of their SNRs."""
    once = load_link("rayleigh", device="cpu", coherence=1).draw(4, 128, 5.0, seed=3)
    twice = load_link("rayleigh", device="cpu", coherence=1, uses_per_value=1).draw(4, 64, 5.0, seed=3)
    both = once.sinr["payload"].unflatten(1, (64, 2)).sum(2)
    torch.testing.assert_close(twice.sinr["payload"], both, rtol=1e-4, atol=0)
    torch.testing.assert_close(1 / twice.effective_noise_var["payload"], both, rtol=1e-4, atol=0)


def test_packets_arrive_if_one_use_of_a_symbol_does() -> None:
    link = load_link("erasure", device="cpu", loss_rate=0.3, packet_symbols=1, uses_per_value=1)
    sent = torch.randn(8, 512, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    received = link.draw(8, 512, 0.0, seed=1).apply(sent)
    lost = received == 0
    torch.testing.assert_close(received[~lost], sent[~lost])
    assert_mean(lost.float(), 0.09)


def test_padding_takes_no_use_and_budgets_count_all_of_them() -> None:
    link = load_link("awgn", device="cpu", uses_per_value=1)
    tokens, mask = torch.randn(2, 4, 8), torch.tensor([[True] * 4, [True, True, False, False]])
    received, state = link.transmit({"audio": tokens}, 40.0, {"audio": mask}, seed=0)
    torch.testing.assert_close(received["audio"][0], tokens[0], atol=0.1, rtol=0)
    assert (received["audio"][1, 2:] == 0).all()
    assert state.mask["audio"].sum(1).tolist() == [16, 8]
    assert link.cost({"audio": 1000}).channel_uses == 2000
    assert link.cost({"audio": 1000}, as_tokens=False).channel_uses == 1000
    digital = load_link("digital-awgn", device="cpu", modulation="16-QAM", uses_per_value=1)
    assert digital.cost({"audio": 1000}).channel_uses == 2000
    assert digital.cost({"audio": 1000}, as_tokens=False).channel_uses == 1000
    assert link.cost({"audio": 1000}).energy == pytest.approx(0.2e-6 * 2064)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("awgn-raw", {"uses_per_value": 1}, "does not combine what is repeated"),
        ("ofdm-tdl-c", {"uses_per_value": 1, "amplifier_backoff_db": 3.0}, "it needs waveform cp-ofdm"),
        ("digital-awgn", {"over": {"uses_per_value": 1}}, "give the digital link its own uses_per_value"),
        ("awgn", {"uses_per_value": 0}, "uses_per_value: 0 is not within"),
    ],
)
def test_what_cannot_be_repeated_is_refused_in_one_line(name: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_link(name, device="cpu", **overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
