"""The three stages of a run, one function each: align, fine-tune, evaluate."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import set_seed

from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.resolve import ResolvedVariant
from tokcom_phy.experiments.run_dir import alignment_folder
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.system_config import Delivery, SystemConfig
from tokcom_phy.model.transmission import LinkUse
from tokcom_phy.sweep.resources import Resources
from tokcom_phy.sweep.saving import save_training, unfinished
from tokcom_phy.training.align import align, pooled_features
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.evaluate import Evaluation, Evaluator, majority_per_template
from tokcom_phy.training.finetune import finetune
from tokcom_phy.training.metrics import ANSWER_LOSS, load_metrics
from tokcom_phy.training.trainer import LinkSampler, OnProgress, TrainingLogs
from tokcom_phy.utils.bounds import RUN_SEEDS

ALIGNMENT_SEED, EVALUATION_SEED = RUN_SEEDS, 2 * RUN_SEEDS
"""Added to a run's seed: stage 1, stage 2 and evaluation never share a realisation."""

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def run_alignment(job: Job, resources: Resources, run_dir: Path, on_progress: OnProgress) -> None:
    """Stage 1 of a variant; its transceivers, or those of a checkpoint, are saved."""
    assert job.variant is not None
    variant, settings, folder = job.variant, job.variant.stage1, job.folder(run_dir)
    with resources.foundation() as foundation:
        system = _new_system(resources, foundation, variant, "on-air", job.seed)
        if settings.checkpoint and variant.alignment == "contrastive":
            system.load_transceivers(settings.checkpoint / "transceivers.safetensors")
            on_progress(settings.steps, settings.steps, None)
            save_training(system, [], folder)
            return
        batcher = Batcher.of(system, resources.store, variant.alignment_lengths)
        before = _features(resources, system, batcher, variant, job.seed)
        losses = align(
            system,
            resources.captions(resources.experiment.data.splits.captions),
            batcher,
            LinkSampler(resources.link(job.link), settings.snr_db, ALIGNMENT_SEED + job.seed),
            settings,
            variant.alignment,
            job.seed,
            on_progress,
            _logs(job, resources, run_dir),
        )
        after = _features(resources, system, batcher, variant, job.seed)
        features = {f"{m}-{when}": f for when, of in (("before", before), ("after", after)) for m, f in of.items()}
        save_training(system, losses, folder, features)


def run_finetuning(job: Job, resources: Resources, run_dir: Path, on_progress: OnProgress) -> None:
    """Stage 2 of a variant, from its stage 1 if it has one; the adapted system is saved."""
    assert job.variant is not None
    variant = job.variant
    with resources.foundation() as foundation:
        system = _new_system(resources, foundation, variant, variant.question, job.seed)
        if variant.alignment_run is not None:
            aligned = alignment_folder(run_dir, variant.alignment_run, job.seed)
            system.load_transceivers(aligned / "transceivers.safetensors")
        foundation.add_lora(**variant.stage2.lora.model_dump())
        losses = finetune(
            system,
            resources.questions(resources.experiment.data.splits.train),
            Batcher.of(system, resources.store, variant.modalities),
            LinkSampler(resources.link(job.link), variant.stage2.snr_db, job.seed),
            variant.stage2,
            job.seed,
            on_progress,
            _logs(job, resources, run_dir),
        )
        save_training(system, losses, job.folder(run_dir))


@contextmanager
def evaluator(job: Job, resources: Resources, run_dir: Path) -> Iterator[Callable[[float], Evaluation]]:
    """A function that evaluates a job's system at an SNR [dB]; a system that sends nothing is evaluated once."""
    if job.variant is None:
        splits = resources.experiment.data.splits
        correct = majority_per_template(resources.questions(splits.train), resources.questions(splits.test))
        yield lambda snr_db: Evaluation(correct, correct, [], {}, {})
        return
    with system_evaluator(job.variant, job.seed, resources, run_dir) as over:
        link = resources.cached_link(job.link, job.seed)
        sends_nothing = not job.variant.users
        found: Evaluation | None = None

        def evaluate(snr_db: float) -> Evaluation:
            nonlocal found
            if found is None or not sends_nothing:
                found = over.evaluate(link, snr_db, EVALUATION_SEED + job.seed)
            return found

        yield evaluate


@contextmanager
def system_evaluator(variant: ResolvedVariant, seed: int, resources: Resources, run_dir: Path) -> Iterator[Evaluator]:
    """What asks a variant's trained system the questions of the test split."""
    experiment = resources.experiment
    with resources.foundation() as foundation:
        folder = variant.system_folder(run_dir, seed)
        system = TokenCommSystem.from_pretrained(folder, foundation=foundation).to(DEVICE)
        batcher = Batcher.of(system, resources.store, variant.modalities)
        metrics, with_loss = load_metrics(experiment.metrics), ANSWER_LOSS in experiment.metrics
        questions = resources.questions(experiment.data.splits.test)
        yield Evaluator(system, questions, batcher, experiment.evaluation_batch, metrics, with_loss)


def _new_system(
    resources: Resources, foundation: Foundation, variant: ResolvedVariant, question: Delivery, seed: int
) -> TokenCommSystem:
    """A system with the initial weights of ``seed``."""
    set_seed(seed)
    widths, hidden = resources.widths(), resources.experiment.receiver_width
    lengths = {modality: variant.lengths[modality] for modality in widths}
    config = SystemConfig(widths, foundation.width, hidden, question, variant.components, lengths)
    return TokenCommSystem(config, foundation)


def _features(
    resources: Resources, system: TokenCommSystem, batcher: Batcher, variant: ResolvedVariant, seed: int
) -> dict[str, Tensor]:
    """Pooled features (10) of held-out captions, at the SNR in the middle of the training's: modality → float32
    [captions, d_T]; empty where the experiment keeps none."""
    wanted = resources.experiment.keep_features
    if not wanted:
        return {}
    captions = resources.held_out_captions()[:wanted]
    snr_db = float(np.mean(variant.stage1.snr_db))
    link_use = LinkUse(resources.link(variant.stage1_link), snr_db, EVALUATION_SEED + seed, range(len(captions)))
    return pooled_features(system.eval(), batcher.captions(captions), link_use, variant.stage1.pooling)


def _logs(job: Job, resources: Resources, run_dir: Path) -> TrainingLogs:
    tensorboard = run_dir / "logs" / "tensorboard" / job.name.replace(" ", "_")
    return TrainingLogs(f"{resources.experiment.name} {job.name}", unfinished(job.folder(run_dir)), tensorboard)
