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

MAPPED = {"decoding": "mapped"}
OPTIONS: dict[str, dict[str, Any]] = {
    "bit-exact": {},
    "mapped": MAPPED,
    "mapped, average adaptation": {**MAPPED, "schemes": SCHEMES, "adaptation": "average"},
    "mapped, instantaneous adaptation": {**MAPPED, "schemes": SCHEMES, "adaptation": "instantaneous"},
    "mapped, target BLER 10 %": {**MAPPED, "schemes": SCHEMES, "adaptation": "instantaneous", "target_bler": 0.1},
    "bit-exact, instantaneous adaptation": {"schemes": SCHEMES, "adaptation": "instantaneous"},
    "mapped, chase combining": {**MAPPED, "harq": {"combining": "chase"}},
    "mapped, incremental redundancy": {**MAPPED, "harq": {"combining": "incremental-redundancy"}},
    "bit-exact, chase combining": {"harq": {"combining": "chase"}},
    "bit-exact, incremental redundancy": {"harq": {"combining": "incremental-redundancy"}},
}


def point_seconds(link: Link) -> float:
    """CPU time of a point after the first one of a sweep: 32 examples × 3 users × 1024 symbols [s], the shortest."""
    cached, tokens = link.cached(2**31), {user: torch.randn(32, 16, 128) for user in USERS}
    times = []
    for snr_db in SNR_DB:
        start = time.process_time()
        cached(tokens, snr_db, seed=0)
        times.append(time.process_time() - start)
    return min(times[1:])


def digital_points() -> Iterator[tuple[str, float]]:
    """Seconds of a point over ``ofdm-tdl-c``, as analog tokens and by each option of a digital link."""
    yield "analog", point_seconds(load_link("ofdm-tdl-c", device="cpu"))
    for name, settings in OPTIONS.items():
        yield name, point_seconds(load_link("digital-ofdm-tdl-c", device="cpu", quantizer="lloyd-max", **settings))


if __name__ == "__main__":
    for option, seconds in digital_points():
        print(f"{option}: {seconds:.3f} s", flush=True)
