"""From an experiment to the jobs that it takes: alignments, then fine-tunings, then evaluations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokcom_phy.experiments.run_dir import alignment_folder, checkpoint_folder, point_file, point_name
from tokcom_phy.experiments.schema import MAJORITY, Experiment

Stage = Literal["align", "finetune", "evaluate"]
STAGES: tuple[Stage, ...] = ("align", "finetune", "evaluate")
STAGE_NAMES: dict[Stage, str] = {"align": "stage 1: align", "finetune": "stage 2: fine-tune", "evaluate": "evaluate"}


@dataclass(frozen=True)
class Job:
    """One piece of work for one process.

    Attributes
    ----------
    stage : what it does
    subject : the alignment that stage 1 trains, else the variant
    variant : the variant, or one of those that share the alignment
    seed : int
    link : link that an evaluation runs over, else empty
    snr_db : SNRs [dB] that an evaluation visits, else empty
    needs : names of jobs that must have finished
    """

    stage: Stage
    subject: str
    variant: str
    seed: int
    link: str = ""
    snr_db: tuple[float, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.stage, self.subject, self.link, f"seed {self.seed}") if part)

    def units(self, experiment: Experiment) -> int:
        """How much progress it reports: optimiser steps, or points."""
        if self.stage == "align":
            return experiment.alignment_settings(self.variant).steps
        if self.stage == "finetune":
            return experiment.finetuning_settings(self.variant).steps
        return len(self.snr_db)

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of what it leaves behind: its points, or a training under the job's own name."""
        if self.stage != "evaluate":
            return (self.name,)
        return tuple(point_name(self.subject, self.link, snr, self.seed) for snr in self.snr_db)

    def done(self, run_dir: Path, experiment: Experiment) -> int:
        """How many of its units need not be done again."""
        if self.stage == "evaluate":
            return sum(point_file(run_dir, name).is_file() for name in self.leaves)
        folder = alignment_folder if self.stage == "align" else checkpoint_folder
        return self.units(experiment) if folder(run_dir, self.subject, self.seed).is_dir() else 0


def plan(experiment: Experiment) -> list[Job]:
    """All jobs of an experiment, each after those that it needs; evaluations over the same realisations in a row."""
    jobs: dict[str, Job] = {}

    def add(job: Job) -> str:
        jobs[job.name] = job
        return job.name

    for seed in experiment.seeds:
        for name, variant in experiment.variants.items():
            aligned = variant.alignment != "none"
            needs = (add(Job("align", experiment.alignment(name), name, seed)),) if aligned else ()
            trained = add(Job("finetune", name, name, seed, needs=needs))
            for link, snr_db in _visits(experiment, name).items():
                add(Job("evaluate", name, name, seed, link, snr_db, needs=(trained,)))
        for link, snr_db in _visits(experiment, MAJORITY).items():
            add(Job("evaluate", MAJORITY, MAJORITY, seed, link, snr_db))
    order = [(seed, link) for seed in experiment.seeds for link in ("", *experiment.evaluated_links())]
    return sorted(jobs.values(), key=lambda job: (STAGES.index(job.stage), order.index((job.seed, job.link))))


def _visits(experiment: Experiment, variant: str) -> dict[str, tuple[float, ...]]:
    """link → SNRs [dB] at which a variant is evaluated; the majority control goes wherever anybody does."""
    visits: dict[str, set[float]] = {}
    for series in experiment.evaluate:
        if variant in series.variants or variant == MAJORITY:
            for link in series.links:
                visits.setdefault(link, set()).update(series.snr_db)
    return {link: tuple(sorted(snr_db)) for link, snr_db in visits.items()}
