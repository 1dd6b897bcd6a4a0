"""Generators on a CPU take all 64 bits of a seed."""

import torch
from scipy.stats import kstest

from tokcom_phy.radio.mersenne_twister import seed_generator
from tokcom_phy.radio.seeding import complex_normal, entropy
from tokcom_phy.radio.sionna import rand, seeded


def numbers(seed: int, n: int = 8) -> torch.Tensor:
    return torch.rand(n, generator=seed_generator(torch.Generator(), seed))


def test_realisations_whose_hashes_agree_in_32_bits_share_no_noise() -> None:
    """That of audio of indices 31746 and 41144 of seed 0 was the same."""
    hashes = [entropy(0, index, "noise", "audio") for index in (31746, 41144)]
    assert hashes[0] & (2**32 - 1) == hashes[1] & (2**32 - 1)
    first, second = complex_normal((1000,), "cpu", 0, [31746, 41144], "noise", "audio")
    assert (first != second).all()
    correlation = (first.conj() * second).mean() / 2
    assert abs(correlation) < 4 / 1000**0.5


def test_channels_of_sionna_take_all_bits_too() -> None:
    drawn = []
    for seed in (1, 1 + 2**40):
        with seeded(seed, "cpu"):
            drawn.append(rand((4,), device="cpu"))
    assert (drawn[0] != drawn[1]).all()


def test_every_bit_changes_all_numbers() -> None:
    seed = 0x0123456789ABCDEF
    found = torch.stack([numbers(seed), *(numbers(seed ^ 1 << bit) for bit in range(64))])
    assert found.unique().numel() == found.numel()
    exchanged = (seed & (2**32 - 1)) << 32 | seed >> 32
    assert (numbers(exchanged) != numbers(seed)).all()
    assert torch.equal(numbers(seed), numbers(seed))


def test_numbers_are_uniform_along_a_stream_and_across_seeds() -> None:
    across = torch.stack([numbers(seed << 32 | seed, 4) for seed in range(4000)])
    for column in across.unbind(1):
        assert kstest(column, "uniform").pvalue > 1e-4
    assert kstest(numbers(7 << 32, 40000), "uniform").pvalue > 1e-4
