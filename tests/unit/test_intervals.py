import numpy as np
import pytest

from tokcom_phy.experiments.intervals import over_questions_and_seeds, wilson


def test_wilson_equals_the_published_example():
    low, high = wilson(81, 263)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_one_seed_gets_wilson():
    correct = np.array([[True] * 30 + [False] * 70])
    assert over_questions_and_seeds(correct) == pytest.approx((0.3, *wilson(30, 100)))


def test_interval_covers_the_truth_at_its_confidence():
    """95 % ± 4 standard errors of 1,000 repetitions, questions and seeds both random."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        difficulty = rng.beta(2, 2, 400)
        skill = rng.normal(0, 0.02, 4)
        correct = rng.random((4, 400)) < np.clip(difficulty + skill[:, None], 0, 1)
        _, low, high = over_questions_and_seeds(correct)
        covered += low <= 0.5 <= high
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / 1000) <= covered / 1000


def test_certain_answers_keep_an_interval():
    mean, low, high = over_questions_and_seeds(np.ones((3, 50), dtype=bool))
    assert mean == high == 1.0
    assert low < 1.0
