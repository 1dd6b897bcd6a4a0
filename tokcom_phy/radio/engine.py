"""The engine of the radio: Sionna 2 on PyTorch or Sionna 1.2 on TensorFlow."""

import os
from importlib import metadata
from typing import Literal

from tokcom_phy.utils.errors import UserError

Engine = Literal["torch", "tensorflow"]

REQUEST = "TOKCOM_ENGINE"
"""Environment variable that requires an engine; by default the installed one is used."""

_INSTALL = {
    "torch": 'in a Python environment of its own, pip install "tokcom-phy"',
    "tensorflow": 'in a Python environment of its own, pip install "tokcom-phy[tensorflow]"',
}


def engine() -> Engine:
    """The installed engine: Sionna 2 runs on torch, Sionna 1.2 on TensorFlow; a Python environment holds one of them.

    Raises
    ------
    UserError
        If Sionna is missing, or the environment variable `REQUEST` requires an engine that is not installed.
    """
    installed = _installed()
    asked = os.environ.get(REQUEST) or installed
    if asked not in _INSTALL:
        raise UserError(f"{REQUEST} requires the engine '{asked}': choose one of {', '.join(sorted(_INSTALL))}")
    if asked != installed:
        raise UserError(
            f"{REQUEST} requires the {asked} engine, installed is {describe(installed)}: {_INSTALL[asked]}, "
            f"or unset {REQUEST}"
        )
    return installed


def check_request() -> None:
    """Raise a `UserError` if the required engine is not installed."""
    if os.environ.get(REQUEST):
        engine()


def describe(engine: Engine) -> str:
    """The installed engine and its versions, as in ``torch: Sionna 2.2.0 on PyTorch 2.13.0``."""
    name = {"torch": "PyTorch", "tensorflow": "TensorFlow"}[engine]
    return f"{engine}: Sionna {metadata.version('sionna')} on {name} {metadata.version(engine)}"


def _installed() -> Engine:
    versions = {name: _version(name) for name in ("sionna", "tensorflow")}
    if versions["sionna"] is None:
        raise UserError('Sionna is not installed: pip install "tokcom-phy"')
    if int(versions["sionna"].split(".")[0]) >= 2:
        return "torch"
    if versions["tensorflow"] is None:
        raise UserError(f'Sionna {versions["sionna"]} needs TensorFlow: pip install "tokcom-phy[tensorflow]"')
    return "tensorflow"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
