"""Confidence intervals of accuracies, at 95 %."""

import math

import numpy as np
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95
UPPER = 0.5 + CONFIDENCE / 2
"""What lies below the upper end of an interval."""

Z = float(ndtri(UPPER))
"""Quantile of the normal distribution."""


def wilson(correct: int, asked: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, 1927): (low, high).

    ``scipy.stats.binomtest`` gives the same; its test, of which the interval is a part, takes a hundred times as long.
    """
    centre = (2 * correct + Z**2) / (2 * (asked + Z**2))
    half = Z * math.sqrt(4 * correct * (asked - correct) / asked + Z**2) / (2 * (asked + Z**2))
    return centre - half if correct else 0.0, centre + half if correct < asked else 1.0


def over_mean(scores: np.ndarray) -> tuple[float, float]:
    """Student's t interval of the mean of scores, float [questions]: (low, high); NaN for a single one."""
    if len(scores) < 2:
        return math.nan, math.nan
    quantile = float(stdtrit(len(scores) - 1, UPPER))
    half = quantile * float(scores.std(ddof=1)) / math.sqrt(len(scores))
    return float(scores.mean()) - half, float(scores.mean()) + half


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
    half = _half_width(correct)
    if half == 0.0:
        return mean, *wilson(int(correct.sum()) // seeds, questions)
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def paired(correct: np.ndarray, than: np.ndarray) -> tuple[float, float, float]:
    """Mean difference of two accuracies on the same questions, seeds and realisations, and its interval.

    With several seeds the variance has the two parts of `over_questions_and_seeds`, of the differences question by
    question. With one seed the interval is that of A. Agresti and Y. Min (2005) for paired proportions, which holds for
    few differing answers too.

    Parameters
    ----------
    correct, than : bool [seeds, questions]

    Returns
    -------
    difference, low, high
    """
    difference = correct.astype(float) - than
    mean = float(difference.mean())
    half = _half_width(difference)
    if half == 0.0:
        seeds, questions = difference.shape
        gained, lost = float((difference > 0).sum()) / seeds, float((difference < 0).sum()) / seeds
        centre = (gained - lost) / (questions + 2)
        variance = (gained + lost + 1) / (questions + 2) - centre**2
        half = Z * math.sqrt(variance / (questions + 2))
        return mean, max(centre - half, -1.0), min(centre + half, 1.0)
    return mean, max(mean - half, -1.0), min(mean + half, 1.0)


def scores_over_questions_and_seeds(scores: np.ndarray) -> tuple[float, float, float]:
    """As `over_questions_and_seeds`, of scores that are no proportion; their paired difference has the same interval.

    Parameters
    ----------
    scores : float [seeds, questions]

    Returns
    -------
    mean, low, high
        With one seed the interval is that of `over_mean`.
    """
    if len(scores) == 1:
        return float(scores.mean()), *over_mean(scores[0])
    mean, half = float(scores.mean()), _half_width(scores)
    return mean, mean - half, mean + half


def _half_width(values: np.ndarray) -> float:
    """Half the width of the interval of the mean of [seeds, questions]; 0 for one seed, or where nothing varies."""
    seeds, questions = values.shape
    if seeds == 1:
        return 0.0
    from_questions = float(values.mean(0).var(ddof=1)) / questions
    from_seeds = float(values.mean(1).var(ddof=1)) / seeds
    variance = from_questions + from_seeds
    if variance == 0.0:
        return 0.0
    freedom = variance**2 / (from_questions**2 / (questions - 1) + from_seeds**2 / (seeds - 1))
    return float(stdtrit(freedom, UPPER)) * math.sqrt(variance)
