"""Confidence intervals of accuracies, at 95 %."""

import math

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def wilson(correct: int, asked: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, 1927): (low, high)."""
    interval = stats.binomtest(correct, asked).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def over_questions_and_seeds(correct: np.ndarray) -> tuple[float, float, float]:
    """Mean accuracy and its interval when several seeds answer the same questions.

    The variance of the mean has a part from the choice of questions and one from the seeds of training; both are
    estimated from the table's margins, and the interval takes Student's t with the degrees of freedom of
    Satterthwaite's approximation. With one seed it is Wilson's interval.

    Parameters
    ----------
    correct : bool [seeds, questions]

    Returns
    -------
    mean, low, high
    """
    seeds, questions = correct.shape
    mean = float(correct.mean())
    if seeds == 1:
        return mean, *wilson(int(correct.sum()), questions)
    from_questions = float(correct.mean(0).var(ddof=1)) / questions
    from_seeds = float(correct.mean(1).var(ddof=1)) / seeds
    variance = from_questions + from_seeds
    if variance == 0.0:
        return mean, *wilson(int(correct.sum()) // seeds, questions)
    freedom = variance**2 / (from_questions**2 / (questions - 1) + from_seeds**2 / (seeds - 1))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(variance)
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)
