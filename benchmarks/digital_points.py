"""Time that a digital link takes for a point of a sweep, by decoding, adaptation and HARQ; see `bench_sweep.py`."""

import time
from collections.abc import Iterator
from typing import Any

import torch

from tokcom_phy.radio import Link, load_link

USERS = ["audio", "video", "text"]
SCHEMES = [{"bits": bits, "modulation": f"{4 ** (bits + 1)}-QAM"} for bits in (1, 2, 3)]
SNR_DB = (9.0, 10.0, 10.5)
"""The first one draws channels and noise; the others are timed."""

BATCHES = (range(32), range(32, 64))
"""The first one pays what an SNR costs once; the second one is timed."""

MAPPED = {"decoding": "mapped"}
AVERAGE = {"schemes": SCHEMES, "adaptation": "average"}
INSTANTANEOUS = {"schemes": SCHEMES, "adaptation": "instantaneous"}
CHASE = {"harq": {"combining": "chase"}}
REDUNDANCY = {"harq": {"combining": "incremental-redundancy"}}
OPTIONS: dict[str, dict[str, Any]] = {
    "bit-exact": {},
    "mapped": MAPPED,
    "mapped, average adaptation": MAPPED | AVERAGE,
    "mapped, instantaneous adaptation": MAPPED | INSTANTANEOUS,
    "mapped, target BLER 10 %": MAPPED | INSTANTANEOUS | {"target_bler": 0.1},
    "bit-exact, instantaneous adaptation": INSTANTANEOUS,
    "mapped, chase combining": MAPPED | CHASE,
    "mapped, incremental redundancy": MAPPED | REDUNDANCY,
    "mapped, incremental redundancy, average adaptation": MAPPED | REDUNDANCY | AVERAGE,
    "mapped, incremental redundancy, instantaneous adaptation": MAPPED | REDUNDANCY | INSTANTANEOUS,
    "bit-exact, chase combining": CHASE,
    "bit-exact, incremental redundancy": REDUNDANCY,
}


def point_seconds(link: Link) -> tuple[float, float]:
    """CPU time of a batch after the first SNR of a sweep: 32 examples × 3 users × 1024 symbols, the shortest [s].

    And the time that an SNR takes once, for whatever does not depend on the examples [s].
    """
    cached, tokens = link.cached(2**31), {user: torch.randn(32, 16, 128) for user in USERS}
    times: list[list[float]] = []
    for snr_db in SNR_DB:
        times.append([])
        for indices in BATCHES:
            start = time.process_time()
            cached.transmit(tokens, snr_db, seed=0, indices=indices)
            times[-1].append(time.process_time() - start)
    first, batch = (min(column) for column in zip(*times[1:], strict=True))
    return batch, max(first - batch, 0.0)


def digital_points() -> Iterator[tuple[str, float, float]]:
    """Option and its `point_seconds` over ``ofdm-tdl-c``: analog tokens, and each option of a digital link."""
    yield "analog", *point_seconds(load_link("ofdm-tdl-c", device="cpu"))
    for name, settings in OPTIONS.items():
        yield name, *point_seconds(load_link("digital-ofdm-tdl-c", device="cpu", quantizer="lloyd-max", **settings))


if __name__ == "__main__":
    for option, seconds, once in digital_points():
        print(f"{option}: {seconds:.3f} s, and {once:.3f} s once for an SNR", flush=True)
