import pytest
import torch

from tokcom_phy import load_link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.pilots import zadoff_chu
from tokcom_phy.radio.waveform import peak_to_average_db


@pytest.mark.parametrize("length", [11, 12, 44, 139])
def test_the_sequence_has_constant_modulus_in_time_and_in_frequency(length: int) -> None:
    sequence = zadoff_chu(length)
    ones = torch.ones(length, dtype=torch.float64)
    torch.testing.assert_close(sequence.abs(), ones)
    torch.testing.assert_close(torch.fft.ifft(sequence, norm="ortho").abs(), ones)


def test_pilots_peak_far_less_than_random_qpsk() -> None:
    """2.6 dB over their mean power on the built-in grid, where QPSK on the same combs has 4.9 to 11 dB."""
    link = load_link("ofdm-tdl-c", device="cpu")
    assert isinstance(link, OfdmLink)
    pilots = link.estimator.pilots
    torch.testing.assert_close(pilots.abs().square().mean((1, 2)), torch.ones(3))
    assert (peak_to_average_db(pilots, False) - 2.56).abs().max() < 0.05
    generator = torch.Generator().manual_seed(0)
    signs = 1.0 - 2.0 * torch.randint(2, (200, *pilots.shape[::2], 2), generator=generator)
    qpsk = torch.view_as_complex(signs) * (pilots[:, 0] != 0)
    assert peak_to_average_db(qpsk, False).min() > 4.0


def test_combs_do_not_overlap() -> None:
    link = load_link("ofdm-tdl-c", device="cpu", num_subcarriers=24)
    assert isinstance(link, OfdmLink)
    assert (link.estimator.pilots != 0).sum(0).eq(1).all()
