"""Allocation: steps against general solvers, the whole against exhaustive search, and a user's mistakes."""

import time
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.optimize import minimize

from tokcom_phy.allocation.optimize import BASELINES, alternate, baselines, equal_split, optimum
from tokcom_phy.allocation.problem import Cell
from tokcom_phy.allocation.steps import bandwidth_step, length_step, power_step
from tokcom_phy.allocation.surface import LossSurface, UserSurface
from tokcom_phy.utils.errors import UserError

LENGTHS = (4, 8, 16, 32)
FIXED = {"audio": 16, "video": 16, "text": 16}


def random_cell(seed: int, **settings: object) -> Cell:
    """Three users at random path losses over a random surface."""
    rng = np.random.default_rng(seed)
    users = {
        name: UserSurface(
            rng.uniform(0.2, 1), rng.uniform(0.1, 0.6), rng.uniform(0.3, 2), 4, rng.uniform(0.2, 5), rng.uniform(0.5, 2)
        )
        for name in FIXED
    }
    gains = {name: 10 ** -rng.uniform(9, 12) for name in FIXED}
    given = {
        "weight": rng.uniform(0.1, 0.9),
        "bandwidth_hz": 10 ** rng.uniform(5.5, 7),
        "power_w": 10 ** rng.uniform(-2, -0.5),
    }
    surface = LossSurface(2.0, users, rng.uniform(0, 1.5))
    cell = Cell(gains, surface=surface, lengths=dict.fromkeys(FIXED, LENGTHS), **given)  # type: ignore[arg-type]
    return replace(cell, **settings)  # type: ignore[arg-type]


KINDS = [{}, {"latency": "sum"}, {"sent": "digital"}, {"sent": "digital", "latency": "sum"}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_bandwidth_and_power_steps_are_as_good_as_a_general_solver(seed: int, kind: dict[str, object]) -> None:
    cell = random_cell(seed, **kind)
    split, lengths = np.full(3, cell.power_w / 3), np.array([4, 16, 32])
    bands = np.full(3, cell.bandwidth_hz / 3)
    found = cell.evaluate(bandwidth_step(cell, split, lengths), split, lengths).objective
    least = cell.min_bandwidth / cell.bandwidth_hz
    for start in np.random.default_rng(seed).dirichlet(np.ones(3), 6):
        solved = minimize(
            lambda x: cell.evaluate(np.maximum(x, least) * cell.bandwidth_hz, split, lengths).objective,
            np.maximum(start, least),
            bounds=[(least, 1)] * 3,
            constraints={"type": "ineq", "fun": lambda x: 1 - x.sum()},
            method="SLSQP",
        )
        if solved.x.sum() <= 1 + 1e-9:
            assert found <= solved.fun * (1 + 1e-6)
    found = cell.evaluate(bands, power_step(cell, bands, lengths), lengths).objective
    for start in np.random.default_rng(seed).dirichlet(np.ones(3), 6):
        solved = minimize(
            lambda x: cell.evaluate(bands, np.maximum(x, 1e-9) * cell.power_w, lengths).objective,
            start,
            bounds=[(1e-9, 1)] * 3,
            constraints={"type": "ineq", "fun": lambda x: 1 - x.sum()},
            method="SLSQP",
        )
        if solved.x.sum() <= 1 + 1e-9:
            assert found <= solved.fun * (1 + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_length_step_is_exact(kind: dict[str, object]) -> None:
    for seed in range(5):
        cell = random_cell(seed, **kind)
        bands, powers = np.full(3, cell.bandwidth_hz / 3), np.full(3, cell.power_w / 3)
        best = min(cell.evaluate(bands, powers, np.array(s)).objective for s in product(LENGTHS, repeat=3))
        assert cell.evaluate(bands, powers, length_step(cell, bands, powers)).objective == pytest.approx(best)


@pytest.mark.parametrize("kind", KINDS)
def test_the_objective_never_rises_and_budgets_hold(kind: dict[str, object]) -> None:
    for seed in range(5):
        cell = random_cell(seed, **kind)
        history = alternate(cell, equal_split(cell, FIXED))
        objectives = [found.objective for found in history]
        assert all(after <= before for before, after in pairwise(objectives))
        assert objectives[-1] < objectives[0]
        assert sum(history[-1].bandwidth_hz.values()) <= cell.bandwidth_hz * (1 + 1e-9)
        assert sum(history[-1].power_w.values()) <= cell.power_w * (1 + 1e-9)


def exhaustive(cell: Cell) -> float:
    """All lengths; for each, end times on a fine grid, at which bandwidths follow, and powers by a fine water level."""
    best = np.inf
    parts = [cell.surface.users[user] for user in cell.users]
    knee, beta = np.array([p.snr for p in parts]), np.array([p.steepness for p in parts])
    for lengths in product(*cell.lengths.values()):
        uses = cell.uses(np.array(lengths))
        amplitude = cell.surface.amplitudes(lengths)
        times = uses.sum() / cell.bandwidth_hz * np.geomspace(1, 100, 300)
        bands = np.maximum(uses / times[:, None], cell.min_bandwidth)
        fits = bands.sum(1) <= cell.bandwidth_hz * (1 + 1e-12)
        scale = cell.snr_scale / bands
        low, high = np.full(len(times), -80.0), np.full(len(times), 80.0)
        for _ in range(60):
            level = (low + high) / 2
            slope = amplitude * beta * scale / knee / np.exp(level)[:, None]
            powers = knee / scale * np.maximum(slope ** (1 / (beta + 1)) - 1, 0)
            above = powers.sum(1) > cell.power_w
            low, high = np.where(above, level, low), np.where(above, high, level)
        loss = cell.surface.ceiling - (amplitude * (1 - (1 + powers * scale / knee) ** -beta)).sum(1)
        latency = (uses / bands).max(1) / cell.latency_unit_s
        best = min(best, float((cell.weight * latency + (1 - cell.weight) * loss)[fits].min()))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_within_a_percent_of_exhaustive_search_in_a_second(seed: int) -> None:
    cell = random_cell(100 + seed)
    began = time.process_time()
    found = optimum(cell, FIXED)
    assert time.process_time() - began < 1
    assert found.objective <= 1.01 * exhaustive(cell)
    assert all(found.objective <= other.objective for other in baselines(cell, FIXED).values())


def test_weights_at_the_ends() -> None:
    fastest = optimum(random_cell(0, weight=1.0), FIXED)
    assert set(fastest.lengths.values()) == {4}
    assert sum(fastest.bandwidth_hz.values()) == pytest.approx(random_cell(0).bandwidth_hz)
    patient = random_cell(0, weight=0.0)
    assert optimum(patient, FIXED).loss < fastest.loss
    alone = replace(patient, surface=replace(patient.surface, sharing=0.0))
    assert set(optimum(alone, FIXED).lengths.values()) == {32}


def test_baselines_leave_alone_what_they_do_not_optimise() -> None:
    cell = random_cell(3)
    found = baselines(cell, FIXED)
    assert set(found) == set(BASELINES)
    assert found["power alone"].bandwidth_hz == found["equal split"].bandwidth_hz
    assert found["fixed length"].lengths == FIXED
    assert found["power alone"].latency == found["equal split"].latency
    assert replace(cell, power_limit="each").power_w == pytest.approx(
        baselines(replace(cell, power_limit="each"), FIXED)["power alone"].power_w["audio"]
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bandwidth_hz": 0.0}, "bandwidth of 0 cannot"),
        ({"power_w": float("nan")}, "power of nan cannot"),
        ({"weight": 1.5}, "weight 1.5"),
        ({"weight": float("nan")}, "weight nan"),
        ({"gains": {"audio": 1e-9, "video": 1e-9}}, "'text' has no gain"),
        ({"lengths": {"audio": ()}}, "no lengths"),
        ({"lengths": {"audio": LENGTHS, "video": LENGTHS}}, "'text' of the loss surface has no lengths"),
        ({"lengths": dict.fromkeys(FIXED, tuple(range(1, 100)))}, "970299 combinations of lengths"),
    ],
)
def test_mistakes_are_one_line(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        random_cell(0, **settings)
