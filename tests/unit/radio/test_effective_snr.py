"""The effective SNR of symbols with different SNRs."""

import pytest
import torch

from tokcom_phy.radio.effective_snr import effective_snr_db

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("sinr", "weights", "expected"),
    [
        ([10.0, 10.0], None, 10.0),
        ([0.0, 3.0], None, 0.0),  # none and two bits: one in the mean, which takes an SNR of one
        ([0.0, 3.0], [1.0, 3.0], 2.621),  # 2^1.5 − 1
        ([3.0, INFINITE], [True, False], 4.771),
        ([0.0, 0.0], None, -INFINITE),
        ([1.0, INFINITE], None, INFINITE),
    ],
)
def test_it_has_the_mean_mutual_information(sinr, weights, expected):
    found = effective_snr_db(torch.tensor(sinr), None if weights is None else torch.tensor(weights))
    assert found.item() == pytest.approx(expected, abs=1e-3)


def test_the_mean_is_over_the_dimensions_that_are_named():
    sinr = torch.tensor([[[0.0, 3.0], [7.0, 7.0]], [[1.0, 1.0], [0.0, 3.0]]])
    assert effective_snr_db(sinr, dim=(0, 2)).tolist() == pytest.approx([0.0, 4.771], abs=1e-3)
    assert effective_snr_db(sinr, dim=2).shape == (2, 2)
