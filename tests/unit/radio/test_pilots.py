from typing import Any

import pytest
import torch
from torch import Tensor

from tokcom_phy import load_link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.pilots import zadoff_chu
from tokcom_phy.radio.waveform import amplify, peak_to_average_db


def pilots_of(**settings: Any) -> Tensor:
    link = load_link("ofdm-tdl-c", device="cpu", **settings)
    assert isinstance(link, OfdmLink)
    return link.estimator.pilots


@pytest.mark.parametrize("length", [11, 12, 44, 139])
def test_the_sequence_has_constant_modulus_in_time_and_in_frequency(length: int) -> None:
    sequence = zadoff_chu(length)
    ones = torch.ones(length, dtype=torch.float64)
    torch.testing.assert_close(sequence.abs(), ones)
    torch.testing.assert_close(torch.fft.ifft(sequence, norm="ortho").abs(), ones)


def test_pilots_peak_far_less_than_random_qpsk() -> None:
    """2.6 dB over their mean power on the built-in grid, where QPSK on the same combs has 5.7 to 9.5 dB."""
    peaks = {}
    for kind in ("qpsk", "zadoff-chu"):
        pilots = pilots_of(pilots=kind)
        torch.testing.assert_close(pilots.abs().square().mean((1, 2)), torch.ones(3))
        peaks[kind] = peak_to_average_db(pilots, False)
    assert (peaks["zadoff-chu"] - 2.56).abs().max() < 0.05
    assert peaks["qpsk"].min() > 5.0


@pytest.mark.parametrize("kind", ["qpsk", "zadoff-chu"])
def test_combs_do_not_overlap_not_even_behind_an_amplifier(kind: str) -> None:
    """The waveform of a comb is periodic within the symbol but for a shift in frequency, and so is what bends it."""
    pilots = pilots_of(num_subcarriers=24, pilots=kind)
    assert (pilots != 0).sum(0).eq(1).all()
    assert (amplify(pilots, 0.0, 24).abs() > 1e-4).eq(pilots != 0).all()
