"""Settings changed on the command line: ``--set A.B=C``."""

from collections.abc import Sequence
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tokcom_phy.errors import UserError


def parse_overrides(overrides: Sequence[str], example: str) -> dict[str, Any]:
    """Read ``A.B=C`` overrides, values as YAML, into nested settings: ``{"A": {"B": C}}``.

    Parameters
    ----------
    overrides : sequence of str
    example : str
        What the error message shows, such as ``speed=30``.

    Raises
    ------
    UserError
        If one is not of that form.
    """
    for override in overrides:
        if "=" not in override.strip("="):
            raise UserError(f"--set {override}: write KEY=VALUE, for example --set {example}")
    try:
        return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides))))
    except (OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        raise UserError(f"--set {' '.join(overrides)}: {str(error).splitlines()[0]}") from error
