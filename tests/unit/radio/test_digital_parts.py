"""Parts of a digital link: demapper and quantisers, against Sionna's demapper and Max's tables."""

import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.blockcode import BlockCode
from tokcom_phy.radio.quantizer import LloydMaxQuantizer, Quantizer
from tokcom_phy.radio.sionna import Demapper

MAX_TABLE = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497, 5: 0.002499}
"""Least mean squared error of 2^b levels for Gaussian values (J. Max, 1960, table I, which ends at 36 levels)."""

UNIFORM_TABLE = {1: 0.3634, 2: 0.1188, 3: 0.03744, 4: 0.01154, 5: 0.003495}
"""The same of equal steps (table II)."""

VALUES = torch.randn(400_000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bits_per_symbol", [2, 4, 6, 8, 10])
def test_two_pam_demappers_are_the_qam_demapper(bits_per_symbol: int) -> None:
    code = BlockCode(2 * bits_per_symbol * 20, 96, bits_per_symbol, "cpu")
    generator = torch.Generator().manual_seed(0)
    sent = code.encode(torch.randint(2, (4, code.num_info_bits), generator=generator).float())
    no = 10 ** (-3 * torch.rand(sent.shape, generator=generator))
    received = sent + torch.randn(sent.shape, generator=generator, dtype=torch.complex64) * no.sqrt()
    expected = Demapper("app", "qam", bits_per_symbol, device="cpu")(received, no)
    assert ((code.demap(received, no) - expected).abs().max() / expected.abs().max()) < 3e-7


@pytest.mark.parametrize("bits", range(1, 7))
def test_lloyd_max_errs_as_little_as_any_quantiser_can(bits: int) -> None:
    """Max's figures to their accuracy; 64 levels, beyond his table, just below the asymptote of Panter and Dite, 1951.
    Samples err so within four standard errors."""
    quantizer = LloydMaxQuantizer(bits)
    if bits in MAX_TABLE:
        assert quantizer.distortion == pytest.approx(MAX_TABLE[bits], rel=3e-3)
    else:
        asymptote = 3**0.5 * torch.pi / 2 * 4.0**-bits
        assert 0.95 * asymptote < quantizer.distortion < asymptote
    errors = (quantizer.dequantize(quantizer.quantize(VALUES)) - VALUES).square()
    assert abs(float(errors.mean()) - quantizer.distortion) < 4 * float(errors.std()) / len(VALUES) ** 0.5
    assert quantizer.distortion <= Quantizer(bits).distortion + 1e-9


@pytest.mark.parametrize("bits", UNIFORM_TABLE)
def test_distortion_of_equal_steps(bits: int) -> None:
    assert Quantizer(bits).distortion == pytest.approx(UNIFORM_TABLE[bits], rel=2e-3)


@pytest.mark.parametrize("quantizer", [Quantizer(3), LloydMaxQuantizer(3)])
def test_nearest_level_is_what_the_bits_say(quantizer: Quantizer) -> None:
    assert torch.equal(quantizer.nearest(VALUES), quantizer.dequantize(quantizer.quantize(VALUES)))
    assert torch.equal(quantizer.nearest(quantizer.nearest(VALUES)), quantizer.nearest(VALUES))


def test_a_link_with_lloyd_max_levels_has_their_distortion() -> None:
    link = load_link("digital-awgn", device="cpu", quantizer="lloyd-max")
    tokens = torch.randn(4, 16, 128, generator=torch.Generator().manual_seed(0))
    error = (link({"audio": tokens}, 40.0, seed=1)["audio"] - tokens).square()
    assert abs(float(error.mean()) - 0.1175) < 4 * float(error.std()) / error.numel() ** 0.5
