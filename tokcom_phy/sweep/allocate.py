"""Allocation of an experiment: measured by its run, printed by ``tokcom allocate``, simulated by ``tokcom run``."""

from math import log10
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tokcom_phy.allocation.optimize import OPTIMUM
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import Stage
from tokcom_phy.experiments.run_dir import is_run_dir
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.experiments.validation import check
from tokcom_phy.results.allocation import R2_BAR, RunAllocation, link_settings
from tokcom_phy.results.figures import draw_figures
from tokcom_phy.results.run import Run
from tokcom_phy.sweep.executors.distributed import launched
from tokcom_phy.sweep.reevaluate import trained_variant
from tokcom_phy.sweep.run import run
from tokcom_phy.utils.errors import UserError


def allocate(
    experiment: str,
    bandwidth_hz: float | None = None,
    power_dbm: float | None = None,
    *,
    profile: str | None = None,
    out: Path | None = None,
    overrides: list[str] | None = None,
    workers: int | None = None,
) -> Group:
    """Allocate bandwidth, power and tokens by what a run measured, which is made or finished first.

    Parameters
    ----------
    experiment : name of an experiment, path of a YAML file, or a run directory
    bandwidth_hz, power_dbm : budgets [Hz], [dBm]; by default the middle ones of the experiment's
    profile, out, overrides, workers : as for `tokcom_phy.sweep.run.run`

    Returns
    -------
    Group
        The allocation and the baselines as tables of at most 80 columns.

    Raises
    ------
    UserError
        If the experiment has no allocation, a budget is zero or no number, or there are too few points for a surface.
    """
    if is_run_dir(Path(experiment)):
        folder = Path(experiment)
    else:
        settings = load_experiment(experiment, profile, overrides)
        if settings.allocation is None:
            raise UserError(f"experiment '{settings.name}' has no allocation: give it one, see docs/allocation.md")
        folder = run(settings, out=out, workers=workers)
    found = RunAllocation(Run.open(folder))
    chosen = found.settings
    bandwidth = sorted(chosen.bandwidth_hz)[len(chosen.bandwidth_hz) // 2] if bandwidth_hz is None else bandwidth_hz
    power = sorted(chosen.power_dbm)[len(chosen.power_dbm) // 2] if power_dbm is None else power_dbm
    return allocation_tables(found, bandwidth, power)


def allocation_tables(found: RunAllocation, bandwidth_hz: float, power_dbm: float) -> Group:
    """The allocation under two budgets, user by user, and what it and the baselines come to."""
    allocations = found.allocations(bandwidth_hz, power_dbm)
    best = allocations[OPTIMUM]
    users = Table(title=f"{bandwidth_hz / 1e6:g} MHz, {power_dbm:g} dBm", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("user", "tokens", "kHz", "mW", "SNR [dB]", "ms"):
        users.add_column(column, justify="left" if column == "user" else "right")
    cell = found.cell(bandwidth_hz, power_dbm)
    times = cell.latencies_of(best)
    for user in best.lengths:
        users.add_row(
            escape(user),
            f"{best.lengths[user]}",
            f"{best.bandwidth_hz[user] / 1e3:.1f}",
            f"{1e3 * best.power_w[user]:.3g}",
            decibels(best.snrs[user]),
            f"{1e3 * times[user]:.3g}",
        )
    totals = Table(box=box.SIMPLE_HEAD)
    for column in ("", "objective", "latency [ms]", "loss [nat]", "accuracy [%]", "tokens"):
        totals.add_column(column, justify="left" if column == "" else "right")
    for name, one in allocations.items():
        accuracy = 100 * (1 - found.errors.loss(one.lengths, one.snrs))
        tokens = " ".join(map(str, one.lengths.values()))
        totals.add_row(
            name, f"{one.objective:.4f}", f"{1e3 * one.latency:.3g}", f"{one.loss:.3f}", f"{accuracy:.1f}", tokens
        )
    return Group(users, totals, *_of_the_surface(found))


def _of_the_surface(found: RunAllocation) -> list[RenderableType]:
    surface = found.surface
    words = f"loss surface: R² {surface.r2:.3f} on held-out points, {surface.points} points in all"
    if surface.r2 < R2_BAR:
        words += f"; below {R2_BAR}: measure at more points or with more questions before trusting it"
    return [words]


def decibels(ratio: float) -> str:
    """A power ratio in decibels, or −∞."""
    return f"{10 * log10(ratio):.1f}" if ratio > 0 else "−∞"


def run_with_simulation(
    experiment: str,
    *,
    profile: str | None = None,
    out: Path | None = None,
    overrides: list[str] | None = None,
    workers: int | None = None,
    ray: str | None = None,
    gpus_per_task: float | None = None,
    fresh: bool = False,
    until: Stage = "evaluate",
) -> Path:
    """`tokcom_phy.sweep.run.run`, and then the simulation of what an experiment allocates, in a run beside it."""
    folder = run(
        experiment,
        profile=profile,
        out=out,
        overrides=overrides,
        workers=workers,
        ray=ray,
        gpus_per_task=gpus_per_task,
        fresh=fresh,
        until=until,
    )
    if launched():
        return folder  # by torchrun, whose processes end with the run: the same command without it simulates
    if until == "evaluate" and Run.open(folder).experiment.allocation is not None:
        simulate(folder, workers=workers, fresh=fresh)
    return folder


def simulate(folder: Path, *, workers: int | None = None, fresh: bool = False) -> None:
    """Send the questions of a run over links with the powers and bandwidths of its allocations; draw its figures anew.

    Raises
    ------
    UserError
        As `tokcom_phy.sweep.run.run`.
    """
    found = RunAllocation(Run.open(folder))
    experiment = simulation(found)
    if experiment is None:
        return
    run(experiment, out=found.simulation_path, workers=workers, fresh=fresh)
    console = Console()
    for figure in draw_figures(Run.open(folder), own=True):
        console.print(f"figure: {figure}", markup=False, soft_wrap=True)


def simulation(found: RunAllocation) -> Experiment | None:
    """The experiment that simulates allocations, each distinct one once, with the systems that the run trained; None if
    there is nothing to simulate."""
    original = found.run.experiment
    links: dict[str, dict[str, Any]] = {}
    series: list[dict[str, Any]] = []
    variants: dict[str, dict[str, Any]] = {}
    for pair in found.simulated_budgets():
        for one in found.grid[pair].values():
            variant = found.system_of(one.lengths)
            if variant is None:
                continue
            name, powers, bandwidths = link_settings(one)
            links[name] = original.allocation_link(tx_power_dbm=powers, bandwidth_hz=bandwidths)
            variants[variant.name] = trained_variant(original, found.run.path, variant.name)
            if (asked := {"variants": [variant.name], "links": [name]}) not in series:
                series.append(asked)
    if not series:
        return None
    settings = {
        **original.model_dump(),
        "name": found.simulation_path.name,
        "title": f"{original.title}: simulated",
        "links": links,
        "variants": variants,
        "evaluate": series,
        "grid": {},
        "allocation": None,
        "figures": [],
    }
    return check(Experiment, settings, str(found.simulation_path))
