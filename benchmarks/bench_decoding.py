"""Answers by mapped decoding against bit-exact, question by question: ``python benchmarks/bench_decoding.py RUN``.

RUN is a finished run with mapped digital links, such as one of `digital`. Every point of a variant over them is
evaluated once more with ``decoding: bit-exact``, by the same trained systems, on the same realisations. A point agrees
if zero lies in the 95 % interval of the paired difference of the two accuracies.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from tokcom_phy.results.intervals import paired
from tokcom_phy.results.run import Run
from tokcom_phy.sweep.reevaluate import reevaluate

EXACT = {"decoding": "bit-exact"}


def marks(run: Run, variant: str, link: str, snr_db: float) -> dict[int, np.ndarray]:
    """Seed → whether each question was answered right."""
    points = run.points
    own = points[(points["variant"] == variant) & (points["link"] == link) & (points["snr_db"] == snr_db)]
    return dict(zip(own["seed"], own["correct"], strict=True))


def compared(run_dir: Path, variant: str, links: list[str], among: list[float], out: Path) -> pd.DataFrame:
    """Each point of a variant over mapped links, with its paired difference to bit-exact decoding; only those at some
    SNRs, if ``among`` names any."""
    mapped = Run.open(run_dir)
    rows = []
    for link in links:
        snrs = sorted(set(mapped.points.query("variant == @variant and link == @link")["snr_db"]))
        snrs = [snr_db for snr_db in snrs if not among or snr_db in among]
        exact = Run.open(reevaluate(run_dir, variant, [link], EXACT, snrs, out=out / f"{variant}-{link}", workers=1))
        for snr_db in snrs:
            ours = marks(mapped, variant, link, snr_db)
            theirs = marks(exact, variant, f"{link}-decoding-bit-exact", snr_db)
            both = [np.stack([of[seed] for seed in ours]) for of in (ours, theirs)]
            difference, low, high = paired(*both)
            means = [100 * float(own.mean()) for own in both]
            rows.append((variant, link, snr_db, *means, 100 * difference, 100 * low, 100 * high, low <= 0 <= high))
            print(*rows[-1], flush=True)
    columns = ["variant", "link", "snr_db", "mapped", "bit_exact", "difference", "low", "high", "agrees"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bit-exact runs")
    parser.add_argument("--variant", action="append", help="only these variants")
    parser.add_argument("--link", action="append", help="only these links")
    parser.add_argument("--snr", action="append", type=float, help="only these SNRs [dB]")
    options = parser.parse_args()
    run = Run.open(options.run)
    mapped = {link.name for link in run.links(family="digital", decoding="mapped")}
    mapped &= set(options.link or mapped)
    tables = []
    for variant in run.variants(blind=False):
        links = [link for link in run.experiment.resolved().visits.get(variant.name, {}) if link in mapped]
        if links and (not options.variant or variant.name in options.variant):
            tables.append(compared(options.run, variant.name, links, options.snr or [], options.out))
    table = pd.concat(tables, ignore_index=True)
    print(table.round(2).to_string(index=False))
    print(f"{int(table['agrees'].sum())} of {len(table)} points agree")


if __name__ == "__main__":
    main()
