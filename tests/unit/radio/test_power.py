import math

import pytest
import torch

from tokcom_phy.radio.power import noise_power, normalize_power, rapp
from tokcom_phy.utils.errors import UserError


@pytest.mark.parametrize(("snr_db", "no"), [(0, 1.0), (10, 0.1), (-30, 1000.0), (3.0103, 0.5)])
def test_noise_power_is_the_inverse_of_the_snr(snr_db, no):
    assert noise_power(snr_db).item() == pytest.approx(no, rel=1e-5)


@pytest.mark.parametrize("snr_db", [math.nan, math.inf, -math.inf])
def test_snr_must_be_finite(snr_db):
    with pytest.raises(UserError, match="finite"):
        noise_power(snr_db)


@pytest.mark.parametrize("power", [1e-12, 1.0, 1e8])
def test_valid_symbols_have_unit_power_and_padding_is_silent(power):
    generator = torch.Generator().manual_seed(0)
    symbols = math.sqrt(power) * torch.randn(4, 60, dtype=torch.complex64, generator=generator)
    mask = torch.arange(60) < torch.tensor([[60], [30], [7], [1]])
    normalized, scale = normalize_power(symbols, mask)
    mean = normalized.abs().square().sum(1) / mask.sum(1)
    torch.testing.assert_close(mean, torch.ones(4), rtol=1e-6, atol=0)
    assert (normalized[~mask] == 0).all()
    torch.testing.assert_close((normalized * scale)[mask], symbols[mask])


def test_padding_does_not_count():
    symbols = torch.tensor([[3.0 + 4.0j, 100.0 + 0j]])
    _, scale = normalize_power(symbols, torch.tensor([[True, False]]))
    assert scale.item() == pytest.approx(5.0)


def test_every_token_by_itself():
    symbols = torch.tensor([[1.0 + 0j, 1.0j, 3.0, 4.0]], dtype=torch.complex64)
    normalized, scale = normalize_power(symbols, symbols_per_token=2)
    power = normalized.abs().square().reshape(2, 2).mean(1)
    torch.testing.assert_close(power, torch.ones(2))
    torch.testing.assert_close(normalized * scale, symbols)


def test_a_silent_block_stays_silent():
    normalized, scale = normalize_power(torch.zeros(2, 8, dtype=torch.complex64))
    assert (normalized == 0).all()
    assert (scale == 1).all()


def test_amplifier_is_linear_far_below_and_limited_far_above_saturation():
    small = torch.tensor([0.01 + 0.01j])
    torch.testing.assert_close(rapp(small, 10.0), small, rtol=1e-4, atol=0)
    assert rapp(torch.tensor([1e4 + 0j]), 6.0).abs().item() == pytest.approx(10 ** (6 / 20), rel=1e-4)
