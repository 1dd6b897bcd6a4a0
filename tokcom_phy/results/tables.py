"""The tables of a run: what its points and losses come to."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.results.intervals import (
    over_mean,
    over_questions_and_seeds,
    paired,
    scores_over_questions_and_seeds,
    wilson,
)
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

Place = tuple[str, str, float]
"""variant, link and SNR [dB]."""

ACCURACY = "accuracy"
"""``metric`` of exact match."""


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
        yield (*key, ACCURACY, kind, marks.mean(), *wilson(int(marks.sum()), len(marks)), len(marks))
    first = as_bools(point.first_token_correct)
    yield (*key, "first_token_accuracy", ALL, first.mean(), *wilson(int(first.sum()), len(first)), len(first))
    for metric, scores in point.metrics.items():
        yield (*key, metric, ALL, float(np.mean(scores)), *over_mean(np.array(scores)), len(scores))
    for metric, mean in point.spent.items():
        yield (*key, metric, ALL, mean, np.nan, np.nan, len(correct))
    for metric, values in (("token_nmse_db", point.token_nmse_db), ("effective_snr_db", point.effective_snr_db)):
        for modality, value in values.items():
            yield (*key, f"{metric}_{modality}", ALL, value, np.nan, np.nan, len(correct))


def curves(points: Sequence[Point], among: np.ndarray | None = None, metric: str = ACCURACY) -> pd.DataFrame:
    """A metric of each variant, link and SNR over all seeds, with its interval over questions and seeds.

    Parameters
    ----------
    points : sequence of Point
    among : bool [questions], optional
        Which questions count; all by default.
    metric : str
        ``accuracy``, or the name of one that the points hold.

    Returns
    -------
    DataFrame with columns variant, link, snr_db, value, ci_low, ci_high, seeds, n
    """
    interval = over_questions_and_seeds if metric == ACCURACY else scores_over_questions_and_seeds
    rows = []
    for key, by_seed in scores_by_seed(points, metric).items():
        scores = np.stack(list(by_seed.values()))
        scores = scores if among is None else scores[:, among]
        rows.append((*key, *interval(scores), *scores.shape))
    columns = ["variant", "link", "snr_db", "value", "ci_low", "ci_high", "seeds", "n"]
    return pd.DataFrame(rows, columns=columns).sort_values(["link", "variant", "snr_db"], ignore_index=True)


def tabulate_curves(experiment: str, points: Sequence[Point], question_types: Sequence[str]) -> pd.DataFrame:
    """The rows of ``curves.csv``: `curves` of each metric over all questions, and of the accuracy by question type."""
    types = np.array(question_types, dtype=object)
    parts = {(ACCURACY, ALL): curves(points)}
    parts |= {(ACCURACY, kind): curves(points, types == kind) for kind in sorted(set(question_types))}
    parts |= {(metric, ALL): curves(points, metric=metric) for metric in _metrics(points)}
    for (metric, kind), part in parts.items():
        part.insert(0, "experiment", experiment)
        part.insert(4, "metric", metric)
        part.insert(5, "question_type", kind)
    return pd.concat(list(parts.values()), ignore_index=True)


def tabulate_differences(experiment: Experiment, points: Sequence[Point]) -> pd.DataFrame:
    """The rows of ``differences.csv``: each metric compared question by question and seed by seed.

    The first variant of each series minus each other one and the majority control, over the same link; and the first
    link minus each other one, for the same variant, at the same place of the axis; ``snr_db`` is that of the first.

    Returns
    -------
    DataFrame with columns experiment, variant, link, than_variant, than_link, snr_db, metric, value, ci_low, ci_high,
    seeds, n
    """
    pairs: dict[tuple[Place, Place], None] = {}
    for series in experiment.resolved().series:
        variants, links = (*series.variants, MAJORITY), series.links
        snrs = series.snr_db
        for place in sorted(range(len(snrs[links[0]])), key=lambda place: snrs[links[0]][place]):
            at = {link: snrs[link][place] for link in links}
            for link in links:
                pairs |= {((variants[0], link, at[link]), (other, link, at[link])): None for other in variants[1:]}
            for variant in series.variants:
                here = (variant, links[0], at[links[0]])
                pairs |= {(here, (variant, other, at[other])): None for other in links[1:]}
    rows = []
    for metric in (ACCURACY, *_metrics(points)):
        scores = scores_by_seed(points, metric)
        for (variant, link, snr_db), (than_variant, than_link, than_snr_db) in pairs:
            ours, theirs = (
                scores.get((variant, link, snr_db), {}),
                scores.get((than_variant, than_link, than_snr_db), {}),
            )
            if seeds := [seed for seed in ours if seed in theirs]:
                first, second = np.stack([ours[seed] for seed in seeds]), np.stack([theirs[seed] for seed in seeds])
                found = paired(first, second) if metric == ACCURACY else scores_over_questions_and_seeds(first - second)
                key = (experiment.name, variant, link, than_variant, than_link, snr_db, metric)
                rows.append((*key, *found, *first.shape))
    columns = ["experiment", "variant", "link", "than_variant", "than_link", "snr_db", "metric"]
    return pd.DataFrame(rows, columns=[*columns, "value", "ci_low", "ci_high", "seeds", "n"])


def _metrics(points: Sequence[Point]) -> list[str]:
    """Names of the metrics beside exact match that any point holds."""
    return list(dict.fromkeys(name for point in points for name in point.metrics))


def scores_by_seed(points: Sequence[Point], metric: str) -> dict[Place, dict[int, np.ndarray]]:
    """(variant, link, SNR [dB]) → seed → a score of each question; points without the metric are left out."""
    scores: dict[Place, dict[int, np.ndarray]] = {}
    for point in points:
        if metric == ACCURACY or metric in point.metrics:
            found = as_bools(point.correct) if metric == ACCURACY else np.array(point.metrics[metric])
            scores.setdefault((point.variant, point.link, point.snr_db), {})[point.seed] = found
    return scores
