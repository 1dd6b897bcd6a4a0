"""Run directories of real settings and invented answers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import save_file

from tokcom_phy.experiments.loading import as_yaml, load_experiment
from tokcom_phy.experiments.plan import MAJORITY, Job
from tokcom_phy.experiments.run_dir import CONFIG, LINKS, PROVENANCE, QUESTIONS
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.experiments.validation import check
from tokcom_phy.results.points import Point, write_point
from tokcom_phy.results.run import Run

TYPES = ["Audio/Counting", "Visual/Location", "Audio-Visual/Temporal"]
QUESTIONS_ASKED = 60
STEPS = 150


def made_up_run(
    folder: Path,
    experiment: str | Experiment,
    finished: Callable[[Job], bool] = lambda job: True,
    rename: Callable[[str], str] = lambda name: name,
) -> Run:
    """A run with a point wherever the plan has one, of jobs that have finished; accuracy rises with SNR.

    ``rename`` gives variants other names; they answer as they did.
    """
    given = load_experiment(experiment) if isinstance(experiment, str) else experiment
    experiment = renamed(given, rename)
    folder.mkdir(parents=True, exist_ok=True)
    write_inputs(folder, experiment)
    rng = np.random.default_rng(0)
    for job in filter(finished, experiment.resolved().jobs):
        if job.stage == "evaluate":
            for snr_db in job.snr_db:
                blind = job.variant is None or job.variant.blind
                share = 0.3 if blind else 0.3 + 0.6 / (1 + np.exp(-snr_db / 8))
                marks = "".join("01"[int(u < share)] for u in rng.uniform(size=QUESTIONS_ASKED))
                answers = [] if job.variant is None else [["no", "yes"][int(mark)] for mark in marks]
                metrics = {}
                if "answer_loss" in experiment.metrics and job.variant is not None:
                    metrics = {"answer_loss": made_up_losses(job, snr_db).tolist()}
                point = Point(job.subject, job.link.name, snr_db, job.seed, marks, marks, answers, {}, {}, metrics)
                write_point(folder, point)
            continue
        kept = job.folder(folder)
        kept.mkdir(parents=True)
        (kept / "losses.json").write_text(json.dumps(np.geomspace(4, 1, STEPS).tolist()))
        if experiment.keep_features and job.stage == "align":
            modalities = [*experiment.encoders, "text"]
            features = {f"{m}-{when}": rng.normal(size=(12, 8)) for m in modalities for when in ("before", "after")}
            save_file({key: value.astype(np.float32) for key, value in features.items()}, kept / "features.safetensors")
    return Run.open(folder)


def made_up_losses(job: Job, snr_db: float) -> np.ndarray:
    """A loss a question: its mean falls with the tokens and the SNR of every user; each seed has an offset."""
    assert job.variant is not None
    loss = 2.0 + 0.02 * (job.seed or 0)
    for user, length in job.variant.modalities.items():
        snr = 10 ** (job.link.user_snr_db(user, snr_db) / 10)
        loss -= 0.6 * (1 - 0.5 * (length / 4) ** -1.0) * (1 - 1 / (1 + snr))
    return loss + 0.01 * np.random.default_rng(0).normal(size=QUESTIONS_ASKED)


def write_inputs(folder: Path, experiment: Experiment, kinds: list[str] = TYPES, asked: int = QUESTIONS_ASKED) -> None:
    """What a run writes down before its first point."""
    (folder / CONFIG).write_text(as_yaml(experiment), encoding="utf-8")
    questions = [
        {"video_id": f"{i}", "question_id": i, "type": kinds[i % len(kinds)], "question": "Why?", "answer": "yes"}
        for i in range(asked)
    ]
    (folder / QUESTIONS).write_text(json.dumps(questions))
    links = {name: link.settings() for name, link in experiment.resolved().links.items()}
    (folder / LINKS).write_text(json.dumps(links))
    (folder / PROVENANCE).write_text(json.dumps({"command": "tokcom run", "versions": {"torch": "2.13.0"}}))


def renamed(experiment: Experiment, rename: Callable[[str], str]) -> Experiment:
    """An experiment whose variants have other names."""
    settings = yaml.safe_load(as_yaml(experiment))
    settings["variants"] = {rename(name): variant for name, variant in settings["variants"].items()}
    for series in settings["evaluate"]:
        series["variants"] = [rename(name) for name in series["variants"]]
    return check(Experiment, settings, experiment.name)


def control_alone(job: Job) -> bool:
    """Of the jobs, those of the majority control."""
    return job.subject == MAJORITY
