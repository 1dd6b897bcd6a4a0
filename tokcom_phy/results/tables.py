"""The tables of a run: what its points and losses come to."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.results.intervals import over_mean, over_questions_and_seeds, paired, wilson
from tokcom_phy.results.points import Point, as_bools

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


def tabulate(experiment: str, points: Sequence[Point], question_types: Sequence[str]) -> pd.DataFrame:
    """The rows of ``results.csv`` that points make: one a point, metric and question type.

    Parameters
    ----------
    experiment : str
    points : sequence of Point
    question_types : sequence of str
        Type of each question, in the order of the points' marks.

    Returns
    -------
    DataFrame with `COLUMNS`; intervals are Wilson's over the questions, absent (NaN) where a metric is no proportion
    """
    types = np.array(question_types, dtype=object)
    rows = [row for point in points for row in _rows(experiment, point, types)]
    return pd.DataFrame(rows, columns=COLUMNS)


def tabulate_losses(experiment: Experiment, losses: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``results.csv`` with the training loss at the end of stage 2: its mean over the last tenth of steps.

    ``snr_db`` is the training SNR, absent (NaN) where it was drawn from a range; ``n`` is how many steps are averaged.

    Parameters
    ----------
    experiment : Experiment
    losses : DataFrame
        `tokcom_phy.results.run.Run.losses`.
    """
    rows = []
    of_stage2 = losses[losses["stage"] == "finetune"]
    for name, variant in experiment.resolved().variants.items():
        snr_db = variant.stage2.snr_db if isinstance(variant.stage2.snr_db, float) else np.nan
        for seed, steps in of_stage2[of_stage2["name"] == name].groupby("seed", sort=False)["loss"]:
            last = steps.to_numpy()[-max(len(steps) // 10, 1) :]
            loss = ("loss", ALL, float(np.mean(last)), np.nan, np.nan, len(last))
            rows.append((experiment.name, name, variant.stage2.link, snr_db, seed, *loss))
    return pd.DataFrame(rows, columns=COLUMNS)


def tabulate_costs(experiment: str, budget: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``results.csv`` with what one question costs each variant over each link that it is evaluated on.

    Metrics are ``channel_uses``, ``latency_ms`` and ``energy_mj``; ``snr_db`` and ``seed`` are absent (NaN). What
    cannot be sent has no row, as it has no point.

    Parameters
    ----------
    experiment : str
    budget : DataFrame
        `tokcom_phy.results.budget.tabulate_budget`.
    """
    rows = []
    for row in budget[budget["own"] & (budget["fault"] == "")].itertuples():
        costs = {
            "channel_uses": row.channel_uses,
            "latency_ms": 1e3 * row.latency,
            "energy_mj": 1e3 * row.energy,
        }
        for metric, value in costs.items():
            rows.append((experiment, row.variant, row.link, np.nan, np.nan, metric, ALL, value, np.nan, np.nan, 1))
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


def accuracy_curves(points: Sequence[Point], among: np.ndarray | None = None) -> pd.DataFrame:
    """Accuracy of each variant, link and SNR over all seeds, with its interval over questions and seeds.

    Parameters
    ----------
    points : sequence of Point
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


def tabulate_curves(experiment: str, points: Sequence[Point], question_types: Sequence[str]) -> pd.DataFrame:
    """The rows of ``curves.csv``: `accuracy_curves` over all questions and by question type."""
    types = np.array(question_types, dtype=object)
    parts = []
    for kind in (ALL, *sorted(set(question_types))):
        part = accuracy_curves(points, None if kind == ALL else types == kind)
        part.insert(0, "experiment", experiment)
        part.insert(4, "question_type", kind)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def tabulate_differences(experiment: Experiment, points: Sequence[Point]) -> pd.DataFrame:
    """The rows of ``differences.csv``: accuracies compared question by question and seed by seed.

    The first variant of each series minus each other one and the majority control, over the same link; and the first
    link minus each other one, for the same variant.

    Returns
    -------
    DataFrame with columns experiment, variant, link, than_variant, than_link, snr_db, value, ci_low, ci_high, seeds, n
    """
    all_marks = _marks(points)
    pairs: dict[tuple[tuple[str, str], tuple[str, str], float], None] = {}
    for series in experiment.resolved().series:
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


def _marks(points: Sequence[Point]) -> dict[tuple[str, str, float], dict[int, np.ndarray]]:
    """(variant, link, SNR) → seed → which questions were answered right."""
    marks: dict[tuple[str, str, float], dict[int, np.ndarray]] = {}
    for point in points:
        marks.setdefault((point.variant, point.link, point.snr_db), {})[point.seed] = as_bools(point.correct)
    return marks
