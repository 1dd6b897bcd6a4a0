"""Allocation on what a run measured: loss surface, allocations of all budgets, and what they came to when simulated."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log10
from pathlib import Path

import numpy as np
import pandas as pd

from tokcom_phy.allocation.optimize import BASELINES, OPTIMUM, baselines, optimum
from tokcom_phy.allocation.problem import Allocation, Cell, Rate
from tokcom_phy.allocation.settings import AllocationSettings
from tokcom_phy.allocation.surface import LossSurface, fit_surface
from tokcom_phy.allocation.throughput import measured_efficiency
from tokcom_phy.experiments.resolve import ResolvedVariant
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.radio import load_link
from tokcom_phy.radio.link_budget import noise_density_dbm_hz, user_budget
from tokcom_phy.radio.link_config import inline_config
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.results.intervals import over_questions_and_seeds, scores_over_questions_and_seeds
from tokcom_phy.results.run import Run
from tokcom_phy.results.tables import ACCURACY
from tokcom_phy.training.metrics import ANSWER_LOSS
from tokcom_phy.utils.errors import UserError

R2_BAR = 0.95
"""R² on held-out points from which a surface is taken to describe the loss."""


@dataclass(frozen=True, eq=False)
class RunAllocation:
    """The allocation of a run's experiment.

    Attributes
    ----------
    run : Run
    """

    run: Run

    @property
    def settings(self) -> AllocationSettings:
        """The experiment's ``allocation``.

        Raises
        ------
        UserError
            If it has none.
        """
        settings = self.run.experiment.allocation
        if settings is None:
            raise UserError(
                f"experiment '{self.run.experiment.name}' has no allocation: give it one, see docs/allocation.md"
            )
        return settings

    @cached_property
    def surface(self) -> LossSurface:
        """The answer loss over lengths and SNRs, fitted to the run's points."""
        return self._fit("loss")

    @cached_property
    def errors(self) -> LossSurface:
        """The share of wrong answers, as a surface of the same form."""
        return self._fit("error")

    def _fit(self, column: str) -> LossSurface:
        found = self.measured
        users = list(self.settings.lengths)
        return fit_surface(
            {user: found[f"tokens_{user}"].tolist() for user in users},
            {user: found[f"snr_{user}"].tolist() for user in users},
            found[column].tolist(),
        )

    @cached_property
    def measured(self) -> pd.DataFrame:
        """A row a variant, link and SNR at which all users send, a mean over the seeds: tokens and SNR (a power ratio)
        of each user, loss [nat] and error, the share of wrong answers."""
        rows = []
        resolved = self.run.experiment.resolved()
        users = list(self.settings.lengths)
        correct = self.run.scores(ACCURACY)
        for place, losses in self.run.scores(ANSWER_LOSS).items():
            name, link, snr_db = place
            variant = resolved.variants.get(name)
            if variant is None or not set(users) <= set(variant.users):
                continue
            row = {"variant": name, "link": link, "snr_db": snr_db}
            row |= {f"tokens_{user}": variant.modalities[user] for user in users}
            row |= {f"snr_{user}": 10 ** (resolved.links[link].user_snr_db(user, snr_db) / 10) for user in users}
            marks = [correct[place][seed] for seed in losses]
            row |= {"loss": np.mean(list(losses.values())), "error": 1 - np.mean(marks)}
            rows.append(row)
        of_users = [f"{what}_{user}" for what in ("tokens", "snr") for user in users]
        return pd.DataFrame(rows, columns=["variant", "link", "snr_db", *of_users, "loss", "error"])

    def cell(self, bandwidth_hz: float, power_dbm: float) -> Cell:
        """The problem under these budgets.

        Raises
        ------
        UserError
            If a budget is zero or no number, a user has no gain, or there are too few points for a surface.
        """
        settings, experiment = self.settings, self.run.experiment
        config = inline_config("allocation.link", experiment.allocation_link()).uplink
        budgets = {user: user_budget(config, user) for user in settings.lengths}
        gains = {u: 10 ** ((b.rx_power_dbm - b.tx_power_dbm) / 10) for u, b in budgets.items()}
        return Cell(
            gains,
            bandwidth_hz,
            10 ** (power_dbm / 10 - 3),
            self.surface,
            {user: tuple(sorted(set(lengths))) for user, lengths in settings.lengths.items()},
            settings.weight,
            self._token_width,
            10 ** (noise_density_dbm_hz(settings.budget.noise_figure_db) / 10 - 3),
            settings.latency,
            settings.latency_unit_s,
            settings.power_limit,
            settings.sent,
            settings.bits,
            Quantizer(settings.bits).distortion,
            self._efficiency,
            settings.min_share,
        )

    @cached_property
    def _token_width(self) -> int:
        return foundation_width(self.run.experiment.foundation)

    @cached_property
    def _efficiency(self) -> Rate:
        name = self.settings.efficiency
        if self.settings.sent == "analog" or name == "shannon":
            return "shannon"
        return measured_efficiency(load_link(name), self._token_width)

    def allocations(self, bandwidth_hz: float, power_dbm: float) -> dict[str, Allocation]:
        """The optimum and each baseline under these budgets."""
        cell, fixed = self.cell(bandwidth_hz, power_dbm), self.settings.fixed_lengths()
        return {OPTIMUM: optimum(cell, fixed), **baselines(cell, fixed)}

    @cached_property
    def grid(self) -> dict[tuple[float, float], dict[str, Allocation]]:
        """(bandwidth [Hz], power [dBm]) → optimum and baselines, for all budgets of the experiment."""
        pairs = [(b, p) for b in self.settings.bandwidth_hz for p in self.settings.power_dbm]
        return {pair: self.allocations(*pair) for pair in pairs}

    def system_of(self, lengths: Mapping[str, int]) -> ResolvedVariant | None:
        """The first evaluated variant whose users send just so many tokens; None if there is none."""
        users = set(lengths)
        for variant in self.run.experiment.resolved().variants.values():
            if set(variant.users) == users and all(variant.modalities[u] == n for u, n in lengths.items()):
                return variant
        return None

    @property
    def simulation_path(self) -> Path:
        """Where the allocations are simulated: a run beside this one."""
        return self.run.path.resolve().parent / f"{self.run.path.resolve().name}-simulation"

    def simulated_budgets(self) -> list[tuple[float, float]]:
        """The budgets that are simulated."""
        if self.settings.simulate == "diagonal":
            return list(zip(self.settings.bandwidth_hz, self.settings.power_dbm, strict=False))
        return list(self.grid) if self.settings.simulate == "all" else []

    @cached_property
    def simulated(self) -> pd.DataFrame:
        """Predictions beside what the simulation measured, a row an allocation: bandwidth_hz, power_dbm, name, latency
        [s], predicted and measured loss [nat] and accuracy with intervals, and the objective of both; and by how much
        the optimum's objective is lower, question by question, with its interval. Intervals are over questions and
        seeds. Empty before the simulation."""
        if not (self.simulation_path / "points").is_dir():
            return pd.DataFrame()
        run = Run.open(self.simulation_path)
        all_losses, all_correct = _over_seeds(run, ANSWER_LOSS), _over_seeds(run, ACCURACY)
        weight, rows = self.settings.weight, []
        for pair in self.simulated_budgets():
            losses: dict[str, np.ndarray] = {}
            for name, found in self.grid[pair].items():
                variant = self.system_of(found.lengths)
                key = (variant.name, link_settings(found)[0]) if variant else None
                if key not in all_losses:
                    continue
                losses[name], correct = all_losses[key], all_correct[key]
                timed = weight * found.latency / self.settings.latency_unit_s
                loss, low, high = scores_over_questions_and_seeds(losses[name])
                row = {"bandwidth_hz": pair[0], "power_dbm": pair[1], "name": name, "latency": found.latency}
                row |= {"predicted_loss": found.loss, "loss": loss, "loss_low": low, "loss_high": high}
                accuracy, low, high = over_questions_and_seeds(correct)
                row |= {"predicted_accuracy": 1 - self.errors.loss(found.lengths, found.snrs)}
                row |= {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
                row |= {"predicted_objective": found.objective, "objective": timed + (1 - weight) * loss}
                if OPTIMUM in losses:
                    best = self.grid[pair][OPTIMUM]
                    sooner = weight * (found.latency - best.latency) / self.settings.latency_unit_s
                    gained = (1 - weight) * (losses[name] - losses[OPTIMUM]) + sooner
                    gain = scores_over_questions_and_seeds(gained)
                    row |= dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
                rows.append(row)
        return pd.DataFrame(rows)


def _over_seeds(run: Run, metric: str) -> dict[tuple[str, str], np.ndarray]:
    """(variant, link) → scores [seeds, questions]; where a seed is missing, nothing."""
    seeds = run.experiment.seeds
    scores = {(variant, link): by_seed for (variant, link, _), by_seed in run.scores(metric).items()}
    return {
        key: np.stack([by_seed[seed] for seed in seeds])
        for key, by_seed in scores.items()
        if set(seeds) <= set(by_seed)
    }


def link_settings(found: Allocation) -> tuple[str, dict[str, float], dict[str, float]]:
    """Name, power [dBm] and bandwidth [Hz] of each user, of the link that simulates an allocation.

    To 0.01 dB and 1 Hz, as the name says them: one that is found again on another machine, whose sums round
    differently, is the same link.
    """
    powers = {user: round(10 * log10(max(w, MIN_POWER_W)) + 30, 2) for user, w in found.power_w.items()}
    bandwidths = {user: float(round(hz)) for user, hz in found.bandwidth_hz.items()}
    parts = [f"{user}-{dbm:.2f}dBm-{bandwidths[user]:.0f}Hz" for user, dbm in powers.items()]
    return "_".join(parts).replace("--", "-m"), powers, bandwidths


MIN_POWER_W = 1e-11
"""What is simulated where an allocation gives a user no power: −80 dBm [W]."""

NAMES = (OPTIMUM, *BASELINES)
"""The optimum and the baselines, in the order in which they are shown."""
