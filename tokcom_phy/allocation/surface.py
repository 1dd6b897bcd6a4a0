"""The validation loss as a function of token lengths and SNRs: a parametric surface, fitted to measured points.

It falls in every SNR whatever the points say. What a user's tokens take from the loss goes with their share of all
tokens, so more tokens of one user leave less weight to the others': of a user with a poor link they raise the loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.optimize import least_squares

from tokcom_phy.utils.errors import UserError

HELD_OUT = 5
"""One point in so many is held out of the fit."""

_LOG_STARTS = (-1.5, 0.0, 1.5)
"""Logarithms of γ0 from which the fit starts; the best one is kept."""

_SHARING_STARTS = (0.1, 1.0)
"""Values of ρ from which it starts."""


@dataclass(frozen=True)
class UserSurface:
    """What one user's tokens take from the loss, A·u(s)·v(γ): u = 1 − a(s/s₀)^−α and v = 1 − (1 + γ/γ₀)^−β.

    Attributes
    ----------
    amplitude : A ≥ 0, what perfect tokens gain
    few : a in 0…1, the share of it that the fewest tokens lack
    exponent : α ≥ 0, how soon more tokens make up for it
    fewest : s₀, fewest tokens that were measured
    snr : γ₀ > 0, the SNR about which the gain comes
    steepness : β > 0
    """

    amplitude: float
    few: float
    exponent: float
    fewest: float
    snr: float
    steepness: float

    def of_length(self, length: float | np.ndarray) -> np.ndarray:
        """u(s), between 0 and 1, rising with the length; below the fewest measured tokens no less than 0."""
        return np.maximum(1 - self.few * (np.asarray(length, dtype=float) / self.fewest) ** -self.exponent, 0.0)

    def of_snr(self, snr: float | np.ndarray) -> np.ndarray:
        """v(γ), between 0 and 1, rising and concave; ``snr`` is a power ratio."""
        return 1 - (1 + np.asarray(snr, dtype=float) / self.snr) ** -self.steepness


@dataclass(frozen=True)
class LossSurface:
    """L = c − Σ_m A_m w_m(s) u_m(s_m) v_m(γ_m), falling and convex in every SNR; w_m = M s_m^ρ / Σ_j s_j^ρ of M users.

    Attributes
    ----------
    ceiling : c, the loss without any tokens
    users : user → its part
    sharing : ρ ≥ 0, how much a user's share of the tokens counts; 0: what others send does not matter
    r2 : R² on held-out points
    points : measured points of the fit, the held-out ones among them
    """

    ceiling: float
    users: Mapping[str, UserSurface]
    sharing: float = 0.0
    r2: float = float("nan")
    points: int = 0

    def amplitudes(self, lengths: Sequence[float | np.ndarray] | np.ndarray) -> np.ndarray:
        """What each user's tokens take from the loss if they arrive perfect, A_m w_m u_m [nat].

        Parameters
        ----------
        lengths : float [users] or [users, ...], in the order of ``users``

        Returns
        -------
        float, the same shape
        """
        lengths = np.asarray(lengths, dtype=float)
        counted = lengths**self.sharing
        shares = len(lengths) * counted / counted.sum(0)
        parts = self.users.values()
        return shares * np.array([p.amplitude * p.of_length(s) for p, s in zip(parts, lengths, strict=True)])

    def gains(
        self, lengths: Sequence[float | np.ndarray] | np.ndarray, snrs: Sequence[float | np.ndarray] | np.ndarray
    ) -> np.ndarray:
        """What each user's tokens take from the loss [nat], of the shape of the lengths and SNRs (power ratios)."""
        parts = zip(self.users.values(), snrs, strict=True)
        return self.amplitudes(lengths) * np.array([part.of_snr(snr) for part, snr in parts])

    def slopes(self, lengths: np.ndarray, snrs: np.ndarray) -> np.ndarray:
        """Derivative of each user's gain over its SNR [nat]: float [users], positive and falling."""
        parts = self.users.values()
        knee, beta = np.array([p.snr for p in parts]), np.array([p.steepness for p in parts])
        return self.amplitudes(lengths) * beta / knee * (1 + snrs / knee) ** (-beta - 1)

    def loss(self, lengths: Mapping[str, float], snrs: Mapping[str, float]) -> float:
        """The loss of these lengths and SNRs (power ratios)."""
        gains = self.gains([lengths[user] for user in self.users], [snrs[user] for user in self.users])
        return self.ceiling - float(gains.sum())


def fit_surface(
    lengths: Mapping[str, Sequence[float]], snrs: Mapping[str, Sequence[float]], losses: Sequence[float]
) -> LossSurface:
    """Fit a surface by least squares.

    One point in `HELD_OUT` is held out, spread over the losses; R² is that of a fit to the others. The surface that is
    returned is fitted to all.

    Parameters
    ----------
    lengths, snrs : user → a number a point; SNRs are power ratios
    losses : a number a point

    Raises
    ------
    UserError
        If there are fewer points than twice the parameters, or all losses are equal.
    """
    users, measured = list(lengths), np.asarray(losses, dtype=float)
    s = np.array([lengths[user] for user in users], dtype=float)
    g = np.array([snrs[user] for user in users], dtype=float)
    parameters = 2 + 5 * len(users)
    if len(measured) < 2 * parameters:
        raise UserError(
            f"{len(measured)} points are too few to fit a surface of {parameters} parameters for {len(users)} users: "
            f"measure at least {2 * parameters}, at more lengths or SNRs"
        )
    if np.ptp(measured) == 0 or not np.isfinite(measured).all():
        raise UserError("all measured losses are equal or some are not finite: measure over a wider range of SNRs")
    order = np.argsort(measured, kind="stable")
    held = np.zeros(len(measured), dtype=bool)
    held[order[HELD_OUT // 2 :: HELD_OUT]] = True
    tried = _fit(users, s[:, ~held], g[:, ~held], measured[~held])
    predicted = tried.ceiling - tried.gains(s[:, held], g[:, held]).sum(0)
    residual = np.square(measured[held] - predicted).sum() / np.square(measured[held] - measured[held].mean()).sum()
    found = _fit(users, s, g, measured)
    return replace(found, r2=1 - float(residual), points=len(measured))


def _fit(users: Sequence[str], s: np.ndarray, g: np.ndarray, losses: np.ndarray) -> LossSurface:
    """The best of several fits of parameters c, ρ, and A, a, α, log γ0, β of each user."""
    span, fewest = float(np.ptp(losses)), s.min(1)

    def surface(x: np.ndarray) -> LossSurface:
        own = x[2:].reshape(len(users), 5)
        return LossSurface(
            float(x[0]),
            {
                user: UserSurface(float(a), float(few), float(e), float(fewest[m]), float(np.exp(snr)), float(b))
                for m, (user, (a, few, e, snr, b)) in enumerate(zip(users, own, strict=True))
            },
            float(x[1]),
        )

    def residuals(x: np.ndarray) -> np.ndarray:
        tried = surface(x)
        return tried.ceiling - tried.gains(s, g).sum(0) - losses

    low = [0.0, 0.0, *([0.0, 0.0, 0.01, -12.0, 0.05] * len(users))]
    high = [float(losses.max()) + span, 4.0, *([2 * span, 1.0, 4.0, 12.0, 8.0] * len(users))]
    fits = []
    for log_snr, sharing in product(_LOG_STARTS, _SHARING_STARTS):
        start = [float(losses.max()), sharing, *([span / len(users), 0.3, 0.5, log_snr, 1.0] * len(users))]
        fits.append(least_squares(residuals, start, bounds=(low, high)))
    return surface(min(fits, key=lambda fit: fit.cost).x)
