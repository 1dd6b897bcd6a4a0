"""What the engines are compared by. The torch engine's results are kept; after a change that is meant to alter them:

python tests/engines/references.py --regenerate
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from stock import LMMSEChannelEstimator, LSChannelEstimator, ResourceGridMapper
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.blockcode import BlockCode
from tokcom_phy.radio.channels import PathChannel
from tokcom_phy.radio.engine import engine
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.seeding import BLOCK
from tokcom_phy.radio.sionna import LDPC5GDecoder, LDPC5GEncoder, cir_to_ofdm_channel
from tokcom_phy.utils.files import write_atomically

DETERMINISTIC = Path(__file__).with_name("deterministic.npz")
RANDOM = Path(__file__).with_name("random.npz")
SECTORS = ("UMi", "UMa", "RMa")
CHANNELS = ("TDL-A", "TDL-C", "TDL-D", "CDL-C", "CDL-E", *SECTORS)
FLAT = ("rayleigh", "rician")
NUM_BLOCKS = 64
BATCH, USERS, ANTENNAS, SUBCARRIERS = 3, 3, 4, 36


def complex_normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def ofdm_link(**overrides: object) -> OfdmLink:
    small = {"num_subcarriers": SUBCARRIERS, "num_rx_ant": ANTENNAS}
    link = load_link("ofdm-tdl-c", device="cpu", **{**small, **overrides})
    assert isinstance(link, OfdmLink)
    return link


def deterministic(folder: Path) -> dict[str, Tensor]:
    """Results that follow from their inputs, by name. Recorded channels go into ``folder``."""
    return {**_grid_and_estimates(), **_links_over_the_same_channel(folder), **_codes(), **_paths()}


def _grid_and_estimates() -> dict[str, Tensor]:
    link = ofdm_link()
    grid = link.estimator.grid
    symbols = complex_normal(0, BATCH, USERS, 1, grid.num_data_symbols)
    y = complex_normal(1, BATCH, 1, ANTENNAS, 14, SUBCARRIERS)
    no = torch.tensor(0.1)
    found = {
        "pilots": grid.pilot_pattern.pilots,
        "resource grid": ResourceGridMapper(grid, device="cpu")(symbols),
    }
    for interpolation, short in {"nearest": "nn", "linear": "lin"}.items():
        h_hat, err_var = LSChannelEstimator(grid, short, device="cpu")(y, no)
        found |= {f"{interpolation} estimate": h_hat, f"{interpolation} error": err_var.expand(h_hat.shape)[:1, :, :1]}
    lmmse = ofdm_link(interpolation="lmmse", speed=30.0)
    over_frequency, over_time = lmmse.channel.covariances()
    h_hat, err_var = LMMSEChannelEstimator(grid, over_time, over_frequency, order="f-t", device="cpu")(y, no)
    return {
        **found,
        "lmmse estimate": h_hat,
        "lmmse error": err_var[:1, :, :1],
        "covariance over frequency": over_frequency,
        "covariance over time": over_time,
        "covariance over time, TDL-D": ofdm_link(channel="TDL-D").channel.covariances()[1],
    }


def _links_over_the_same_channel(folder: Path) -> dict[str, Tensor]:
    """Estimation and combining of a whole link, given the same channel and the same noise."""
    recorded = folder / "channel.npy"
    smooth = torch.fft.fft(complex_normal(2, 4, ANTENNAS, USERS, 1, 4), n=SUBCARRIERS)
    np.save(recorded, smooth.numpy())
    found: dict[str, Tensor] = {}
    for csi in ("perfect", "nearest", "linear", "lmmse"):
        for combining in ("lmmse", "zf", "mrc") if csi != "lmmse" else ("lmmse",):
            settings = {"csi": "perfect"} if csi == "perfect" else {"csi": "ls", "interpolation": csi}
            link = ofdm_link(channel="file", responses=str(recorded), combining=combining, **settings)
            state = link.draw(2, dict.fromkeys(link.config.users, 40), 10.0, seed=1)
            for user in link.config.users:
                name = f"{csi}, {combining}, {user}"
                gain = state.gain[user][user]
                assert gain is not None
                found |= {f"{name}: gain": gain, f"{name}: noise": state.noise[user], f"{name}: sinr": state.sinr[user]}
    return found


def _codes() -> dict[str, Tensor]:
    bits = torch.randint(2, (8, 200), generator=torch.Generator().manual_seed(3)).float()
    code = BlockCode(200, 216, 2, "cpu")
    symbols = code.encode(bits)
    received = symbols + 0.6 * complex_normal(4, *symbols.shape)
    decoded, intact = code.decode(received, torch.full(received.shape, 0.36))
    encoder = LDPC5GEncoder(200, 400, device="cpu")
    codeword = encoder(bits)
    llr = 4 * (codeword - 0.5) + 2 * complex_normal(5, *codeword.shape).real
    # Few iterations: each multiplies a difference in rounding.
    soft = LDPC5GDecoder(encoder, num_iter=3, hard_out=False, device="cpu")(llr)
    hard = LDPC5GDecoder(encoder, num_iter=20, device="cpu")(llr)
    return {
        "codeword": codeword,
        "coded symbols": symbols,
        "decoded blocks": decoded,
        "intact blocks": intact,
        "decoded bits": hard,
        "decoded LLRs": soft,
    }


def _paths() -> dict[str, Tensor]:
    a = complex_normal(6, BATCH, 1, ANTENNAS, USERS, 1, 5, 7)
    tau = 1e-6 * torch.rand(BATCH, 1, USERS, 5, generator=torch.Generator().manual_seed(7))
    delays = {}
    for name in CHANNELS:
        if name not in SECTORS:
            channel = ofdm_link(channel=name).channel
            assert isinstance(channel, PathChannel)
            delays[f"delays of {name} [ns]"] = 1e9 * channel.paths(0, 0, [0], 1)[1]
    frequencies = ofdm_link().channel.frequencies
    return {"frequencies": frequencies, "frequency response": cir_to_ofdm_channel(frequencies, a, tau), **delays}


def random(num_blocks: int) -> dict[str, np.ndarray]:
    """Independent samples, sorted, by name: one of each realisation of ``num_blocks`` blocks."""
    found: dict[str, Tensor] = {}
    for name in FLAT:
        link = load_link(name, device="cpu")
        assert isinstance(link, FlatLink)
        found[f"{name}: gain"] = link.gains(1, range(num_blocks * BLOCK), 1)[:, 0, 0].abs().square()
    for name in CHANNELS:
        found |= _of_channel(name, num_blocks)
    return {name: np.sort(samples.float().numpy()) for name, samples in found.items()}


def _of_channel(name: str, num_blocks: int) -> dict[str, Tensor]:
    link = ofdm_link(channel=name, speed=30.0)
    channel, symbols = link.channel, link.config.num_ofdm_symbols
    assert isinstance(channel, PathChannel)
    gains, changes, spreads = [], [], []
    for block in range(num_blocks):
        h = channel.response(1, block, [0], [0, symbols - 1], slice(0, 1))[:, 0, 0, :, 0]
        gains.append(h[:, 0].abs().square())
        changes.append((h[:, 1] * h[:, 0].conj()).real)
        if name in SECTORS:
            a, tau = channel.paths(1, block, [0], 1)
            power = a[:, 0, :, 0, 0, :, 0].abs().square().mean(1)
            spreads.append(1e9 * _rms(power, tau[:, 0, 0]))
    found = {f"{name}: gain": torch.cat(gains), f"{name}: change over a slot": torch.cat(changes)}
    if spreads:
        found[f"{name}: delay spread"] = torch.cat(spreads)
    # The draw of a link costs the most: a quarter of the realisations.
    state = link.draw(num_blocks * BLOCK // 4, dict.fromkeys(link.config.users, SUBCARRIERS), 10.0, seed=2)
    sinr = state.sinr[link.config.users[0]]
    return {**found, f"{name}: effective SNR": 10 * torch.log10(torch.expm1(torch.log1p(sinr).mean(1)))}


def _rms(power: Tensor, delay: Tensor) -> Tensor:
    """Root mean square delay spread [b] of powers and delays [b, paths]."""
    weights = power / power.sum(1, keepdim=True)
    mean = (weights * delay).sum(1, keepdim=True)
    return (weights * (delay - mean).square()).sum(1).sqrt()


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regenerate", action="store_true", required=True)
    parser.parse_args()
    if engine() != "torch":
        parser.error("the references are the torch engine's")
    with TemporaryDirectory() as folder:
        _save(DETERMINISTIC, {name: value.numpy() for name, value in deterministic(Path(folder)).items()})
    _save(RANDOM, random(NUM_BLOCKS))
