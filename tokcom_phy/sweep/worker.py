"""What a worker does for one job: align, fine-tune or evaluate, and write down what came out."""

import errno
import json
import logging
import os
import platform
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import set_seed

from tokcom_phy.data.formats import Caption, Question, caption_splits, load_captions, load_questions
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.run_dir import UNFINISHED, alignment_folder, checkpoint_folder, point_file
from tokcom_phy.experiments.schema import MAJORITY
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.system_config import Delivery, SystemConfig
from tokcom_phy.model.transmission import LinkUse
from tokcom_phy.radio import Link
from tokcom_phy.results.tables import Point, write_point
from tokcom_phy.sweep.messages import Failure, Outcome, Report, Start, Tell, missing
from tokcom_phy.training.align import align, pooled_features
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.distributed import process_index
from tokcom_phy.training.evaluate import Evaluation, Evaluator, majority_per_template
from tokcom_phy.training.finetune import finetune
from tokcom_phy.training.settings import AlignmentSettings
from tokcom_phy.training.trainer import LinkSampler, OnProgress, TrainingLogs
from tokcom_phy.utils.errors import UserError, one_line
from tokcom_phy.utils.files import cannot_write, write_atomically
from tokcom_phy.utils.processes import peak_memory

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

Item = TypeVar("Item", Caption, Question)

ROOM = 2**20
"""What is left of a disk on which a training has found no more room, at most [bytes]."""

EVALUATION_SEED = 2**20
"""Realisations that evaluate are seeded apart from those that train."""

KEPT_BYTES = 2**29
"""Room for realisations of one link and seed, which all variants meet."""


@cache
def _store(path: Path | None) -> FeatureStore | None:
    return FeatureStore.open(path) if path else None


@cache
def _foundation(name: str, dtype: torch.dtype) -> Foundation:
    return Foundation.load(name, dtype)


@cache
def _questions(root: Path, split: str, store: Path | None) -> list[Question]:
    """The split's questions whose clip has features; all, where nothing is heard or seen."""
    return _prepared(load_questions(root, split), store, f"question of the {split} split in {root}")


@cache
def _captions(root: Path, split: str, store: Path | None) -> list[Caption]:
    """The split's captions, likewise."""
    return _prepared(load_captions(root, split), store, f"caption of the {split} split in {root}")


def _prepared(items: list[Item], store: Path | None, what: str) -> list[Item]:
    features = _store(store)
    prepared = [item for item in items if features is None or item.video_id in features]
    if not prepared:
        raise UserError(f"no {what} has a prepared clip: run tokcom data check on that folder")
    return prepared


class Worker:
    """Executes the jobs of one run in this process; what it loads, it loads once.

    Parameters
    ----------
    start : Start
    """

    def __init__(self, start: Start):
        self.start = start
        self.experiment = start.experiment
        self.run_dir = start.run_dir
        self.root = start.root
        self.store = start.store
        self.splits = start.experiment.data.splits
        self._links: dict[str, Link] = {}
        self._cached_link: tuple[tuple[str, int], Link] | None = None
        self._is_set_up = False

    def execute(self, job: Job, on_progress: Tell) -> Outcome:
        """Execute one job; an error becomes the failure of all that the job should have left behind."""
        started = time.monotonic()
        try:
            self._set_up()
            started = time.monotonic()
            failures = self.do(job, on_progress)
        except Exception as error:
            failures = missing(job, one_line(error), traceback.format_exc())
        return Outcome(job, time.monotonic() - started, failures, "", *peak_memory())

    def _set_up(self) -> None:
        """Prepare the process for its first job.

        Raises
        ------
        UserError
            If there is no such run directory on this machine.
        """
        if self._is_set_up:
            return
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        warnings.filterwarnings("ignore")
        logging.getLogger("transformers").setLevel(logging.ERROR)
        if self.start.folder.is_dir():
            os.chdir(self.start.folder)
        if not self.run_dir.is_dir():
            raise UserError(
                f"{platform.node()} does not see {self.run_dir}: run where all machines share the file system, or name "
                "such a folder by --out"
            )
        if self.experiment.threads:
            torch.set_num_threads(self.experiment.threads)
        self._is_set_up = True

    def do(self, job: Job, tell: Tell) -> tuple[Failure, ...]:
        """Do one job; returns which of its points failed. An error elsewhere is raised."""
        if job.stage == "evaluate":
            return self.evaluate(job, tell)
        train = self.align if job.stage == "align" else self.finetune
        try:
            train(job, lambda done, _: tell(Report(job, done)))
        except (RuntimeError, SafetensorError) as error:  # how torch and safetensors say that they cannot write
            if shutil.disk_usage(self.run_dir).free > ROOM:
                raise
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise cannot_write(self.run_dir / "checkpoints", full) from error
        return ()

    def align(self, job: Job, progress: OnProgress) -> None:
        settings = self.experiment.alignment_settings(job.variant)
        alignment = self.experiment.variants[job.variant].alignment
        lengths = self.experiment.token_lengths(job.variant) if alignment == "contrastive" else {}
        folder = alignment_folder(self.run_dir, job.subject, job.seed)
        with self.foundation() as foundation:
            system = self.build(foundation, "on-air", job.seed)
            taken = settings.checkpoint if alignment == "contrastive" else None
            if taken:
                system.load_transceivers(taken / "transceivers.safetensors")
                progress(settings.steps, settings.steps)
                return self.keep(system, [], folder)
            batcher = self.batcher(system, lengths)
            before = self.features(system, batcher, settings, job.seed)
            losses = align(
                system,
                _captions(self.root, self.splits.captions, self.store),
                batcher,
                LinkSampler(self.link(settings.link), settings.snr_db, job.seed),
                settings,
                alignment,
                job.seed,
                progress,
                self.journal(job, folder),
            )
            after = self.features(system, batcher, settings, job.seed)
            features = {f"{m}-{when}": f for when, of in (("before", before), ("after", after)) for m, f in of.items()}
            self.keep(system, losses, folder, features)

    def finetune(self, job: Job, progress: OnProgress) -> None:
        settings = self.experiment.finetuning_settings(job.subject)
        variant = self.experiment.variants[job.subject]
        lengths = self.experiment.modalities(job.subject)
        folder = checkpoint_folder(self.run_dir, job.subject, job.seed)
        with self.foundation() as foundation:
            system = self.build(foundation, variant.question, job.seed)
            if variant.alignment != "none":
                aligned = alignment_folder(self.run_dir, self.experiment.alignment(job.variant), job.seed)
                system.load_transceivers(aligned / "transceivers.safetensors")
            foundation.add_lora(**settings.lora.model_dump())
            losses = finetune(
                system,
                _questions(self.root, self.splits.train, self.store),
                self.batcher(system, lengths),
                LinkSampler(self.link(settings.link), settings.snr_db, job.seed),
                settings,
                job.seed,
                progress,
                self.journal(job, folder),
            )
            self.keep(system, losses, folder)

    def evaluate(self, job: Job, tell: Tell) -> tuple[Failure, ...]:
        """Evaluate at every SNR that has no point yet; a point that fails leaves the others alone."""
        failures = []
        with self.examiner(job) as examine:
            for done, (name, snr_db) in enumerate(zip(job.leaves, job.snr_db, strict=True), start=1):
                accuracy = None
                if not point_file(self.run_dir, name).is_file():
                    try:
                        found = examine(snr_db)
                        write_point(self.run_dir, _point(job, snr_db, found))
                        accuracy = sum(found.correct) / len(found.correct)
                    except Exception as error:
                        failures.append(Failure(name, one_line(error), traceback.format_exc()))
                tell(Report(job, done - len(failures), accuracy))
        return tuple(failures)

    @contextmanager
    def examiner(self, job: Job) -> Iterator[Callable[[float], Evaluation]]:
        """What finds, at an SNR [dB], how a job's system does; one that sends nothing does the same at all of them."""
        questions = _questions(self.root, self.splits.test, self.store)
        if job.subject == MAJORITY:
            right = majority_per_template(_questions(self.root, self.splits.train, self.store), questions)
            yield lambda snr_db: Evaluation(right, right, [], {}, {})
            return
        folder = checkpoint_folder(self.run_dir, job.subject, job.seed)
        with self.foundation() as foundation:
            system = TokenCommSystem.from_pretrained(str(folder), foundation=foundation).to(DEVICE)
            batcher = self.batcher(system, self.experiment.modalities(job.subject))
            evaluator = Evaluator(system, questions, batcher, self.experiment.evaluation_batch)
            link = self.cached_link(job.link, job.seed)
            silent: Evaluation | None = None

            def examine(snr_db: float) -> Evaluation:
                nonlocal silent
                found = silent or evaluator.evaluate(link, snr_db, EVALUATION_SEED + job.seed)
                if not found.token_nmse_db:
                    silent = found
                return found

            yield examine

    @contextmanager
    def foundation(self) -> Iterator[Foundation]:
        """The foundation model, lent without adapters."""
        foundation = _foundation(self.experiment.foundation, PRECISIONS[self.experiment.precision])
        try:
            yield foundation
        finally:
            foundation.remove_lora()

    def link(self, name: str) -> Link:
        """A link of the experiment, by its name there."""
        if name not in self._links:
            self._links[name] = self.experiment.load_link(name)
        return self._links[name]

    def cached_link(self, name: str, seed: int) -> Link:
        """A link for evaluation that caches its realisations until another link or seed is requested."""
        if self._cached_link is None or self._cached_link[0] != (name, seed):
            self._cached_link = (name, seed), self.link(name).cached(KEPT_BYTES)
        return self._cached_link[1]

    def build(self, foundation: Foundation, question: Delivery, seed: int) -> TokenCommSystem:
        """A new system with the initial weights of ``seed``."""
        set_seed(seed)
        store = _store(self.store)
        widths = {modality: store.width(modality) for modality in self.experiment.encoders} if store is not None else {}
        config = SystemConfig(widths, foundation.width, self.experiment.receiver_width, question)
        return TokenCommSystem(config, foundation)

    def batcher(self, system: TokenCommSystem, lengths: dict[str, int]) -> Batcher:
        return Batcher(_store(self.store), lengths, system.foundation)

    def features(
        self, system: TokenCommSystem, batcher: Batcher, settings: AlignmentSettings, seed: int
    ) -> dict[str, Tensor]:
        """Pooled features (10) of captions that nothing is trained on, at the SNR in the middle of the training's:
        modality → float32 [captions, d_T]; empty where the experiment keeps none."""
        if not self.experiment.keep_features:
            return {}
        held_out = [split for split in caption_splits(self.root) if split != self.splits.captions]
        captions = [caption for split in held_out for caption in _captions(self.root, split, self.store)]
        captions = captions[: self.experiment.keep_features]
        radio = LinkUse(
            self.link(settings.link), float(np.mean(settings.snr_db)), EVALUATION_SEED + seed, range(len(captions))
        )
        return pooled_features(system.eval(), batcher.captions(captions), radio, settings.pooling)

    def keep(
        self, system: TokenCommSystem, losses: list[float], folder: Path, features: dict[str, Tensor] | None = None
    ) -> None:
        """Save a trained system, its losses and features; the folder appears in one step, or not at all, and then the
        checkpoints of its training go."""
        if process_index() > 0:
            return
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
                unfinished = Path(scratch) / folder.name
                system.save_pretrained(unfinished)
                (unfinished / "losses.json").write_text(json.dumps([round(loss, 6) for loss in losses]) + "\n")
                if features:
                    with write_atomically(unfinished / "features.safetensors") as temporary:
                        save_file(features, temporary)
                if not folder.is_dir():
                    unfinished.rename(folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        shutil.rmtree(_unfinished(folder), ignore_errors=True)

    def journal(self, job: Job, folder: Path) -> TrainingLogs:
        """Where the training that ends in ``folder`` leaves its traces."""
        logs = self.run_dir / "logs" / "tensorboard" / job.name.replace(" ", "_")
        return TrainingLogs(f"{self.experiment.name} {job.name}", _unfinished(folder), logs)


def _unfinished(folder: Path) -> Path:
    """Where the checkpoints of a training are kept that will end in ``folder``."""
    return folder.with_name(f".{folder.name}{UNFINISHED}")


def _point(job: Job, snr_db: float, found: Evaluation) -> Point:
    return Point(
        variant=job.subject,
        link=job.link,
        snr_db=snr_db,
        seed=job.seed,
        correct="".join(str(int(c)) for c in found.correct),
        first_token_correct="".join(str(int(c)) for c in found.first_token_correct),
        answers=found.answers,
        token_nmse_db=found.token_nmse_db,
        effective_snr_db=found.effective_snr_db,
    )
