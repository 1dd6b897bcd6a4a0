"""What a demapper makes of symbols whose gain and noise it does not know."""

import math

import numpy as np
import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.bler_table import CodeKey, bler_table
from tokcom_phy.radio.block_errors import block_error_rate
from tokcom_phy.radio.blockcode import BlockCode
from tokcom_phy.radio.miesm import (
    _RATIOS_DB,
    _information,
    block_information,
    demapped_information,
    mutual_information,
)
from tokcom_phy.radio.observation import Observation, combine_symbols
from tokcom_phy.radio.philox import uniform

NUM_SYMBOLS = 2000
CODES = {q: BlockCode(2000, NUM_SYMBOLS // 2, q, "cpu") for q in (4, 6)}


def observed(gain: complex, noise_var: float, believed_var: float, *shape: int) -> Observation:
    return Observation(
        torch.full(shape, gain, dtype=torch.complex64), torch.full(shape, noise_var), torch.full(shape, believed_var)
    )


@pytest.mark.parametrize("bits_per_symbol", [4, 6])
@pytest.mark.parametrize(
    ("gain", "ratio_db", "snr_db"),
    [
        (1.0, 0.0, 10.0),
        (0.9, 0.0, 8.0),
        (1.07, -1.0, 14.0),
        (0.95 + 0.1j, 1.5, 12.0),
        (1.0, 3.0, 9.0),
        (1.0, -3.0, 9.0),
        (0.35, -5.5, 2.5),
        (0.2, -9.5, 0.5),
    ],
)
def test_information_is_that_of_the_ratios_that_the_demapper_gives(
    bits_per_symbol: int, gain: complex, ratio_db: float, snr_db: float
) -> None:
    """m − E[log2(1 + exp(−L))] over the bits that were sent, to 0.02 bits (of the grid) and four standard errors."""
    code = CODES[bits_per_symbol]
    believed = 10 ** (-snr_db / 10)
    noise_var = believed * 10 ** (ratio_db / 10)
    generator = torch.Generator().manual_seed(0)
    coded = torch.randint(2, (20, NUM_SYMBOLS // 2 * bits_per_symbol), generator=generator).float()
    sent = code._mapper(coded)
    noise = torch.randn(sent.shape, generator=generator, dtype=torch.complex64) * noise_var**0.5
    llr = code.demap(gain * sent + noise, torch.full(sent.shape, believed))
    lost = torch.nn.functional.softplus(llr * (1 - 2 * coded)).unflatten(1, (-1, bits_per_symbol)).sum(2) / math.log(2)
    found = bits_per_symbol - lost.double()
    expected = float(demapped_information(observed(gain, noise_var, believed, 1), bits_per_symbol)[0])
    assert abs(float(found.mean()) - expected) < 0.02 + 4 * float(found.std()) / found.numel() ** 0.5


@pytest.mark.parametrize("name", ["ofdm-tdl-c", "ofdm-umi"])
@pytest.mark.parametrize("snr_db", [-10.0, 20.0])
def test_the_grid_holds_what_poor_estimates_make(name: str, snr_db: float) -> None:
    """Ratios of 98 % of the symbols lie on its axis, and their information is what quadrature gives to 0.02 bits."""
    state = load_link(name, device="cpu").draw(32, {"audio": 512, "video": 512, "text": 512}, snr_db, seed=3)
    everywhere = Observation.of(state, "audio")
    noise_vars = everywhere.noise_var + everywhere.gain.imag.square()
    ratio_db = 10 * torch.log10(noise_vars / everywhere.believed_var)
    assert float(((ratio_db >= _RATIOS_DB[0]) & (ratio_db <= _RATIOS_DB[-1])).float().mean()) > 0.98
    symbols = Observation(*(part.flatten()[::64] for part in everywhere))
    gain, noise_var = symbols.gain.real, noise_vars.flatten()[::64]
    by_quadrature = [
        float(_information(4, own, believed, np.array([noise]), 20)[0])
        for own, believed, noise in zip(*(x.tolist() for x in (gain, symbols.believed_var, noise_var)), strict=True)
    ]
    assert abs(float(demapped_information(symbols, 4).mean()) - np.mean(by_quadrature)) < 0.02


def test_what_the_demapper_knows_exactly_is_the_mutual_information() -> None:
    snr = torch.logspace(-3, 5, 50)
    known = Observation(torch.ones_like(snr), 1 / snr, 1 / snr)
    torch.testing.assert_close(demapped_information(known, 6), mutual_information(snr, 6).float(), rtol=0, atol=1e-5)


def test_no_mistake_gains_information() -> None:
    generator = torch.Generator().manual_seed(0)
    believed = 10 ** (-2 * torch.rand(500, generator=generator))
    gain = 1 + 0.2 * torch.randn(500, generator=generator, dtype=torch.complex64)
    noise_var = believed * 10 ** (torch.rand(500, generator=generator) - 0.5)
    at_true_sinr = mutual_information(gain.abs().square() / noise_var, 4)
    assert (demapped_information(Observation(gain, noise_var, believed), 4) <= at_true_sinr + 0.02).all()


@pytest.mark.parametrize(
    ("key", "excess"), [(CodeKey(2048, 1024, 4), 4), (CodeKey(2048, 512, 6), 2), (CodeKey(3072, 512, 8), 4)]
)
def test_a_decoder_forgives_most_of_a_demapper_that_is_too_sure(key: CodeKey, excess: float) -> None:
    """The demapper takes the noise for an ``excess`` weaker than it is. Most of 48 blocks are lost 0.3 dB below the SNR
    at which the mapping loses half, and few of them 0.3 dB above."""
    low, high = bler_table(key).snr_db_at(0.5), bler_table(key).snr_db_at(0.5) + 6
    while high - low > 0.01:
        middle = (low + high) / 2
        noise_var = 10 ** (-middle / 10)
        lost = float(block_error_rate(observed(1.0, noise_var, noise_var / excess, 1, key.num_symbols), key))
        low, high = (middle, high) if lost > 0.5 else (low, middle)
    code, generator = BlockCode(*key, "cpu"), torch.Generator().manual_seed(0)
    bits = torch.randint(2, (48, key.num_info_bits), generator=generator).float()
    sent = code.encode(bits)
    noise = torch.randn(sent.shape, generator=generator, dtype=torch.complex64)
    shares = []
    for snr_db in (low - 0.3, high + 0.3):
        no = torch.full(sent.shape, 10 ** (-snr_db / 10))
        shares.append(1 - float(code.recovers(sent + noise * no.sqrt(), no / excess, bits).float().mean()))
    assert shares[0] > 0.5 > shares[1]


def test_forgiving_gains_no_more_than_a_demapper_that_knows() -> None:
    """A block whose ratios are not too large keeps its generalised mutual information."""
    for excess in (0.5, 1.0, 1.05, 1.5, 4.0):
        block = observed(1.0, 0.02, 0.02 / excess, 1, 8)
        gained, plain = block_information(block, 6), demapped_information(block, 6).mean(1)
        assert plain <= gained <= mutual_information(torch.tensor(50.0), 6) + 1e-3
        assert bool(gained > plain) == (excess > 1.1)


def test_combined_symbols_have_the_gain_and_noise_that_are_said() -> None:
    """Three receptions of the same symbols, moments of their weighted sum within four standard errors."""
    generator = torch.Generator().manual_seed(0)
    sent = torch.randn(100_000, generator=generator, dtype=torch.complex64)
    rounds = [observed(0.9 + 0.1j, 0.5, 0.4, 1), observed(1.1, 0.2, 0.3, 1), observed(1.0, 2.0, 2.0, 1)]
    received = [
        one.gain * sent + torch.randn(len(sent), generator=generator, dtype=torch.complex64) * one.noise_var.sqrt()
        for one in rounds
    ]
    combined, believed = combine_symbols(received, [one.believed_var for one in rounds])
    expected = Observation.combined(rounds)
    torch.testing.assert_close(believed, expected.believed_var)
    torch.testing.assert_close(believed, torch.tensor([1 / (1 / 0.4 + 1 / 0.3 + 1 / 2)]))
    rest = combined - expected.gain * sent
    assert abs((rest * sent.conj()).mean()) < 4 * float(expected.noise_var) ** 0.5 / len(sent) ** 0.5
    power = rest.abs().square()
    assert abs(float(power.mean() - expected.noise_var)) < 4 * float(power.std()) / len(sent) ** 0.5


def test_uniform_numbers_of_a_gpu_depend_on_key_and_index_alone() -> None:
    """Mean and variance of a uniform distribution within four standard errors; fewer are a prefix of more."""
    indices = torch.arange(500)
    numbers = uniform(101, indices, key=7)
    assert numbers.shape == (500, 101)
    assert torch.equal(uniform(40, indices[[9, 3]], key=7), numbers[[9, 3], :40])
    assert not torch.equal(uniform(101, indices, key=8), numbers)
    assert 0 <= numbers.min() < numbers.max() < 1
    count = numbers.numel() ** 0.5
    assert abs(float(numbers.double().mean()) - 1 / 2) < 4 * 12**-0.5 / count
    assert abs(float(numbers.double().var()) - 1 / 12) < 4 * 180**-0.5 / count
