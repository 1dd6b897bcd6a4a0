"""The jobs of an experiment: alignments, then fine-tunings, then evaluations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokcom_phy.experiments.resolve import ResolvedLink, ResolvedVariant
from tokcom_phy.experiments.run_dir import alignment_folder, checkpoint_folder, point_file, point_name

Stage = Literal["align", "finetune", "evaluate"]
STAGES: tuple[Stage, ...] = ("align", "finetune", "evaluate")
STAGE_NAMES: dict[Stage, str] = {"align": "stage 1: align", "finetune": "stage 2: fine-tune", "evaluate": "evaluate"}

MAJORITY = "majority"
"""Name of the control that answers each question template with its most frequent answer."""

Visits = Mapping[str, Mapping[str, tuple[float, ...]]]
"""variant → link → SNRs [dB] at which it is evaluated, in ascending order."""


@dataclass(frozen=True)
class Job:
    """One piece of work for one process, with all that it needs to know.

    Attributes
    ----------
    stage : what it does
    subject : the stage 1 that an alignment trains, else the variant, or the majority control
    seed : int
    link : the link that is trained through, or evaluated over
    variant : the variant, or one of those that share the stage 1; None for the majority control
    snr_db : SNRs [dB] that an evaluation visits, else empty
    needs : names of jobs that must have finished
    """

    stage: Stage
    subject: str
    seed: int
    link: ResolvedLink
    variant: ResolvedVariant | None = None
    snr_db: tuple[float, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        over = self.link.name if self.stage == "evaluate" else ""
        return " ".join(part for part in (self.stage, self.subject, over, f"seed {self.seed}") if part)

    @property
    def units(self) -> int:
        """How much progress it reports: optimiser steps, or points."""
        if self.variant is None or self.stage == "evaluate":
            return len(self.snr_db)
        return (self.variant.stage1 if self.stage == "align" else self.variant.stage2).steps

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it leaves behind: its points, or a training under the job's own name."""
        if self.stage != "evaluate":
            return (self.name,)
        return tuple(point_name(self.subject, self.link.name, snr, self.seed) for snr in self.snr_db)

    def folder(self, run_dir: Path) -> Path:
        """Where a training leaves its result."""
        folder = alignment_folder if self.stage == "align" else checkpoint_folder
        return folder(run_dir, self.subject, self.seed)

    def done(self, run_dir: Path) -> int:
        """How many of its units need not be done again."""
        if self.stage == "evaluate":
            return sum(point_file(run_dir, name).is_file() for name in self.outputs)
        return self.units if self.folder(run_dir).is_dir() else 0


def plan(
    variants: Iterable[ResolvedVariant],
    links: Mapping[str, ResolvedLink],
    visits: Visits,
    seeds: Sequence[int],
) -> tuple[Job, ...]:
    """All jobs, each after those that it needs; evaluations over the same realisations in a row.

    Parameters
    ----------
    variants : iterable of ResolvedVariant
    links : name → link, those that are evaluated first, in declared order
    visits : `Visits`, of the majority control too
    seeds : sequence of int
    """
    jobs: dict[str, Job] = {}

    def add(job: Job) -> str:
        jobs[job.name] = job
        return job.name

    for seed in seeds:
        for variant in variants:
            needs: tuple[str, ...] = ()
            if variant.alignment_run is not None:
                needs = (add(Job("align", variant.alignment_run, seed, variant.stage1_link, variant)),)
            if variant.checkpoint is None:
                needs = (add(Job("finetune", variant.name, seed, variant.stage2_link, variant, needs=needs)),)
            for link, snr_db in visits.get(variant.name, {}).items():
                add(Job("evaluate", variant.name, seed, links[link], variant, snr_db, needs=needs))
        for link, snr_db in visits.get(MAJORITY, {}).items():
            add(Job("evaluate", MAJORITY, seed, links[link], snr_db=snr_db))
    places = list(links)

    def order(job: Job) -> tuple[int, int, int]:
        place = places.index(job.link.name) if job.stage == "evaluate" else -1
        return STAGES.index(job.stage), seeds.index(job.seed), place

    return tuple(sorted(jobs.values(), key=order))
