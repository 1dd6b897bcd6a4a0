"""The dependence of accuracy on effective SNRs, fitted to answers of a known one."""

import numpy as np
import pytest

from tokcom_phy.results.accuracy_model import AccuracyModel
from tokcom_phy.utils.errors import UserError


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def accuracy(audio: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Some questions need the sound, some both."""
    heard, seen = logistic((audio + 5) / 4), logistic((video - 3) / 4)
    return 0.3 + 0.3 * heard + 0.3 * heard * seen


@pytest.fixture(scope="module")
def model() -> AccuracyModel:
    rng = np.random.default_rng(0)
    questions = np.tile(np.arange(400), 12)
    audio, video = rng.uniform(-30, 35, (2, len(questions)))
    correct = rng.random(len(questions)) < accuracy(audio, video)
    return AccuracyModel.fit({"audio": audio, "video": video}, correct, questions)


GRID = [axis.reshape(-1, 1) for axis in np.meshgrid(np.arange(-24, 25, 3.0), np.arange(-24, 25, 3.0), indexing="ij")]


def test_a_known_dependence_is_found(model: AccuracyModel) -> None:
    """The standard error of 49 terms from 4,800 answers is about sqrt(0.25 · 49 / 4800) = 5 %, less in the mean."""
    found, low, high = model.predict(dict(zip(("audio", "video"), GRID, strict=True)))
    truth = accuracy(*GRID)[:, 0]
    assert np.abs(found - truth).mean() < 0.02
    assert np.abs(found - truth).max() < 0.08
    assert ((low <= truth) & (truth <= high)).mean() > 0.8
    assert (high - low).mean() < 0.1


def test_more_snr_is_never_worse(model: AccuracyModel) -> None:
    audio, video = np.meshgrid(np.linspace(-60, 60, 61), np.linspace(-60, 60, 61), indexing="ij")
    found = model.predict({"audio": audio.reshape(-1, 1), "video": video.reshape(-1, 1)})[0].reshape(61, 61)
    assert (np.diff(found, axis=0) >= -1e-9).all()
    assert (np.diff(found, axis=1) >= -1e-9).all()
    assert np.ptp(found[:10, :10]) == 0  # beyond what was measured it stays as it is


def test_a_place_is_the_mean_over_its_realisations(model: AccuracyModel) -> None:
    audio, video = np.array([[-10.0, 20.0]]), np.array([[5.0, -5.0]])
    together = model.predict({"audio": audio, "video": video})[0]
    apart = model.predict({"audio": audio.T, "video": video.T})[0]
    assert together == pytest.approx(apart.mean())


def test_too_few_answers_are_refused() -> None:
    snr = {"audio": np.zeros(50), "video": np.zeros(50)}
    with pytest.raises(UserError, match="50 answers are too few"):
        AccuracyModel.fit(snr, np.zeros(50, dtype=bool), np.arange(50))
