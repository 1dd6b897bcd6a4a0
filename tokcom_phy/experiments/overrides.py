"""Settings changed on the command line: ``--set A.B=C``."""

from collections.abc import Sequence
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tokcom_phy.utils.errors import UserError, reason
from tokcom_phy.utils.yaml_files import parse_yaml


def apply_overrides(settings: DictConfig, overrides: Sequence[str], example: str) -> None:
    """Change settings by ``A.B=C`` overrides, values as YAML; ``A.0.B=C`` reaches into the first item of a list.

    Parameters
    ----------
    settings : DictConfig
        Changed in place.
    overrides : sequence of str
    example : str
        What the error message shows, such as ``speed=30``.

    Raises
    ------
    UserError
        If one is not of that form, or leads past what the settings hold.
    """
    for override in overrides:
        if "=" not in override.strip("="):
            raise UserError(f"--set {override[:100]}: write KEY=VALUE, for example --set {example}")
        parse_yaml(override.partition("=")[2], f"--set {override.partition('=')[0]}")
        try:
            settings.merge_with_dotlist([override])
        except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
            no_item = isinstance(error, IndexError) or type(error) is ValueError
            why = "the list has no such item, they are numbered from 0" if no_item else reason(error)
            raise UserError(f"--set {override[:100]}: {why}") from error


def parse_overrides(overrides: Sequence[str], example: str) -> dict[str, Any]:
    """The settings that overrides alone make: ``{"A": {"B": C}}``; see `apply_overrides`."""
    settings = OmegaConf.create({})
    apply_overrides(settings, overrides, example)
    return cast(dict[str, Any], OmegaConf.to_container(settings))
