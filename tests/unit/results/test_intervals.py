import numpy as np
import pytest
from scipy import stats

from tokcom_phy.results.intervals import over_questions_and_seeds, paired, wilson


def test_wilson_equals_the_published_example():
    low, high = wilson(81, 263)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@pytest.mark.parametrize(("correct", "asked"), [(0, 7), (7, 7), (1, 2), (30, 100), (9129, 20000)])
def test_wilson_equals_scipys(correct, asked):
    interval = stats.binomtest(correct, asked).proportion_ci(0.95, method="wilson")
    assert wilson(correct, asked) == pytest.approx((interval.low, interval.high), abs=1e-12)


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


def test_a_paired_difference_of_one_seed_has_the_published_interval():
    """Agresti and Min (2005): add half an observation to each of the four cells, then Wald's interval."""
    ours = np.array([[True] * 60 + [False] * 40])
    theirs = np.array([[True] * 45 + [False] * 15 + [True] * 5 + [False] * 35])
    difference, low, high = paired(ours, theirs)
    assert difference == pytest.approx(0.10)
    gained, lost, n = 15.5, 5.5, 102
    half = 1.959964 * np.sqrt(gained + lost - (gained - lost) ** 2 / n) / n
    assert (low, high) == pytest.approx(((gained - lost) / n - half, (gained - lost) / n + half), abs=1e-6)


def test_paired_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered, trials = 0, 400
    for _ in range(trials):
        skill = rng.uniform(size=300)  # both systems find the same questions hard
        seeds = rng.normal(0, 0.02, size=(2, 3, 1))
        ours = rng.uniform(size=(3, 300)) < np.clip(0.9 * skill + 0.1 + seeds[0], 0, 1)
        theirs = rng.uniform(size=(3, 300)) < np.clip(0.9 * skill + seeds[1], 0, 1)
        _, low, high = paired(ours, theirs)
        covered += low <= 0.1 <= high
    assert covered / trials > 0.93


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(1)
    theirs = rng.uniform(size=(1, 400)) < 0.5
    ours = theirs ^ (rng.uniform(size=(1, 400)) < 0.05)
    _, *paired_interval = paired(ours, theirs)
    single = [over_questions_and_seeds(marks) for marks in (ours, theirs)]
    unpaired = np.sqrt(sum(((high - low) / 2) ** 2 for _, low, high in single))
    assert np.diff(paired_interval) / 2 < 0.6 * unpaired


def test_no_difference_is_not_certainty():
    same = np.ones((2, 50), dtype=bool)
    difference, low, high = paired(same, same)
    assert difference == 0.0
    assert low < 0 < high < 0.1
