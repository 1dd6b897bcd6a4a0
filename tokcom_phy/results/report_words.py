"""The words of a report: what was asked, with which settings, and what is missing."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokcom_phy.experiments.schema import Experiment


def asked(experiment: Experiment) -> str:
    """The question of the experiment in a sentence."""
    if not experiment.resolved().series:
        return f"How does the training of {_count(experiment.resolved().variants, 'variant')} go?"
    snrs = sorted({snr_db for series in experiment.resolved().series for snr_db in series.snrs})
    links = experiment.resolved().evaluated_links
    at = db(snrs[0]) if len(snrs) == 1 else f"{len(snrs)} SNRs from {db(snrs[0])} to {db(snrs[-1])}"
    variants = experiment.resolved().variants
    return (
        f"How often do {_count(variants, 'variant')} answer right over {_count(links, 'link')} at {at}, "
        f"with {_count(experiment.seeds, 'seed')} of training and radio?"
    )


def _count(things: Iterable[object], noun: str) -> str:
    number = len(list(things))
    return f"{number} {noun}{'s' * (number != 1)}"


def facts(experiment: Experiment, asked: int) -> dict[str, str]:
    stages = {"stage 1": experiment.stage1, "stage 2": experiment.stage2}
    trained = {
        stage: f"{settings.steps} steps of {settings.batch} over {settings.link} at {_snr(settings.snr_db)}"
        for stage, settings in stages.items()
    }
    data = experiment.data.root.name if experiment.data.root else "synthetic corpus"
    return {
        "experiment": experiment.name,
        "profile": experiment.profile,
        "language model": experiment.foundation,
        "encoders": ", ".join(f"{modality}: {name}" for modality, name in experiment.encoders.items()) or "none",
        "tokens": ", ".join(f"{length} {modality}" for modality, length in experiment.lengths.items()) or "none",
        "data": f"{data}, {asked:,} questions asked" if asked else data,
        **trained,
    }


def _snr(snr_db: float | Sequence[float]) -> str:
    return db(snr_db) if isinstance(snr_db, float | int) else " to ".join(db(end) for end in snr_db)


def db(value: float) -> str:
    return number(f"{value:g} dB")


def number(text: str) -> str:
    """A number as it is printed: with a minus sign, not a hyphen."""
    return text.replace("-", "−")


def question_types(questions: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Each type of question, how often it is asked, and the first of them."""
    counts = Counter(question["type"] for question in questions)
    first = {question["type"]: question for question in reversed(questions)}
    return [
        {"type": kind, "count": f"{count:,}", "question": first[kind]["question"], "answer": first[kind]["answer"]}
        for kind, count in sorted(counts.items())
    ]


def gaps(missing: Iterable[tuple[str, str, float, int]]) -> list[str]:
    """Missing points in words, a line for each variant, link and seed."""
    lines: dict[tuple[str, str, int], list[float]] = {}
    for variant, link, snr_db, seed in missing:
        lines.setdefault((variant, link, seed), []).append(snr_db)
    return [
        f"{variant} over {link}, seed {seed}: {', '.join(number(f'{s:g}') for s in snrs)} dB"
        for (variant, link, seed), snrs in lines.items()
    ]


def missing_trainings(run_dir: Path, experiment: Experiment) -> list[str]:
    """Trainings that have left nothing behind, by name."""
    jobs = (job for job in experiment.resolved().jobs if job.stage != "evaluate")
    return [job.name for job in jobs if not job.folder(run_dir).is_dir()]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and texts."""
    texts: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            texts |= flat(value, f"{prefix}{key}.")
        else:
            texts[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return texts


def shares(seconds: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Time of each step [s], and its share [%]."""
    total = sum(seconds.values()) or 1.0
    return [(step, f"{spent:,.1f}", f"{100 * spent / total:.0f}") for step, spent in seconds.items()]
