"""How true link-to-system mapping is, and how fast: ``python benchmarks/bench_mapping.py [--page docs/digital.md]``.

For every channel and QAM: the SNR at which one block in ten is lost, by counting the blocks that the codec loses and by
the mean error rate that the mapping gives the same realisations; then the time to send one batch either way.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.block_errors import block_error_rate
from tokcom_phy.radio.blockcode import block_code
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import num_blocks, segment
from tokcom_phy.utils.files import write_atomically

BEGIN, END = "<!-- bench_mapping: begin -->", "<!-- bench_mapping: end -->"
NUM_SYMBOLS, BLER = 1024, 0.1
USERS = ["audio", "video", "text"]
CHANNELS = {
    "awgn": {"extends": "awgn"},
    "rayleigh, one fade a block": {"extends": "rayleigh"},
    "ofdm-tdl-c": {"extends": "ofdm-tdl-c"},
    "ofdm-umi": {"extends": "ofdm-umi"},
}
STEPS_DB = {"awgn": 0.2, "rayleigh, one fade a block": 2.0}
SCHEMES = [{"bits": 1, "modulation": "16-QAM"}, {"bits": 2, "modulation": "64-QAM"}]


def rates(link: DigitalLink, snr_db: float, batch: int) -> tuple[float, float]:
    """Share of blocks that the codec loses, and the mapping's mean error rate, over the same realisations."""
    state = link.draw(batch, dict.fromkeys(USERS, NUM_SYMBOLS), snr_db, seed=1)
    layout = segment([NUM_SYMBOLS] * batch, link.schemes * batch, link.device)
    generator = torch.Generator().manual_seed(0)
    sent, bits = {}, {}
    for user in USERS:
        sent[user] = torch.zeros(batch, NUM_SYMBOLS, dtype=torch.complex64)
        for position, blocks in enumerate(layout):
            drawn = torch.randint(2, (len(blocks.rows), blocks.code.num_info_bits), generator=generator).float()
            bits[user, position] = drawn
            sent[user][blocks.rows, blocks.columns] = block_code(*blocks.code, link.device).encode(drawn)
    received = state.apply(sent)
    lost, expected = [], []
    for user in USERS:
        for position, blocks in enumerate(layout):
            own = blocks.rows, blocks.columns
            code = block_code(*blocks.code, link.device)
            right = code.recovers(received[user][own], state.effective_noise_var[user][own], bits[user, position])
            lost.append((~right).double())
            expected.append(block_error_rate(Observation.of(state, user).at(*own), blocks.code).double())
    return float(torch.cat(lost).mean()), float(torch.cat(expected).mean())


def snr_at(snr_db: list[float], rate: list[float]) -> float:
    """SNR at which the rate falls below `BLER`, by interpolation of its logarithm; NaN if that is not within them."""
    found = np.interp(-np.log(BLER), -np.log(np.maximum(rate, 1e-6)), snr_db, left=np.nan, right=np.nan)
    return float(found)


def start_db(link: DigitalLink, step: float, batch: int) -> float:
    """An SNR a step above the mapping's SNR for BLER 10 %, found coarsely."""
    snr_db = -10.0
    while True:
        state = link.draw(batch, dict.fromkeys(USERS, NUM_SYMBOLS), snr_db, seed=1)
        layout = segment([NUM_SYMBOLS] * batch, link.schemes * batch, link.device)
        seen = {user: Observation.of(state, user) for user in USERS}
        found = [block_error_rate(seen[u].at(b.rows, b.uses), b.code) for u in USERS for b in layout]
        if torch.cat(found).mean() < BLER:
            return snr_db
        snr_db += step


def accuracy(batch: int) -> list[str]:
    rows = ["| channel | scheme | bit-exact [dB] | mapped [dB] | difference [dB] |", "| --- | --- | --- | --- | --- |"]
    for name, below in CHANNELS.items():
        for scheme in SCHEMES:
            block = NUM_SYMBOLS // num_blocks(NUM_SYMBOLS, Scheme.model_validate(scheme))
            over = {**below, "coherence": block} if below["extends"] == "rayleigh" else below
            link = load_link("digital-awgn", over=over, device="cpu", **scheme)
            assert isinstance(link, DigitalLink)
            step = STEPS_DB.get(name, 1.0)
            middle = start_db(link, step, batch)
            snr_db = [middle + step * k for k in (-2, -1, 0, 1)]
            exact, mapped = zip(*(rates(link, snr, batch) for snr in snr_db), strict=True)
            found = snr_at(snr_db, list(exact)), snr_at(snr_db, list(mapped))
            rows.append(f"| {name} | {link.sent_as} | {found[0]:.2f} | {found[1]:.2f} | {found[1] - found[0]:+.2f} |")
            print(rows[-1], flush=True)
    return rows


def speed() -> str:
    """Seconds to send 32 examples of three users, 1,024 symbols each, over ``ofdm-tdl-c``."""
    tokens = {user: torch.randn(32, 16, 128) for user in USERS}
    exact = load_link("digital-ofdm-tdl-c", device="cpu")
    assert isinstance(exact, DigitalLink)
    found = {}
    for name, link in [("bit-exact", exact), ("mapped", exact.mapped()), ("analog", exact.over)]:
        link(tokens, 10.0, seed=0)
        start = time.process_time()
        link(tokens, 10.0, seed=0)
        found[name] = time.process_time() - start
    text = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in found.items())
    return f"CPU time of one transmission (32 examples × 3 users × {NUM_SYMBOLS} symbols, `ofdm-tdl-c`): {text}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="write the figures into this page")
    parser.add_argument("--batch", type=int, default=64, help="realisations at each SNR")
    options = parser.parse_args()
    text = speed()
    print(text, flush=True)
    content = "\n".join([*accuracy(options.batch), "", text])
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        with write_atomically(options.page) as temporary:
            temporary.write_text(f"{before}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
