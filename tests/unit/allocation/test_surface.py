"""The loss surface: a fit finds what points were made of, falls with the SNR, and needs enough of them."""

from dataclasses import replace

import numpy as np
import pytest

from tokcom_phy.allocation.surface import LossSurface, UserSurface, fit_surface
from tokcom_phy.utils.errors import UserError

TRUE = LossSurface(
    1.2,
    {"audio": UserSurface(0.3, 0.4, 0.8, 4, 0.5, 1.2), "video": UserSurface(0.6, 0.2, 1.5, 4, 2.0, 0.9)},
    sharing=0.7,
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
    assert found.sharing == pytest.approx(0.7, abs=0.02)
    for lengths, snrs in (((4, 4), (0.1, 3.0)), ((8, 32), (1.0, 0.1)), ((16, 8), (30.0, 1.0))):
        assert found.gains(lengths, snrs) == pytest.approx(TRUE.gains(lengths, snrs), abs=0.02)


def test_what_a_user_adds_goes_with_its_share_of_the_tokens() -> None:
    few, many = TRUE.amplitudes((8, 8)), TRUE.amplitudes((8, 32))
    share = 2 / (1 + 4**0.7)
    assert many[0] == pytest.approx(few[0] * share)
    assert many[1] == pytest.approx(
        few[1] * (2 - share) * TRUE.users["video"].of_length(32) / TRUE.users["video"].of_length(8)
    )
    alone = replace(TRUE, sharing=0.0)
    assert alone.amplitudes((8, 32))[0] == pytest.approx(alone.amplitudes((8, 8))[0])


def test_slopes_are_derivatives_of_the_gains() -> None:
    lengths, snrs, step = np.array([8.0, 32.0]), np.array([0.3, 4.0]), 1e-6
    risen = (TRUE.gains(lengths, snrs + step) - TRUE.gains(lengths, snrs - step)) / (2 * step)
    assert TRUE.slopes(lengths, snrs) == pytest.approx(risen, rel=1e-6)


def test_noise_lowers_r2_and_leaves_the_surface_falling_and_convex_in_every_snr() -> None:
    found = fit_surface(*measured(60, noise=0.2))
    assert found.r2 < 0.95
    assert all((np.diff(part.of_length(np.arange(1, 64))) >= 0).all() for part in found.users.values())
    snrs = np.linspace(0, 20, 100)
    for user in range(2):
        at = np.ones((2, 100))
        at[user] = snrs
        gains = found.gains(np.full((2, 100), 8.0), at).sum(0)
        assert (np.diff(gains) >= 0).all()
        assert (np.diff(gains, 2) <= 1e-12).all()


def test_too_few_points_are_one_line() -> None:
    with pytest.raises(UserError, match="12 points are too few to fit a surface of 12 parameters for 2 users"):
        fit_surface(*measured(12))
    lengths, snrs, losses = measured(30)
    with pytest.raises(UserError, match="all measured losses are equal"):
        fit_surface(lengths, snrs, [1.0] * len(losses))
