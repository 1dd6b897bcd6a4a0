"""A part of an experiment's dataset, prepared for a trial of its jobs."""

import time
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

from tokcom_phy.data.encode import SECONDS_PER_WORKER
from tokcom_phy.data.formats import (
    Caption,
    Question,
    caption_splits,
    load_captions,
    load_questions,
)
from tokcom_phy.data.prepare import pending_clips, prepare
from tokcom_phy.data.sources import available_clips
from tokcom_phy.experiments.dataset import SyntheticCorpus
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.encoders import load_encoder
from tokcom_phy.sweep.estimate import Estimate, Step, size_on_disk
from tokcom_phy.sweep.preflight import stored_lengths
from tokcom_phy.synthetic.corpus import synthesize

CLIPS = 8
"""Clips of a trial dataset that questions are asked about, at least."""

QUESTIONS_PER_CLIP = 4
"""Questions that can surely be asked about a clip."""


def trial_dataset(
    experiment: Experiment, run_dir: Path, folder: Path, estimate: Estimate
) -> tuple[Path, Path | None, float]:
    """A part of the dataset, prepared: its root, its store, and how many times as many questions the whole test has.

    What the run will find prepared is not encoded again.
    """
    root = experiment.data.root or _synthetic_corpus(experiment, run_dir, folder / "data", estimate)
    splits = experiment.data.splits
    corpus = experiment.data.synthetic if experiment.data.root is None else None
    tested = load_questions(root, splits.test)
    if not experiment.resolved().needs_media:
        return root, None, corpus.test_questions / len(tested) if corpus else 1.0
    windows = experiment.data.audio_windows
    encoders = {m: load_encoder(m, source, audio_windows=windows) for m, source in experiment.encoders.items()}
    there = available_clips(root, encoders)
    captions, questions = _batches(experiment)
    held_out = [split for split in caption_splits(root) if experiment.keep_features and split != splits.captions]
    needed: list[tuple[Sequence[Caption | Question], int]] = [
        (load_captions(root, splits.captions) if captions else [], captions),
        (load_questions(root, splits.train), questions),
        (tested, experiment.evaluation_batch),
        *((load_captions(root, split), CLIPS) for split in held_out),
    ]
    part = {clip for items, n in needed for clip in [item.video_id for item in items if item.video_id in there][:n]}
    lengths = stored_lengths(experiment)
    pending = pending_clips(root, encoders, lengths, experiment.data.fps)
    if pending and not part & pending:
        part |= set(sorted(pending)[:CLIPS])  # which tell how long a clip takes
    store = folder / "features"
    seconds = _timed(
        lambda: prepare(
            root,
            experiment.encoders,
            lengths,
            store,
            fps=experiment.data.fps,
            audio_windows=windows,
            only=part,
            beside=root / "features",
        )
    )
    encoded = len(part & pending)
    clips = _clips(corpus) if corpus and root.parent == folder else len(pending)
    share = clips / encoded if encoded else 0.0
    several = estimate.workers > 1 and seconds * share > SECONDS_PER_WORKER
    starting = estimate.workers * SECONDS_PER_WORKER if several else 0.0
    disk = size_on_disk(store) / len(part) * clips
    estimate.steps.append(Step("prepare features", clips, seconds * share + starting, disk))
    asked = sum(question.video_id in part for question in tested)
    wanted = corpus.test_questions if corpus else sum(question.video_id in there for question in tested)
    return root, store, wanted / asked


def _batches(experiment: Experiment) -> tuple[int, int]:
    """Captions and questions that the largest batches of any variant take; no captions where nothing is aligned."""
    variants = experiment.resolved().variants.values()
    return (
        max((variant.stage1.batch for variant in variants if variant.alignment_run is not None), default=0),
        max(variant.stage2.batch for variant in variants),
    )


def _clips(corpus: SyntheticCorpus) -> int:
    return corpus.captions + corpus.train_clips + corpus.test_clips


def _synthetic_corpus(experiment: Experiment, run_dir: Path, folder: Path, estimate: Estimate) -> Path:
    """The experiment's corpus if it is there, else a small one like it in a folder."""
    corpus = experiment.data.synthetic
    assert corpus is not None
    whole = corpus.folder(run_dir)
    missing = max(_clips(corpus) - len(list(whole.rglob("*.mp4"))), 0)
    if not missing:
        estimate.steps.append(Step("synthesise clips"))
        return whole
    captions, questions = _batches(experiment)
    needs = {
        "captions": max(captions, 1),
        "train_clips": max(CLIPS, ceil(questions / QUESTIONS_PER_CLIP)),
        "test_clips": CLIPS,
        "train_questions": questions,
        "test_questions": experiment.evaluation_batch,
    }
    sizes = {name: min(getattr(corpus, name), size) for name, size in needs.items()}
    seconds = _timed(lambda: synthesize(folder, **{**corpus.model_dump(), **sizes}, workers=1))
    made = len(list(folder.rglob("*.mp4")))
    estimate.steps.append(
        Step("synthesise clips", missing, seconds * missing / made, size_on_disk(folder) * missing / made)
    )
    return folder


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
