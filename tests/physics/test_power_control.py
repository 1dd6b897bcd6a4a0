"""Power control makes up for large-scale losses and leaves fading alone. Bounds are four standard errors."""

import math

import pytest
import torch
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.channels import Channel, SectorChannel
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.utils.errors import UserError

USERS = [0, 1, 2]
LAST = 27
"""Symbol at which users of 150 m/s are where those of 30 m/s are ten slots after the start."""


def channel(model: str, **overrides: object) -> Channel:
    narrow = {"num_rx_ant": 1, "num_subcarriers": 12, "access": "ofdma", "self_interference": False}
    link = load_link("ofdm-tdl-c", device="cpu", channel=model, **{**narrow, **overrides})
    assert isinstance(link, OfdmLink)
    return link.channel


def responses(c: Channel, symbols: list[int], blocks: int) -> Tensor:
    """Channels at the first antenna, complex64 [realisations of a user, symbols, subcarriers]."""
    drawn = torch.cat([c.response(6, block, USERS, symbols, slice(None)) for block in range(blocks)])
    return drawn[:, 0].flatten(0, 1)


@pytest.mark.parametrize("model", ["UMi", "UMa", "RMa"])
def test_fading_is_kept_at_every_symbol(model: str) -> None:
    """Over 5 m of the way: unit mean power without a drift, and |h|² that fades nearly like Rayleigh's.

    Rayleigh fading has P(|h|² < 0.1) = 0.095 and a standard deviation of |h|² of 1; a line of sight lowers both. Power
    control of |h|² left 0.006 and 0.0 at the first symbol, and a mean of 1.8 at the last one of UMi.
    """
    power = responses(channel(model, speed=150.0), [0, LAST], 40).abs().square()
    for symbol in range(2):
        mean = power[:, symbol].mean(1)
        assert abs(float(mean.mean()) - 1) < 4 * float(mean.std()) / math.sqrt(len(mean))
        assert float(mean.std()) > 0.5
        assert 0.05 < float((power[:, symbol] < 0.1).float().mean()) < 0.12


def test_without_power_control_users_differ_by_their_path_loss() -> None:
    """Relative to the mean [dB] over positions; path loss and shadowing spread users by far more than fading does."""
    c = channel("UMi", power_control="none")
    assert isinstance(c, SectorChannel)
    received = torch.cat([c._drop(7, block, USERS, 1)[2] for block in range(20)]).flatten() / c.mean_power
    in_db = 10 * received.log10()
    assert 8 < float(in_db.std()) < 30
    assert abs(float(in_db.mean())) < 4 * float(in_db.std()) * math.sqrt(1 / len(in_db) + 1 / (32 * 8 * 3))
    drawn = torch.cat([c.response(7, block, USERS, [0], slice(None)) for block in range(20)])
    fading = drawn.abs().square().mean((1, 3, 4)).flatten() / received
    assert abs(float(fading.mean()) - 1) < 4 * float(fading.std()) / math.sqrt(len(fading))


def test_statistics_of_the_receiver_are_those_of_a_controlled_user() -> None:
    over_frequency, over_time = channel("UMi", power_control="none", csi="perfect").covariances()
    for covariance in (over_frequency, over_time):
        torch.testing.assert_close(covariance.diagonal().real.mean().item(), 1.0, rtol=0, atol=0.15)


def test_channels_without_positions_have_no_path_loss_to_control() -> None:
    with pytest.raises(UserError, match="has no path loss"):
        channel("CDL-A", power_control="none")


@pytest.mark.parametrize("model", ["CDL-A", "CDL-B", "CDL-C", "CDL-D", "CDL-E"])
def test_cross_polarised_antennas_receive_unit_power(model: str) -> None:
    """Unscaled, an antenna at ±45° takes ½(1 + 1/κ) of a scattered vertical wave: 0.50 to 0.60."""
    c = channel(model, num_rx_ant=4, polarization="dual")
    h = torch.cat([c.response(2, block, USERS, [0], slice(0, 12, 11)) for block in range(30)])
    power = h.abs().square().mean((3, 4))
    for antennas in (slice(0, 2), slice(2, 4)):
        found = power[:, antennas].mean(1).flatten()
        assert abs(float(found.mean()) - 1) < 4 * float(found.std()) / math.sqrt(len(found))
