"""Erasure links against the Gilbert–Elliott chain: bounds are four standard errors."""

import math
from typing import Any

import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.state import ANONYMOUS

BATCH, NUM_PACKETS, SIZE = 256, 200, 4


def lost_packets(**overrides: Any) -> torch.Tensor:
    state = load_link("erasure", packet_symbols=SIZE, **overrides).draw(BATCH, NUM_PACKETS * SIZE, 0.0, seed=1)
    lost = state.sinr[ANONYMOUS] == 0
    assert (lost.unflatten(1, (-1, SIZE)).sum(2) % SIZE == 0).all()
    return lost[:, ::SIZE].float()


@pytest.mark.parametrize("mean_burst", [1.5, 4.0])
@pytest.mark.parametrize("loss_rate", [0.05, 0.3])
def test_loss_rate_and_mean_burst(loss_rate: float, mean_burst: float) -> None:
    lost = lost_packets(loss_rate=loss_rate, mean_burst=mean_burst)
    shares = lost.mean(1)
    assert abs(float(shares.mean()) - loss_rate) < 4 * float(shares.std()) / math.sqrt(BATCH)
    # A lost packet is followed by another with probability 1 − 1/mean_burst.
    followers = lost[:, 1:][lost[:, :-1] == 1]
    expected = 1 - 1 / mean_burst
    assert abs(float(followers.mean()) - expected) < 4 * math.sqrt(expected * (1 - expected) / len(followers))


def test_independent_losses() -> None:
    lost = lost_packets(loss_rate=0.2)
    pairs = lost[:, 1:] * lost[:, :-1]
    assert abs(float(pairs.mean()) - 0.04) < 4 * float(pairs.std()) / math.sqrt(pairs.numel()) * math.sqrt(2)


def test_what_arrives_is_exact_and_what_is_lost_is_nothing() -> None:
    sent = torch.randn(BATCH, 40, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    state = load_link("erasure", loss_rate=0.5, packet_symbols=SIZE).draw(BATCH, 40, 0.0, seed=1)
    received = state.apply(sent)
    lost = state.sinr[ANONYMOUS] == 0
    assert (received[lost] == 0).all()
    assert torch.equal(received[~lost], sent[~lost])
