"""A trained variant of a run on other links: the command ``tokcom evaluate RUN:VARIANT``."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.run_dir import DATA, QUESTIONS, point_file
from tokcom_phy.experiments.schema import Experiment, Variant
from tokcom_phy.experiments.series import Series
from tokcom_phy.experiments.validation import check, merged
from tokcom_phy.results.run import Run
from tokcom_phy.sweep.opening import locked, open_run
from tokcom_phy.sweep.run import run
from tokcom_phy.utils.errors import UserError, nearest


def reevaluate(
    run_dir: Path,
    variant: str,
    links: Sequence[str],
    changes: Mapping[str, Any],
    snr_db: Sequence[float] = (),
    *,
    out: Path | None = None,
    workers: int | None = None,
    fresh: bool = False,
) -> Path:
    """Evaluate a trained variant of a run over other links, in a run of its own.

    The new run has the original's questions, seeds and blind control, and its points over the first link that the
    variant was evaluated on: accuracies are compared with these question by question.

    Parameters
    ----------
    run_dir : Path
        The original run.
    variant : str
        One of its variants.
    links : sequence of str
        Names or paths of links, or links of the original experiment; by default the first that the variant was
        evaluated on.
    changes : key → value
        Keys of these links that are changed.
    snr_db : sequence of float, optional
        SNRs [dB]; by default the original's.
    out : Path, optional
        Run directory, by default beside the original, named after it, the variant and the links.
    workers, fresh
        As for `tokcom_phy.sweep.run.run`.

    Returns
    -------
    Path
        The new run directory.

    Raises
    ------
    UserError
        If there is no such run, variant or link, or the variant is not trained.
    """
    original = Run.open(run_dir).experiment
    experiment = derived_experiment(original, run_dir, variant, links, changes, snr_db)
    target = Path(os.path.realpath(out or run_dir.resolve().parent / experiment.name))
    with locked(target):
        open_run(target, experiment, fresh)
        _copy_points(experiment, original, run_dir, target)
    return run(experiment, out=target, workers=workers)


def derived_experiment(
    original: Experiment,
    run_dir: Path,
    variant: str,
    links: Sequence[str],
    changes: Mapping[str, Any],
    snr_db: Sequence[float],
) -> Experiment:
    """The experiment that evaluates a variant of a run over other links; see `reevaluate`."""
    resolved = original.resolved()
    if variant not in resolved.variants:
        raise UserError(f"{run_dir} has no variant '{variant}': {nearest(variant, resolved.variants)}")
    visited = resolved.visits.get(variant, {})
    if not visited:
        raise UserError(f"'{variant}' of {run_dir} was not evaluated there: name a variant that was")
    if not (links or changes):
        raise UserError("nothing to evaluate: name a link by --link, or change one by --set KEY=VALUE")
    reference, snrs = next(iter(visited.items()))
    own, names = dict(original.links), []
    for link in links or [reference]:
        name = "-".join([Path(link).stem, *(f"{key}-{value}" for key, value in changes.items())])
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        if changes:
            own[name] = merged(original.links.get(link, {"extends": link}), changes)
        names.append(name if changes else link)
    blind = [
        other.name
        for other in resolved.variants.values()
        if other.blind and other.name != variant and other.question == resolved.variants[variant].question
    ]
    asked = {
        "variants": [variant, *blind[:1]],
        "links": [reference, *(name for name in names if name != reference)],
        "snr_db": snr_db or snrs,
    }
    series = check(Series, asked, "--snr, --link")
    settings = {
        **original.model_dump(),
        "name": "-".join([run_dir.resolve().name, variant, *(Path(name).stem for name in names)]),
        "title": f"{variant} of {original.title}, on other links",
        "links": own,
        "variants": {name: trained_variant(original, run_dir, name) for name in series.variants},
        "evaluate": [series.model_dump()],
        "grid": {},
        "figures": ["accuracy_vs_snr"],
    }
    experiment = check(Experiment, settings, f"{run_dir}:{variant}")
    experiment.resolved()
    return experiment


def trained_variant(original: Experiment, run_dir: Path, name: str) -> dict[str, Any]:
    """Settings of a variant that is taken as the original run trained it."""
    item = original.resolved().variants[name]
    settings = original.variants[item.base].model_dump()
    settings["stage1"], settings["stage2"] = {}, {}
    folder = item.checkpoint or (run_dir / "checkpoints" / name).resolve()
    missing = [seed for seed in original.seeds if not (item.system_folder(run_dir, seed) / "config.json").is_file()]
    if missing:
        raise UserError(f"'{name}' of {run_dir} is not trained with seed {missing[0]}: finish tokcom run first")
    return Variant.model_validate({**settings, "checkpoint": folder}).model_dump()


def _copy_points(experiment: Experiment, original: Experiment, run_dir: Path, target: Path) -> None:
    """Take over the original's points over links that are the same in both, and the questions that they rest on."""
    before, now = original.resolved(), experiment.resolved()
    same = {
        name
        for name in now.links.keys() & before.links.keys()
        if now.links[name].settings() == before.links[name].settings()
    }
    jobs: list[Job] = [job for job in now.jobs if job.stage == "evaluate" and job.link.name in same]
    names = [name for job in jobs for name in job.outputs if point_file(run_dir, name).is_file()]
    for name in names:
        source, copy = point_file(run_dir, name), point_file(target, name)
        if not copy.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    for inputs in (QUESTIONS, DATA):
        if (run_dir / inputs).is_file() and not (target / inputs).is_file():
            shutil.copyfile(run_dir / inputs, target / inputs)
