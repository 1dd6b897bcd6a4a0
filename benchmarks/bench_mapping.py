"""How true link-to-system mapping is, and how fast: ``python benchmarks/bench_mapping.py [--page docs/digital.md]``.

For every channel and QAM, and for rounds of HARQ: the SNR at which one block in ten is lost, by counting the blocks
that the codec loses and by the mean error rate that the mapping gives the same realisations; then the time to send one
batch either way.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.blockcode import block_code
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.harq import error_rates
from tokcom_phy.radio.observation import Observation, combine_symbols
from tokcom_phy.radio.redundancy import redundancy_versions
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import num_blocks, segment
from tokcom_phy.utils.files import write_atomically

NUM_SYMBOLS, BLER = 1024, 0.1
USERS = ["audio", "video", "text"]
CHANNELS = {
    "awgn": {"extends": "awgn"},
    "rayleigh, one fade a block": {"extends": "rayleigh"},
    "ofdm-tdl-c": {"extends": "ofdm-tdl-c"},
    "ofdm-umi": {"extends": "ofdm-umi"},
}
HARQ_ROWS = [
    (channel, combining, rounds)
    for channel in ("awgn", "ofdm-tdl-c")
    for combining, rounds in [
        ("incremental-redundancy", 1),
        ("incremental-redundancy", 2),
        ("incremental-redundancy", 3),
        ("incremental-redundancy", 4),
        ("chase", 2),
        ("chase", 4),
    ]
]
STEPS_DB = {"awgn": 0.2, "rayleigh, one fade a block": 2.0}
SCHEMES = [{"bits": 1, "modulation": "16-QAM"}, {"bits": 2, "modulation": "64-QAM"}]


def rates(link: DigitalLink, snr_db: float, batch: int, rounds: int = 1) -> tuple[float, float]:
    """Share of blocks that the codec loses after rounds of HARQ, and the mapping's mean error rate, over the same
    realisations."""
    state = link.draw(batch, dict.fromkeys(USERS, NUM_SYMBOLS), snr_db, seed=1)
    assert isinstance(state, DigitalState)
    layout = segment(torch.full((batch,), NUM_SYMBOLS), link.schemes)
    generator = torch.Generator().manual_seed(0)
    combining = link.config.harq.combining if link.config.harq else "chase"
    versions = (0,) if combining == "chase" else redundancy_versions(rounds)
    places = [(user, blocks) for user in USERS for blocks in layout]
    codes = [block_code(*blocks.code, link.device) for _, blocks in places]
    bits = [torch.randint(2, (len(b.rows), b.code.num_info_bits), generator=generator).float() for _, b in places]
    sent = [
        code.encode_versions(own, versions).split(code.num_symbols, 1) for code, own in zip(codes, bits, strict=True)
    ]
    received: list[Mapping[str, torch.Tensor]] = []
    for number, realisation in enumerate(state.rounds[:rounds]):
        symbols = {user: torch.zeros(batch, NUM_SYMBOLS, dtype=torch.complex64) for user in USERS}
        for (user, blocks), own in zip(places, sent, strict=True):
            symbols[user][blocks.rows, blocks.uses] = own[number % len(own)]
        received.append(realisation.apply(symbols))
    lost, expected = [], []
    for (user, blocks), code, own in zip(places, codes, bits, strict=True):
        at = blocks.rows, blocks.uses
        arrived = [y[user][at] for y in received]
        noise = [one.effective_noise_var[user][at] for one in state.rounds[:rounds]]
        both = combine_symbols(arrived, noise) if combining == "chase" else (torch.cat(arrived, 1), torch.cat(noise, 1))
        lost.append((~code.recovers(*both, own, versions)).double())
        seen = [Observation.of(one, user) for one in state.rounds[:rounds]]
        expected.append(error_rates(seen, blocks, combining)[-1].double())
    return float(torch.cat(lost).mean()), float(torch.cat(expected).mean())


def snr_at(snr_db: list[float], rate: list[float]) -> float:
    """SNR at which the rate falls below `BLER`, by interpolation of its logarithm; NaN if that is not within them."""
    found = np.interp(-np.log(BLER), -np.log(np.maximum(rate, 1e-6)), snr_db, left=np.nan, right=np.nan)
    return float(found)


def start_db(link: DigitalLink, step: float, batch: int, rounds: int = 1) -> float:
    """An SNR at most a step above the mapping's SNR for BLER 10 %."""
    snr_db, mapped = -12.0, link.mapped()
    while True:
        state = mapped.draw(batch, dict.fromkeys(USERS, NUM_SYMBOLS), snr_db, seed=1)
        assert isinstance(state, DigitalState)
        layout = segment(torch.full((batch,), NUM_SYMBOLS), link.schemes)
        combining = link.config.harq.combining if link.config.harq else "chase"
        seen = {user: [Observation.of(one, user) for one in state.rounds[:rounds]] for user in USERS}
        found = torch.cat([error_rates(seen[user], blocks, combining)[-1] for user in USERS for blocks in layout])
        if found.mean() < BLER:
            return snr_db
        snr_db += step


def compare(link: DigitalLink, step: float, batch: int, rounds: int = 1) -> str:
    """The end of a table's row: SNRs at BLER 10 % by bits and by mapping, and their difference."""
    middle = start_db(link, step, batch, rounds)
    snr_db = [middle + step * k for k in (-2, -1, 0, 1)]
    exact, mapped = zip(*(rates(link, snr, batch, rounds) for snr in snr_db), strict=True)
    found = snr_at(snr_db, list(exact)), snr_at(snr_db, list(mapped))
    return f"{found[0]:.2f} | {found[1]:.2f} | {found[1] - found[0]:+.2f} |"


def accuracy(batch: int) -> list[str]:
    rows = ["| channel | scheme | bit-exact [dB] | mapped [dB] | difference [dB] |", "| --- | --- | --- | --- | --- |"]
    for name, below in CHANNELS.items():
        for scheme in SCHEMES:
            block = NUM_SYMBOLS // num_blocks(NUM_SYMBOLS, Scheme.model_validate(scheme))
            over = {**below, "coherence": block} if below["extends"] == "rayleigh" else below
            link = load_link("digital-awgn", over=over, device="cpu", **scheme)
            assert isinstance(link, DigitalLink)
            rows.append(f"| {name} | {link.sent_as} | {compare(link, STEPS_DB.get(name, 1.0), batch)}")
            print(rows[-1], flush=True)
    return rows


def harq(batch: int) -> list[str]:
    """Rounds of HARQ with 2 bits and 64-QAM."""
    rows = [
        "| channel | combining | rounds | bit-exact [dB] | mapped [dB] | difference [dB] |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, combining, rounds in HARQ_ROWS:
        settings = {"rounds": max(rounds, 2), "combining": combining}
        link = load_link("digital-awgn", over=CHANNELS[name], device="cpu", harq=settings, **SCHEMES[1])
        assert isinstance(link, DigitalLink)
        rows.append(f"| {name} | {combining} | {rounds} | {compare(link, 0.3, batch, rounds)}")
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
    parser.add_argument("--harq-batch", type=int, default=16, help="the same with HARQ")
    options = parser.parse_args()
    text = speed()
    print(text, flush=True)
    parts = {"bench_mapping": [*accuracy(options.batch), "", text], "bench_mapping harq": harq(options.harq_batch)}
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        for name, lines in parts.items():
            begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
            before, rest = page.split(begin)
            page = "\n".join([before + begin, *lines, end + rest.split(end)[1]])
        with write_atomically(options.page) as temporary:
            temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
