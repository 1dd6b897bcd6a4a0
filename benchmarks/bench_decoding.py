"""Answers by mapped decoding against the code itself, question by question.

``python benchmarks/bench_decoding.py RUN --out DIR`` takes a finished run with mapped digital links, such as one of
`digital`. Every point over them is evaluated once more with ``decoding: bit-exact``, by the same trained systems, on
the same realisations. A point agrees if zero lies in the 95 % interval of the paired difference of the two accuracies,
over questions and, if there are several, seeds.

Blocks are decoded by `BeliefPropagation`, which decides as Sionna's decoder does, and only until their CRC holds: so
all points of a run can be compared. ``--sionna`` takes Sionna's decoder instead.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.run_dir import point_name
from tokcom_phy.radio import decoding
from tokcom_phy.radio.blockcode import BlockCode, mask_crc
from tokcom_phy.radio.scheme import CRC_BITS
from tokcom_phy.results.intervals import paired
from tokcom_phy.results.run import Run
from tokcom_phy.results.trained import dataset_root
from tokcom_phy.sweep.messages import Start
from tokcom_phy.sweep.resources import CACHE_BYTES, Resources
from tokcom_phy.sweep.stages import EVALUATION_SEED, system_evaluator
from tokcom_phy.utils.files import write_atomically
from tokcom_phy.utils.progress import tracked

POINT = ["variant", "link", "snr_db"]


class EarlyStopping(BlockCode):
    """A code whose decoder is done with a block when its CRC holds."""

    def decode(self, symbols: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        return self.decode_versions([self.demap(symbols, no)], [0])

    def decode_versions(self, llrs: Sequence[Tensor], versions: Sequence[int]) -> tuple[Tensor, Tensor]:
        def intact(bits: Tensor, _: Tensor) -> Tensor:
            return self._crc_check(mask_crc(bits.float()))[1][:, 0]

        bits, accepted = self._propagation(tuple(versions)).decode(torch.cat(list(llrs), dim=1), intact)
        return bits[:, :-CRC_BITS].float(), accepted


def evaluated(run: Run, job: Job, snrs: Sequence[float], resources: Resources) -> Iterator[tuple[float, list[bool]]]:
    """Whether each question is answered right with bit-exact decoding, at each of these SNRs [dB] of a job."""
    assert job.variant is not None
    config = job.link.config.model_copy(update={"decoding": "bit-exact"})
    link = replace(job.link, config=config).load().cached(CACHE_BYTES)
    with system_evaluator(job.variant, job.seed, resources, run.path.resolve()) as evaluator:
        for snr_db in snrs:
            yield snr_db, evaluator.evaluate(link, snr_db, EVALUATION_SEED + job.seed).correct


def comparisons(run: Run, out: Path) -> pd.DataFrame:
    """Accuracies of each point that was evaluated anew, and their paired difference [%]."""
    rows = []
    for (variant, link, snr_db), own in run.points.groupby(POINT):
        pairs = [
            (mapped, json.loads(file.read_text()))
            for mapped, seed in zip(own["correct"], own["seed"], strict=True)
            if (file := out / f"{point_name(variant, link, snr_db, seed)}.json").is_file()
        ]
        if pairs:
            mapped, exact = np.array(pairs, dtype=float).swapaxes(0, 1)
            difference, low, high = paired(mapped, exact)
            found = [mapped.mean(), exact.mean(), difference, low, high]
            rows.append((variant, link, snr_db, len(pairs), *(100 * float(part) for part in found), low <= 0 <= high))
    return pd.DataFrame(rows, columns=[*POINT, "seeds", "mapped", "bit_exact", "difference", "low", "high", "agrees"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--out", type=Path, required=True, help="folder of the points; those in it are kept")
    parser.add_argument("--variant", action="append", help="only these variants")
    parser.add_argument("--link", action="append", help="only these links")
    parser.add_argument("--snr", action="append", type=float, help="only these SNRs [dB]")
    parser.add_argument("--seed", action="append", type=int, help="only these seeds")
    parser.add_argument("--sionna", action="store_true", help="decode with Sionna's decoder, to its last iteration")
    options = parser.parse_args()
    if not options.sionna:
        decoding.block_code = lru_cache(maxsize=64)(EarlyStopping)
    run = Run.open(options.run)
    root = dataset_root(options.run, run.experiment).resolve()
    resources = Resources(Start(run.experiment, run.path.resolve(), root, root / "features", Path.cwd()))
    mapped = {link.name for link in run.links(family="digital", decoding="mapped")}
    wanted: list[tuple[Job, dict[float, Path]]] = []
    for job in run.experiment.resolved().jobs:
        if job.stage != "evaluate" or job.variant is None or job.variant.blind or job.link.name not in mapped:
            continue
        names = (job.subject, options.variant), (job.link.name, options.link), (job.seed, options.seed)
        if not all(own in (asked or [own]) for own, asked in names):
            continue
        files = {
            snr_db: options.out / f"{point_name(job.subject, job.link.name, snr_db, job.seed)}.json"
            for snr_db in job.snr_db
            if snr_db in (options.snr or [snr_db])
        }
        if missing := {snr_db: file for snr_db, file in files.items() if not file.is_file()}:
            wanted.append((job, missing))
    options.out.mkdir(parents=True, exist_ok=True)
    for job, files in tracked(wanted, "bit-exact"):
        for snr_db, correct in evaluated(run, job, list(files), resources):
            with write_atomically(files[snr_db]) as path:
                path.write_text(json.dumps(correct))
    table = comparisons(run, options.out)
    print(table.round(2).to_string(index=False))
    print(f"{int(table['agrees'].sum())} of {len(table)} points agree")


if __name__ == "__main__":
    main()
