"""Mapped HARQ against the codec: the SNR at which one block in ten is lost is within 0.3 dB, at 99 % confidence."""

import pytest
import torch
from scipy.stats import binom

from tokcom_phy.radio import load_link
from tokcom_phy.radio.blockcode import block_code
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.harq import error_rates
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.redundancy import redundancy_versions
from tokcom_phy.radio.segmentation import Blocks, segment

USERS, NUM_SYMBOLS, BLER = ["audio", "video", "text"], 1024, 0.1
"""Two blocks of 2,048 bits in 512 symbols of 64-QAM for each user and example."""

EXAMPLES = {"awgn": 12, "ofdm-tdl-c": 96}
"""72 and 576 blocks: over fading the share of lost blocks falls less steeply, so one in ten takes more to tell."""


def drawn(link: DigitalLink, snr_db: float, rounds: int, examples: int) -> tuple[DigitalState, Blocks]:
    state = link.draw(examples, dict.fromkeys(USERS, NUM_SYMBOLS), snr_db, seed=2)
    assert isinstance(state, DigitalState)
    assert len(state.rounds) == rounds
    (blocks,) = segment(torch.full((examples,), NUM_SYMBOLS), link.schemes)
    return state, blocks


def mapped(link: DigitalLink, snr_db: float, rounds: int, examples: int) -> float:
    """Mean error rate by the mapping."""
    state, blocks = drawn(link, snr_db, rounds, examples)
    seen = {user: [Observation.of(one, user) for one in state.rounds] for user in USERS}
    return float(torch.cat([error_rates(seen[u], blocks, "incremental-redundancy")[-1] for u in USERS]).mean())


def lost(link: DigitalLink, snr_db: float, rounds: int, examples: int) -> tuple[int, int]:
    """Blocks that the codec loses, and all."""
    state, blocks = drawn(link, snr_db, rounds, examples)
    code, versions = block_code(*blocks.code, "cpu"), redundancy_versions(rounds)
    generator = torch.Generator().manual_seed(0)
    bits = {u: torch.randint(2, (len(blocks.rows), 2048), generator=generator).float() for u in USERS}
    parts = {u: code.encode_versions(bits[u], versions).split(code.num_symbols, 1) for u in USERS}
    at, received = (blocks.rows, blocks.uses), []
    for number, one in enumerate(state.rounds):
        sent = {u: torch.zeros(examples, NUM_SYMBOLS, dtype=torch.complex64) for u in USERS}
        for user in USERS:
            sent[user][at] = parts[user][number]
        received.append(one.apply(sent))
    right = []
    for user in USERS:
        symbols = torch.cat([y[user][at] for y in received], 1)
        no = torch.cat([one.effective_noise_var[user][at] for one in state.rounds], 1)
        right.append(code.recovers(symbols, no, bits[user], versions))
    return int((~torch.cat(right)).sum()), torch.cat(right).numel()


@pytest.mark.versions
@pytest.mark.parametrize(
    ("name", "rounds"),
    [
        ("awgn", 2),
        pytest.param("awgn", 3, marks=pytest.mark.slow),
        pytest.param("awgn", 4, marks=pytest.mark.slow),
        pytest.param("ofdm-tdl-c", 2, marks=pytest.mark.slow),
        pytest.param("ofdm-tdl-c", 3, marks=pytest.mark.slow),
        pytest.param("ofdm-tdl-c", 4, marks=pytest.mark.slow),
    ],
)
def test_incremental_redundancy_is_mapped_to_within_0_3_db(name: str, rounds: int) -> None:
    """0.3 dB below the mapping's SNR the codec does not lose fewer blocks than one in ten, and 0.3 dB above not more.

    Either count has a chance below 1 % if the codec's SNR is further away than that.
    """
    harq = {"rounds": rounds, "combining": "incremental-redundancy"}
    link = load_link("digital-awgn", device="cpu", over=name, harq=harq)
    assert isinstance(link, DigitalLink)
    link, examples = link.cached(2**31), EXAMPLES[name]
    low, high = -15.0, 20.0
    while high - low > 0.02:
        middle = (low + high) / 2
        low, high = (middle, high) if mapped(link, middle, rounds, examples) > BLER else (low, middle)
    few, count = lost(link, high + 0.3, rounds, examples)
    many, _ = lost(link, low - 0.3, rounds, examples)
    print(f"{name}, {rounds} rounds: mapped {high:.2f} dB, lost 0.3 dB above {few}, below {many} of {count}")
    assert binom.cdf(few, count, BLER) < 0.01
    assert binom.sf(many - 1, count, BLER) < 0.01
