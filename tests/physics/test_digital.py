"""Digital links against published figures and closed forms. Every bound is four standard errors."""

import math
from pathlib import Path

import pytest
import torch
from scipy.special import erfc
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.blockcode import BlockCode
from tokcom_phy.radio.cost import HEADER_SYMBOLS
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.sionna import Demapper, Mapper
from tokcom_phy.radio.state import ANONYMOUS

BATCH, NUM_SYMBOLS = 64, 4096
GAUSSIAN = torch.randn(4, 16, 128, generator=torch.Generator().manual_seed(0))
QUANTISED_NMSE = {1: 0.3634, 2: 0.1188, 3: 0.03744, 4: 0.01154}
"""Least mean squared error of a uniform quantiser of Gaussian values (J. Max, 1960, table II)."""


def random_bits(*shape: int) -> Tensor:
    return torch.randint(2, shape, generator=torch.Generator().manual_seed(0)).float()


def assert_share(errors: Tensor, expected: float) -> None:
    """A share of independent events is the expected one within four standard errors."""
    assert abs(float(errors.float().mean()) - expected) < 4 * math.sqrt(expected * (1 - expected) / errors.numel())


def assert_mean(samples: Tensor, expected: float, num_samples: int) -> None:
    """A mean over independent samples is the expected one within four of its standard errors."""
    assert abs(float(samples.mean()) - expected) < 4 * float(samples.std()) / math.sqrt(num_samples)


def bit_errors(link: Link, constellation: str, bits_per_symbol: int, ebno_db: float) -> Tensor:
    """Errors of uncoded bits, bool [BATCH, NUM_SYMBOLS · bits_per_symbol]."""
    bits = random_bits(BATCH, NUM_SYMBOLS * bits_per_symbol)
    state = link.draw(BATCH, NUM_SYMBOLS, ebno_db + 10 * math.log10(bits_per_symbol), seed=1)
    received = state.apply(Mapper(constellation, bits_per_symbol, device="cpu")(bits))
    demapper = Demapper("app", constellation, bits_per_symbol, hard_out=True, device="cpu")
    return demapper(received, state.effective_noise_var[ANONYMOUS]) != bits


@pytest.mark.parametrize("ebno_db", [0.0, 4.0, 7.0])
def test_qpsk_over_awgn(ebno_db: float) -> None:
    """Q(√(2 Eb/N0))."""
    errors = bit_errors(load_link("awgn-raw", device="cpu"), "qam", 2, ebno_db)
    assert_share(errors, erfc(math.sqrt(10 ** (ebno_db / 10))) / 2)


@pytest.mark.parametrize(("ebno_db", "published"), [(0.0, 0.1464), (10.0, 2.327e-2), (20.0, 2.481e-3)])
def test_bpsk_over_rayleigh(ebno_db: float, published: float) -> None:
    errors = bit_errors(load_link("rayleigh", device="cpu", coherence=1, output="unbiased"), "pam", 1, ebno_db)
    assert_share(errors, published)


@pytest.mark.parametrize(
    ("ebno_db", "published", "num_blocks"),
    [
        (3.0, 2.254e-2, 4096),
        pytest.param(3.5, 5.839e-3, 16384, marks=pytest.mark.slow),
        pytest.param(4.0, 1.329e-3, 49152, marks=pytest.mark.slow),
    ],
)
def test_ldpc_64_128_with_qpsk_over_awgn(ebno_db: float, published: float, num_blocks: int) -> None:
    """48 bits and their CRC are the 64 information bits; at rate 1/2 the Es/N0 of QPSK is Eb/N0."""
    code = BlockCode(48, 64, 2, "cpu")
    bits = random_bits(num_blocks, 48)
    state = load_link("awgn-raw", device="cpu").draw(num_blocks // 64, 64 * 64, ebno_db, seed=1)
    received = state.apply(code.encode(bits).view(-1, 64 * 64)).view(-1, 64)
    decoded, intact = code.decode(received, state.effective_noise_var[ANONYMOUS].reshape(-1, 64))
    assert torch.equal(decoded[intact], bits[intact])
    print(f"{ebno_db} dB: BLER {float((~intact).float().mean()):.3e}, published {published:.3e}")
    assert_share(~intact, published)


@pytest.mark.parametrize("bits", QUANTISED_NMSE)
def test_quantiser_errs_as_little_as_a_uniform_one_can(bits: int) -> None:
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    quantizer = Quantizer(bits)
    errors = (quantizer.dequantize(quantizer.quantize(values)) - values).square()
    assert_mean(errors, QUANTISED_NMSE[bits], len(values))


def test_quantiser_clips_and_rounds_to_the_middle() -> None:
    quantizer = Quantizer(2, clip=2.0)
    values = torch.tensor([-9.0, -1.1, -0.9, 0.1, 0.9, 1.1, 9.0])
    levels = torch.tensor([-1.5, -1.5, -0.5, 0.5, 0.5, 1.5, 1.5])
    assert torch.equal(quantizer.dequantize(quantizer.quantize(values)), levels)


@pytest.mark.parametrize(("bits", "modulation"), [(1, "16-QAM"), (2, "64-QAM"), (3, "256-QAM"), (4, "1024-QAM")])
def test_far_above_the_cliff_only_quantisation_errs(bits: int, modulation: str) -> None:
    link = load_link("digital-awgn", device="cpu", bits=bits, modulation=modulation)
    received = link({"audio": 3 * GAUSSIAN}, 40.0, seed=1)["audio"]
    assert_mean((received / 3 - GAUSSIAN).square(), QUANTISED_NMSE[bits], GAUSSIAN.numel())


def test_below_the_cliff_all_is_lost() -> None:
    """Two values of 2 bits in a symbol: no code carries 4 bits under 10·log10(2⁴ − 1) = 11.8 dB."""
    assert (load_link("digital-awgn", device="cpu")({"audio": GAUSSIAN}, 11.0, seed=1)["audio"] == 0).all()


def test_a_lost_block_is_zeros_and_the_rest_arrives(tmp_path: Path) -> None:
    """14 tokens of 128 values fill one block, and here one fade."""
    below = tmp_path / "block-fading.yaml"
    below.write_text("family: flat\nfading: rayleigh\ncoherence: 896\n")
    link = load_link("digital-awgn", device="cpu", over=str(below))
    tokens = GAUSSIAN[:, :14].repeat(2, 2, 1)
    received, state = link.transmit({"audio": tokens}, 15.0, seed=1)
    lost = (received["audio"] == 0).flatten(1).unflatten(1, (2, -1))
    sinr_db = 10 * torch.log10(state.sinr["audio"][:, ::896])
    assert (lost.all(2) | ~lost.any(2)).all()
    assert lost[sinr_db < 11.7].all()
    assert not lost[sinr_db > 14.5].any()
    assert 0 < lost.float().mean() < 1


def test_lost_symbols_are_never_taken_for_zeros() -> None:
    """A decoder without any signal gives zeros, whose plain CRC would hold."""
    link = load_link("digital-awgn", device="cpu", over="erasure")
    received, state = link.transmit({"audio": GAUSSIAN[:, :1].repeat(8, 1, 1)}, 0.0, seed=1)
    lost = state.sinr["audio"][:, 0] == 0
    assert 0 < int(lost.sum()) < len(lost)
    assert (received["audio"][lost] == 0).all()
    assert (received["audio"][~lost] != 0).all()


def test_same_seed_and_index_same_result_whatever_the_batch() -> None:
    link = load_link("digital-ofdm-tdl-c", device="cpu")
    tokens = {"audio": GAUSSIAN[:, :3], "text": GAUSSIAN[:, 3:5]}
    mask = torch.tensor([[True, True], [False, True], [True, False], [True, True]])
    whole = link(tokens, 10.0, {"text": mask}, seed=3, indices=[5, 6, 7, 8])
    part = {user: block[[2, 1]] for user, block in tokens.items()}
    again = link(part, 10.0, {"text": mask[[2, 1]]}, seed=3, indices=[7, 6])
    for user in tokens:
        assert torch.equal(again[user], whole[user][[2, 1]])
    assert (whole["text"][~mask] == 0).all()
    assert (whole["text"][mask] != 0).any()


def test_gradient_passes_where_blocks_arrive() -> None:
    """The first example arrives, the second is lost; the scale follows the tokens, hence the tolerance."""
    tokens = GAUSSIAN[:2, :2].clone().requires_grad_()
    received = load_link("digital-awgn", device="cpu")({"audio": tokens}, torch.tensor([30.0, 0.0]), seed=1)["audio"]
    received.sum().backward()
    assert tokens.grad is not None
    torch.testing.assert_close(tokens.grad[0], torch.ones_like(tokens[0]), rtol=0, atol=0.2)
    assert (tokens.grad[1] == 0).all()


def test_digital_tokens_cost_what_the_link_below_costs() -> None:
    sent = {"audio": 1024, "text": 640}
    assert load_link("digital-ofdm-tdl-c").cost(sent) == load_link("ofdm-tdl-c").cost(sent)


@pytest.mark.parametrize("power", ["block", "token"])
def test_power_options_of_a_digital_link(power: str) -> None:
    """Each scale restores what it was taken from; a withheld one leaves the quantised values at unit power."""
    loudness = torch.tensor([0.1, 1.0, 5.0, 30.0]).repeat(4)[:, None]
    tokens = {"audio": GAUSSIAN * loudness}
    restored = load_link("digital-awgn", device="cpu", power=power)(tokens, 40.0, seed=1)["audio"]
    withheld = load_link("digital-awgn", device="cpu", power=power, scale="withheld")(tokens, 40.0, seed=1)["audio"]
    dims = (1, 2) if power == "block" else (2,)
    scale = (tokens["audio"].square().mean(dims, keepdim=True) * 2).sqrt()
    torch.testing.assert_close(restored, withheld * scale)
    nmse = (restored - tokens["audio"]).square().mean(2) / tokens["audio"].square().mean(2)
    if power == "token":
        assert_mean(nmse, QUANTISED_NMSE[2], nmse.numel())
    else:
        # The loud tokens set the scale; the quiet ones drown in its quantisation.
        assert nmse[:, 3::4].max() < 1 < nmse[:, ::4].min()


def test_an_amplifier_bends_the_qam_symbols() -> None:
    """At 40 dB only distortion can lose a block, and deep in saturation it does."""
    tokens = {"audio": GAUSSIAN}
    for backoff_db, arrives in [(20.0, True), (-10.0, False)]:
        link = load_link("digital-awgn", device="cpu", amplifier_backoff_db=backoff_db)
        assert bool((link(tokens, 40.0, seed=1)["audio"] != 0).any()) == arrives


@pytest.mark.parametrize(("options", "headers"), [({}, 1), ({"power": "token"}, 16), ({"scale": "withheld"}, 0)])
def test_budget_of_a_digital_link_counts_its_own_headers(options: dict[str, str], headers: int) -> None:
    cost = load_link("digital-awgn", device="cpu", **options).cost({"audio": 1024}, symbols_per_token=64)
    assert cost.resource_elements == 1024 + headers * HEADER_SYMBOLS
