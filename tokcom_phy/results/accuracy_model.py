"""Accuracy as a function of each modality's effective SNR: monotone and smooth, fitted to answers one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import SplineTransformer

from tokcom_phy.results.intervals import CONFIDENCE
from tokcom_phy.utils.errors import UserError

KNOTS_DB = np.arange(-25.0, 16.0, 8.0)
"""Knots of the splines [dB]; beyond the first and the last the accuracy stays what it is there."""

REFITS = 100
"""Fits to questions drawn anew, whose spread is the uncertainty."""


@dataclass(frozen=True)
class AccuracyModel:
    """A = c + Σ w_{ij…} · I_i(γ_1) · I_j(γ_2) …, with w ≥ 0: rising in every effective SNR γ_m [dB].

    I_i are integrated quadratic splines (I-splines), which rise from 0 to 1; I_0 = 1. Products let a modality count
    for more where another one arrives too, as for questions about both.

    Attributes
    ----------
    modalities : sequence of str
    coefficients : float [1 + REFITS, terms]
        c and w; the first row of the fit to all answers, the others of fits to questions drawn anew (bootstrap).
    answers : int
        That it is fitted to.
    """

    modalities: Sequence[str]
    coefficients: np.ndarray
    answers: int

    @classmethod
    def fit(
        cls, effective_snr_db: Mapping[str, np.ndarray], correct: np.ndarray, questions: np.ndarray, seed: int = 0
    ) -> "AccuracyModel":
        """Fit by non-negative least squares.

        Parameters
        ----------
        effective_snr_db : modality → float [answers] [dB]
        correct : bool [answers]
        questions : int [answers]
            Which question each answer is to: a question is drawn anew with all its answers.
        seed : int

        Raises
        ------
        UserError
            If there are fewer answers than twice the terms.
        """
        terms = _terms([effective_snr_db[m] for m in effective_snr_db])
        if len(correct) < 2 * terms.shape[1]:
            raise UserError(
                f"{len(correct)} answers are too few for an accuracy of {len(effective_snr_db)} modalities: ask more "
                "questions"
            )
        rng, number = np.random.default_rng(seed), int(questions.max()) + 1
        rows = [_fit(terms, correct, np.ones(len(correct)))]
        for _ in range(REFITS):
            times = np.bincount(rng.integers(number, size=number), minlength=number)
            rows.append(_fit(terms, correct, times[questions].astype(float)))
        return cls(list(effective_snr_db), np.stack(rows), len(correct))

    def predict(self, effective_snr_db: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Accuracy at each place, the mean over its realisations, and its interval at 95 %.

        Parameters
        ----------
        effective_snr_db : modality → float [places, realisations] [dB]

        Returns
        -------
        accuracy, low, high : float [places]
            The interval is that of the fit, by its questions; a simulation at a place has its own besides.
        """
        each = [effective_snr_db[m] for m in self.modalities]
        terms = _terms([snr.ravel() for snr in each]).reshape(*each[0].shape, -1).mean(1)
        accuracy = np.clip(terms @ self.coefficients.T, 0, 1)
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(accuracy[:, 1:], [tail, 1 - tail], axis=1)
        return accuracy[:, 0], np.minimum(low, accuracy[:, 0]), np.maximum(high, accuracy[:, 0])


def _terms(effective_snr_db: Sequence[np.ndarray]) -> np.ndarray:
    """Products of the I-splines of all modalities, float [answers, terms]."""
    terms = np.ones((len(effective_snr_db[0]), 1))
    for snr in effective_snr_db:
        splines = SplineTransformer(knots=KNOTS_DB[:, None], degree=2, extrapolation="constant")
        basis = splines.fit(KNOTS_DB[:, None]).transform(np.nan_to_num(snr, posinf=1e3, neginf=-1e3)[:, None])
        rising = basis[:, ::-1].cumsum(1)[:, ::-1]  # the first is one everywhere
        terms = (terms[:, :, None] * rising[:, None]).reshape(len(terms), -1)
    return terms


def _fit(terms: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """c and w of the terms, float [terms]; the first term is one."""
    found = LinearRegression(positive=True).fit(terms[:, 1:], correct, sample_weight=weights)
    return np.concatenate([[found.intercept_], found.coef_])
