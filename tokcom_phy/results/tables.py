"""A run's points on disk, and the tables made from them."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.run_dir import checkpoint_folder
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.results.intervals import over_mean, over_questions_and_seeds, paired, wilson
from tokcom_phy.results.points import Point, as_bools
from tokcom_phy.utils.files import write_atomically

COLUMNS = [
    "experiment",
    "variant",
    "link",
    "snr_db",
    "seed",
    "metric",
    "question_type",
    "value",
    "ci_low",
    "ci_high",
    "n",
]
"""Columns of ``results.csv``."""

ALL = "all"
"""``question_type`` of figures over all questions."""


def tabulate(experiment: str, points: list[Point], question_types: list[str]) -> pd.DataFrame:
    """The rows of ``results.csv``: one a point, metric and question type.

    Parameters
    ----------
    experiment : str
    points : list of Point
    question_types : list of str
        Type of each question, in the order of the points' marks.

    Returns
    -------
    DataFrame with `COLUMNS`; intervals are Wilson's over the questions, absent (NaN) where a metric is no proportion
    """
    types = np.array(question_types)
    rows = [row for point in points for row in _rows(experiment, point, types)]
    return pd.DataFrame(rows, columns=COLUMNS)


def tabulate_losses(experiment: Experiment, run_dir: Path) -> pd.DataFrame:
    """Rows of ``results.csv`` with the training loss at the end of stage 2: its mean over the last tenth of the steps.

    ``snr_db`` is the training SNR, absent (NaN) where it was drawn from a range; ``n`` is how many steps are averaged.
    """
    rows = []
    for variant in experiment.variants:
        settings = experiment.resolved().variants[variant].stage2
        snr_db = settings.snr_db if isinstance(settings.snr_db, float) else np.nan
        for seed in experiment.seeds:
            path = checkpoint_folder(run_dir, variant, seed) / "losses.json"
            if path.is_file():
                losses = json.loads(path.read_text())
                last = losses[-max(len(losses) // 10, 1) :]
                loss = ("loss", ALL, float(np.mean(last)), np.nan, np.nan, len(last))
                rows.append((experiment.name, variant, settings.link, snr_db, seed, *loss))
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(experiment: str, point: Point, types: np.ndarray) -> Iterator[tuple]:
    key = (experiment, point.variant, point.link, point.snr_db, point.seed)
    correct = as_bools(point.correct)
    for kind in (ALL, *sorted(set(types))):
        marks = correct if kind == ALL else correct[types == kind]
        yield (*key, "accuracy", kind, marks.mean(), *wilson(int(marks.sum()), len(marks)), len(marks))
    first = as_bools(point.first_token_correct)
    yield (*key, "first_token_accuracy", ALL, first.mean(), *wilson(int(first.sum()), len(first)), len(first))
    for metric, scores in point.metrics.items():
        yield (*key, metric, ALL, float(np.mean(scores)), *over_mean(np.array(scores)), len(scores))
    for metric, values in (("token_nmse_db", point.token_nmse_db), ("effective_snr_db", point.effective_snr_db)):
        for modality, value in values.items():
            yield (*key, f"{metric}_{modality}", ALL, value, np.nan, np.nan, len(correct))


def accuracy_curves(points: list[Point], among: np.ndarray | None = None) -> pd.DataFrame:
    """Accuracy of each variant, link and SNR over all seeds, with its interval over questions and seeds.

    Parameters
    ----------
    points : list of Point
    among : bool [questions], optional
        Which questions count; all by default.

    Returns
    -------
    DataFrame with columns variant, link, snr_db, value, ci_low, ci_high, seeds, n
    """
    rows = []
    for key, by_seed in _marks(points).items():
        marks = np.stack(list(by_seed.values()))
        marks = marks if among is None else marks[:, among]
        rows.append((*key, *over_questions_and_seeds(marks), *marks.shape))
    columns = ["variant", "link", "snr_db", "value", "ci_low", "ci_high", "seeds", "n"]
    return pd.DataFrame(rows, columns=columns).sort_values(["link", "variant", "snr_db"], ignore_index=True)


def tabulate_curves(experiment: str, points: list[Point], question_types: list[str]) -> pd.DataFrame:
    """The rows of ``curves.csv``: `accuracy_curves` over all questions and by question type."""
    types = np.array(question_types)
    parts = []
    for kind in (ALL, *sorted(set(question_types))):
        part = accuracy_curves(points, None if kind == ALL else types == kind)
        part.insert(0, "experiment", experiment)
        part.insert(4, "question_type", kind)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def tabulate_differences(experiment: Experiment, points: list[Point]) -> pd.DataFrame:
    """The rows of ``differences.csv``: accuracies compared question by question and seed by seed.

    The first variant of each series minus each other one and the majority control, over the same link; and the first
    link minus each other one, for the same variant.

    Returns
    -------
    DataFrame with columns experiment, variant, link, than_variant, than_link, snr_db, value, ci_low, ci_high, seeds, n
    """
    all_marks = _marks(points)
    pairs: dict[tuple[tuple[str, str], tuple[str, str], float], None] = {}
    for series in experiment.evaluate:
        variants, links = (*series.variants, MAJORITY), series.links
        for snr_db in sorted(series.snr_db):
            for link in links:
                pairs |= {((variants[0], link), (other, link), snr_db): None for other in variants[1:]}
            for variant in series.variants:
                pairs |= {((variant, links[0]), (variant, other), snr_db): None for other in links[1:]}
    rows = []
    for (variant, link), (than_variant, than_link), snr_db in pairs:
        ours, theirs = (all_marks.get((*who, snr_db), {}) for who in ((variant, link), (than_variant, than_link)))
        if seeds := [seed for seed in ours if seed in theirs]:
            marks = np.stack([ours[seed] for seed in seeds]), np.stack([theirs[seed] for seed in seeds])
            key = (experiment.name, variant, link, than_variant, than_link, snr_db)
            rows.append((*key, *paired(*marks), *marks[0].shape))
    columns = ["experiment", "variant", "link", "than_variant", "than_link", "snr_db"]
    return pd.DataFrame(rows, columns=[*columns, "value", "ci_low", "ci_high", "seeds", "n"])


def _marks(points: list[Point]) -> dict[tuple[str, str, float], dict[int, np.ndarray]]:
    """(variant, link, SNR) → seed → which questions were answered right."""
    marks: dict[tuple[str, str, float], dict[int, np.ndarray]] = {}
    for point in points:
        marks.setdefault((point.variant, point.link, point.snr_db), {})[point.seed] = as_bools(point.correct)
    return marks


def write_tables(
    run_dir: Path, experiment: Experiment, points: list[Point], question_types: list[str], costs: pd.DataFrame
) -> None:
    """Write ``results.csv``, the same as ``results.parquet``, ``curves.csv`` and ``differences.csv``.

    Parameters
    ----------
    run_dir : Path
    experiment : Experiment
    points : list of Point
    question_types : list of str
        Type of each question, in the order of the points' marks.
    costs : DataFrame
        Further rows of ``results.csv``: what the variants' transmissions cost.
    """
    parts = [tabulate(experiment.name, points, question_types), tabulate_losses(experiment, run_dir), costs]
    results = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    with write_atomically(run_dir / "results.parquet") as path:
        results.to_parquet(path, index=False)
    for name, table in {
        "results": results,
        "curves": tabulate_curves(experiment.name, points, question_types),
        "differences": tabulate_differences(experiment, points),
    }.items():
        with write_atomically(run_dir / f"{name}.csv") as path:
            table.to_csv(path, index=False)
