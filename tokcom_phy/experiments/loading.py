"""An experiment's file: read, laid over its profile, changed by overrides, checked and written down again."""

import json
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tokcom_phy.experiments.overrides import apply_overrides
from tokcom_phy.experiments.profiles import PROFILES
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.experiments.validation import check
from tokcom_phy.radio.link_config import anchor_target
from tokcom_phy.utils.errors import UserError, nearest, reason
from tokcom_phy.utils.files import find
from tokcom_phy.utils.yaml_files import read_yaml


def load_experiment(name_or_path: str, profile: str | None = None, overrides: list[str] | None = None) -> Experiment:
    """Read an experiment, lay it over its profile, apply ``a.b=c`` overrides and check the whole.

    Settings under ``profiles.NAME`` of the file hold for that profile alone.

    Raises
    ------
    UserError
        For an unknown experiment, profile, key, link or variant (the nearest names are suggested) and every value that
        does not fit.
    """
    path = find("experiments", name_or_path)
    settings = _read(path)
    profile = str(profile or settings.get("profile") or "tiny")
    if profile not in PROFILES:
        raise UserError(f"unknown profile '{profile}': {nearest(profile, PROFILES)}")
    settings["profile"] = profile
    sections = settings.pop("profiles", {})
    if not isinstance(sections, dict) or not set(sections) <= set(PROFILES):
        raise UserError(f"{path.name}: profiles: give settings for one profile under its name: {', '.join(PROFILES)}")
    try:
        merged = cast(DictConfig, OmegaConf.merge(PROFILES[profile], settings, sections.get(profile, {})))
        apply_overrides(merged, overrides or [], "stage2.steps=100")
        if merged["profile"] != profile:
            raise UserError("--set profile: a profile is more than its name: give --profile NAME instead")
        resolved = _with_lengths(cast(dict[str, Any], OmegaConf.to_container(merged, resolve=True)))
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        raise UserError(f"{path.name}: cannot apply the settings: {reason(error)}") from error
    figures = resolved.get("figures") or []
    if resolved.get("grid") and isinstance(figures, list) and "grid" not in figures:
        resolved["figures"] = [*figures, "grid"]
    experiment = check(Experiment, resolved, path.name)
    try:
        experiment.resolved()
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from error
    return experiment


def as_yaml(experiment: Experiment) -> str:
    """The resolved settings as YAML, what a run directory keeps as ``config.yaml``."""
    return yaml.safe_dump(json.loads(experiment.model_dump_json()), sort_keys=False, allow_unicode=True)


def as_recipe(experiment: Experiment) -> str:
    """The resolved settings as an experiment's file: read again, over the same profile, they are the same experiment.

    A modality that the profile has and the experiment has not is left out by null.
    """
    settings = json.loads(experiment.model_dump_json())
    absent = dict.fromkeys(set(PROFILES[experiment.profile]["encoders"]) - set(experiment.encoders))
    settings["encoders"] |= absent
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    return f"# {' '.join(experiment.title.split())}: every setting, resolved.   Run: tokcom run FILE.yaml\n{text}"


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path in extended_by:
        raise UserError(f"{path} extends itself: {' → '.join(p.name for p in (*extended_by, path))}")
    settings = read_yaml(path)
    if not isinstance(settings, dict):
        raise UserError(f"{path} holds no settings: write KEY: VALUE lines, see the built-in experiments")
    inline = settings.get("links")
    for link in inline.values() if isinstance(inline, dict) else ():
        anchor_target(link, path.parent)
    variants = settings.get("variants")
    for section in (settings, *(variants.values() if isinstance(variants, dict) else ())):
        _anchor_components(section, path.parent)
    if base := settings.pop("extends", None):
        parent = _read(find("experiments", str(base)), (*extended_by, path))
        try:
            settings = OmegaConf.to_container(OmegaConf.merge(parent, settings))
        except (OmegaConfBaseException, TypeError) as error:
            raise UserError(f"{path}: cannot extend '{base}': {reason(error)}") from error
    return settings


def _anchor_components(section: Any, folder: Path) -> None:
    """Note of the components and metrics in a section that their modules lie beside the YAML file."""
    for part in ("transmitter", "receiver", "selector", "metrics") if isinstance(section, dict) else ():
        named = section.get(part)
        anchor_target(named, folder)
        for component in named.values() if isinstance(named, dict) else named if isinstance(named, list) else ():
            anchor_target(component, folder)


def _with_lengths(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which the profile's named token lengths have become numbers."""
    named = settings.pop("named_lengths")

    def numbers(lengths: object, where: str) -> object:
        if not isinstance(lengths, dict):
            return lengths
        return {m: number(length, f"{where}.{m}") for m, length in lengths.items()}

    def number(length: object, where: str) -> object:
        if isinstance(length, list):
            return [number(one, where) for one in length]
        if isinstance(length, str) and length not in named:
            raise UserError(f"{where}: unknown length '{length}': {nearest(length, named)}")
        return named[length] if isinstance(length, str) else length

    settings["lengths"] = numbers(settings["lengths"], "lengths")
    allocation = settings.get("allocation")
    if isinstance(allocation, dict):
        for key in ("lengths", "fixed"):
            if key in allocation:
                allocation[key] = numbers(allocation[key], f"allocation.{key}")
    variants = settings.get("variants")
    for name, variant in variants.items() if isinstance(variants, dict) else ():
        if isinstance(variant, dict) and "lengths" in variant:
            variant["lengths"] = numbers(variant["lengths"], f"variants.{name}.lengths")
    return settings
