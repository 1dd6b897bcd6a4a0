"""The drawn link equals Sionna's own chain: ResourceGridMapper → ApplyOFDMChannel → estimator → equaliser."""

import numpy as np
import pytest
import torch
from sionna.phy.channel import ApplyOFDMChannel
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import (
    LMMSEChannelEstimator,
    LMMSEEqualizer,
    LSChannelEstimator,
    MFEqualizer,
    ResourceGridMapper,
    ZFEqualizer,
)
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.ofdm import OfdmLink, Part
from tokcom_phy.radio.seeding import complex_normal, with_variance

SEED, BATCH, SNR_DB, NO = 7, 3, 10.0, 0.1
EQUALIZERS = {"lmmse": LMMSEEqualizer, "zf": ZFEqualizer, "mrc": MFEqualizer}
INTERPOLATIONS = {"nearest": "nn", "linear": "lin"}


def stock_chain(link: OfdmLink, part: Part, slot: int, symbols: Tensor) -> tuple[Tensor, Tensor]:
    """Send symbols [b, users, n] of one slot through Sionna's blocks, with the link's channel and noise."""
    config, grid = link.config, link.estimator.grid
    users = [config.users.index(user) for user in part.users]
    times = range(slot * config.num_ofdm_symbols, (slot + 1) * config.num_ofdm_symbols)
    h = link.channel.response(SEED, 0, users, times, part.subcarriers)[:BATCH, None, :, :, None]

    # The link draws noise slot by slot, first for the pilots, then for the data.
    receiver = () if config.access == "mu-mimo" else part.users
    turn = part.slots.index(slot)
    width = part.subcarriers.stop - part.subcarriers.start
    shape = ((turn + 1) * config.num_ofdm_symbols, config.num_rx_ant, width)
    drawn = with_variance(complex_normal(shape, "cpu", SEED, range(BATCH), "noise", *receiver), 1.0)
    order = sorted(config.pilot_symbols) + link.data_symbols
    noise = torch.empty(BATCH, config.num_ofdm_symbols, config.num_rx_ant, width, dtype=torch.complex64)
    noise[:, order] = drawn[:, turn * config.num_ofdm_symbols :]

    y = ApplyOFDMChannel(device="cpu")(ResourceGridMapper(grid, device="cpu")(symbols[:, :, None]), h)
    y = y + NO**0.5 * noise.transpose(1, 2)[:, None]
    no = torch.tensor(NO)
    if config.csi == "perfect":
        h_hat, err_var = h, torch.zeros(1)
    elif config.interpolation == "lmmse":
        over_frequency, over_time = link.channel.covariances()
        over_frequency = over_frequency[:width, :width]
        h_hat, err_var = LMMSEChannelEstimator(grid, over_time, over_frequency, order="f-t", device="cpu")(y, no)
    else:
        h_hat, err_var = LSChannelEstimator(grid, INTERPOLATIONS[config.interpolation], device="cpu")(y, no)
    streams = StreamManagement(np.ones([1, len(users)]), 1)
    x_hat, no_eff = EQUALIZERS[config.combining](grid, streams, device="cpu")(y, h_hat, err_var, no)
    return x_hat[:, :, 0], no_eff[:, :, 0]


def relative(value: Tensor, reference: Tensor) -> float:
    return float((value - reference).norm() / reference.norm())


@pytest.mark.parametrize("combining", ["lmmse", "zf", "mrc"])
@pytest.mark.parametrize(
    "csi",
    [
        {"csi": "perfect"},
        {"csi": "ls", "interpolation": "nearest", "error_variance": "pilots"},
        {"csi": "ls", "interpolation": "linear", "error_variance": "pilots"},
        {"csi": "ls", "interpolation": "lmmse"},
    ],
    ids=lambda csi: csi.get("interpolation", "perfect"),
)
@pytest.mark.parametrize("access", ["mu-mimo", "ofdma", "tdma"])
def test_drawn_link_equals_stock_chain(access: str, csi: dict[str, str], combining: str) -> None:
    link = load_link(
        "ofdm-tdl-c",
        device="cpu",
        access=access,
        combining=combining,
        output="unbiased",
        num_subcarriers=36,
        speed=30.0,
        self_interference=False,
        **csi,
    )
    assert isinstance(link, OfdmLink)
    parts = link.parts(dict.fromkeys(link.config.users, 1))
    per_slot = len(link.data_symbols) * (parts[0].subcarriers.stop - parts[0].subcarriers.start)
    lengths = dict.fromkeys(link.config.users, 2 * per_slot)
    state = link.draw(BATCH, lengths, SNR_DB, SEED)
    generator = torch.Generator().manual_seed(0)

    def random() -> dict[str, Tensor]:
        return {u: torch.randn(BATCH, n, dtype=torch.complex64, generator=generator) for u, n in lengths.items()}

    sent, weights = random(), random()
    for x in sent.values():
        x.requires_grad_()
    received = state.apply(sent)
    drawn_loss = torch.stack([(received[user] * weights[user].conj()).real.sum() for user in sent]).sum()
    drawn_gradients = torch.autograd.grad(drawn_loss, list(sent.values()))

    stock: dict[str, list[Tensor]] = {user: [] for user in sent}
    stock_var: dict[str, list[Tensor]] = {user: [] for user in sent}
    for part in link.parts(lengths):
        for turn, slot in enumerate(part.slots):
            window = slice(turn * per_slot, (turn + 1) * per_slot)
            x_hat, no_eff = stock_chain(
                link, part, slot, torch.stack([sent[user][:, window] for user in part.users], 1)
            )
            for position, user in enumerate(part.users):
                stock[user].append(x_hat[:, position])
                stock_var[user].append(no_eff[:, position])
    expected = {user: torch.cat(slots, dim=1) for user, slots in stock.items()}
    stock_loss = torch.stack([(expected[user] * weights[user].conj()).real.sum() for user in sent]).sum()
    stock_gradients = torch.autograd.grad(stock_loss, list(sent.values()))

    for user, drawn, reference in zip(sent, drawn_gradients, stock_gradients, strict=True):
        assert relative(received[user].detach(), expected[user].detach()) < 1e-5
        assert relative(state.effective_noise_var[user], torch.cat(stock_var[user], dim=1).detach()) < 1e-5
        assert relative(drawn, reference) < 1e-5


def test_channel_continues_across_slots() -> None:
    link = load_link("ofdm-tdl-c", device="cpu", speed=30.0)
    assert isinstance(link, OfdmLink)
    whole = link.channel.response(SEED, 0, [1], range(28), slice(None))
    second_slot = link.channel.response(SEED, 0, [1], range(14, 28), slice(0, 12))
    torch.testing.assert_close(second_slot, whole[..., 14:, :12])
