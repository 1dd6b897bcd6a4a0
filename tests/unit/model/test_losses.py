import math

import pytest
import torch

from tokcom_phy.model.losses import contrastive_loss, pool, reconstruction_loss


def test_reconstruction_counts_valid_tokens_only():
    sent = torch.zeros(1, 3, 2)
    received = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    assert reconstruction_loss(received, sent, mask).item() == pytest.approx((1 + 1 + 4 + 0) / 4)


def test_mean_pooling_leaves_padding_out():
    tokens = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert pool(tokens, torch.tensor([[True, True, False]])).item() == 2.0
    assert pool(tokens, how="cls").item() == 1.0


def test_contrast_of_orthogonal_pairs_has_its_closed_form():
    features = torch.eye(4)
    expected = math.log(1 + 3 * math.exp(-1 / 0.07))
    assert contrastive_loss(features, 5 * features, 0.07).item() == pytest.approx(expected, abs=1e-6)


def test_contrast_of_equal_features_is_the_logarithm_of_the_batch():
    features = torch.ones(8, 3)
    assert contrastive_loss(features, features).item() == pytest.approx(math.log(8), rel=1e-6)


@pytest.mark.parametrize("temperature", [1e-4, 0.07, 10.0])
def test_contrast_stays_finite_with_finite_gradients(temperature):
    features = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).mul(1e4).requires_grad_()
    loss = contrastive_loss(features, -features.detach(), temperature)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(features.grad).all()
