"""The multiuser uplink of Sionna's tutorial, over links: published block error rates."""

import math
from typing import Any

import pytest
import torch
from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder
from sionna.phy.mapping import Demapper, Mapper
from sionna.phy.ofdm import ResourceGrid
from sionna.phy.utils import ebnodb2no

from tokcom_phy.radio import load_link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.seeding import blocks

USERS = ["first", "second", "third", "fourth"]
GRID: dict[str, Any] = {"num_ofdm_symbols": 14, "subcarrier_spacing": 30e3, "cyclic_prefix_length": 20}
UPLINK: dict[str, Any] = {
    **GRID,
    **{"users": USERS, "num_rx_ant": 8, "polarization": "dual", "speed": 0.0},
    **{"num_subcarriers": 128, "pilot_symbols": [2, 11], "combining": "lmmse", "output": "unbiased"},
}
BITS_PER_SYMBOL, RATE, AT_A_TIME = 2, 0.5, 32


def snr_db(ebno_db: float) -> float:
    """Es/N0 of data symbols at the antennas: the tutorial spreads the energy of pilots and prefix over information."""
    grid = ResourceGrid(
        **GRID,
        fft_size=128,
        num_tx=len(USERS),
        pilot_pattern="kronecker",
        pilot_ofdm_symbol_indices=UPLINK["pilot_symbols"],
        device="cpu",
    )
    return -10 * math.log10(float(ebnodb2no(ebno_db, BITS_PER_SYMBOL, RATE, grid, device="cpu")))


def band_gain_db(link: OfdmLink, seed: int, indices: range) -> torch.Tensor:
    """Power of each user's channel, mean over antennas and subcarriers [dB]: float32 [b, users]."""
    gains = []
    for block, rows in blocks(list(indices)):
        drawn = link.channel.draw(seed, block, range(len(USERS)), 14).within([0], slice(0, 128))
        gains.append(drawn[[indices[row] % len(drawn) for row in rows]].abs().square().mean((1, 3, 4)))
    return 10 * torch.log10(torch.cat(gains))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("csi", "ebno_db", "published", "num_slots"), [("perfect", -3.0, 2.33e-2, 2560), ("ls", 1.0, 6.89e-2, 1280)]
)
def test_block_error_rate(csi: str, ebno_db: float, published: float, num_slots: int) -> None:
    """Within three standard errors over slots, whose four blocks err together: about a fifth of the published rate.

    The tutorial gives each user's channel unit power over the band in every slot; the link does not, its users fade. So
    a user's SNR makes up for that.
    """
    link = load_link("ofdm-umi", device="cpu", csi=csi, interpolation="nearest", **UPLINK)
    assert isinstance(link, OfdmLink)
    num_symbols = 12 * 128
    encoder = LDPC5GEncoder(int(RATE * BITS_PER_SYMBOL * num_symbols), BITS_PER_SYMBOL * num_symbols, device="cpu")
    decoder = LDPC5GDecoder(encoder, device="cpu")
    mapper = Mapper("qam", BITS_PER_SYMBOL, device="cpu")
    demapper = Demapper("app", "qam", BITS_PER_SYMBOL, device="cpu")
    generator = torch.Generator().manual_seed(0)
    errors = []
    for first in range(0, num_slots, AT_A_TIME):
        bits = torch.randint(2, (AT_A_TIME, len(USERS), num_symbols), generator=generator).float()
        sent = mapper(encoder(bits))
        indices = range(first, first + AT_A_TIME)
        gain_db = band_gain_db(link, 1, indices)
        snrs = {user: snr_db(ebno_db) - gain_db[:, k] for k, user in enumerate(USERS)}
        state = link.draw(AT_A_TIME, dict.fromkeys(USERS, num_symbols), snrs, seed=1, indices=indices)
        received = state.apply({user: sent[:, k] for k, user in enumerate(USERS)})
        symbols = torch.stack([received[user] for user in USERS], dim=1)
        no = torch.stack([state.effective_noise_var[user] for user in USERS], dim=1)
        errors.append((decoder(demapper(symbols, no)) != bits).any(-1))
    per_slot = torch.cat(errors).double().mean(1)
    error = float(per_slot.std()) / math.sqrt(num_slots)
    print(f"{csi}, {ebno_db} dB: BLER {float(per_slot.mean()):.3e} ± {error:.1e}, published {published:.3e}")
    assert abs(float(per_slot.mean()) - published) < 3 * error
