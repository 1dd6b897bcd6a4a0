"""The loss surface: a fit finds what points were made of, is monotone, and needs enough of them."""

import numpy as np
import pytest

from tokcom_phy.allocation.surface import LossSurface, UserSurface, fit_surface
from tokcom_phy.utils.errors import UserError

TRUE = LossSurface(
    1.2, {"audio": UserSurface(0.3, 0.4, 0.8, 4, 0.5, 1.2), "video": UserSurface(0.6, 0.2, 1.5, 4, 2.0, 0.9)}
)


def measured(count: int, noise: float = 0.0) -> tuple[dict[str, list[float]], dict[str, list[float]], list[float]]:
    rng = np.random.default_rng(0)
    lengths = {user: rng.choice([4, 8, 16, 32], count).tolist() for user in TRUE.users}
    snrs = {user: (10 ** rng.uniform(-2.5, 2, count)).tolist() for user in TRUE.users}
    at = [({u: lengths[u][i] for u in lengths}, {u: snrs[u][i] for u in snrs}) for i in range(count)]
    return lengths, snrs, [TRUE.loss(*where) + noise * rng.normal() for where in at]


def test_a_fit_finds_the_surface() -> None:
    found = fit_surface(*measured(60))
    assert found.r2 > 0.999
    for user, part in TRUE.users.items():
        for length, snr in ((4, 0.1), (8, 1.0), (16, 30.0)):
            assert found.users[user].gain(length, snr) == pytest.approx(float(part.gain(length, snr)), abs=0.02)


def test_noise_lowers_r2_and_leaves_the_surface_monotone() -> None:
    found = fit_surface(*measured(60, noise=0.2))
    assert found.r2 < 0.95
    for part in found.users.values():
        assert (np.diff([part.gain(s, 1.0) for s in range(1, 64)]) >= 0).all()
        gains = part.gain(8, np.linspace(0, 20, 100))
        assert (np.diff(gains) >= 0).all()
        assert (np.diff(gains, 2) <= 1e-12).all()


def test_too_few_points_are_one_line() -> None:
    with pytest.raises(UserError, match="12 points are too few to fit a surface of 11 parameters for 2 users"):
        fit_surface(*measured(12))
    lengths, snrs, losses = measured(30)
    with pytest.raises(UserError, match="all measured losses are equal"):
        fit_surface(lengths, snrs, [1.0] * len(losses))
