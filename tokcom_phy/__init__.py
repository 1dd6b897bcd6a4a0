"""Multimodal token communication over realistic multiuser radio links, into a large language model."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokcom_phy.model.foundation import Foundation
    from tokcom_phy.model.losses import contrastive_loss, pool, reconstruction_loss
    from tokcom_phy.model.slide import slide
    from tokcom_phy.model.system import TokenCommSystem
    from tokcom_phy.model.system_config import SystemConfig
    from tokcom_phy.model.transmission import LinkUse
    from tokcom_phy.model.transmission import LinkUse as Radio
    from tokcom_phy.radio import Link, LinkState, load_link
    from tokcom_phy.radio.power import noise_power, normalize_power
    from tokcom_phy.radio.symbols import from_symbols, to_symbols
    from tokcom_phy.results.run import Run
    from tokcom_phy.utils.errors import UserError

__version__ = version("tokcom-phy")

_HOMES = {
    "UserError": "utils.errors",
    "Foundation": "model.foundation",
    "contrastive_loss": "model.losses",
    "pool": "model.losses",
    "reconstruction_loss": "model.losses",
    "noise_power": "radio.power",
    "normalize_power": "radio.power",
    "Link": "radio",
    "LinkState": "radio",
    "load_link": "radio",
    "LinkUse": "model.transmission",
    "Radio": "model.transmission",
    "Run": "results.run",
    "SystemConfig": "model.system_config",
    "TokenCommSystem": "model.system",
    "from_symbols": "radio.symbols",
    "slide": "model.slide",
    "to_symbols": "radio.symbols",
}

_RENAMED = {"Radio": "LinkUse"}

__all__ = [
    "Foundation",
    "Link",
    "LinkState",
    "LinkUse",
    "Radio",
    "Run",
    "SystemConfig",
    "TokenCommSystem",
    "UserError",
    "contrastive_loss",
    "from_symbols",
    "load_link",
    "noise_power",
    "normalize_power",
    "pool",
    "reconstruction_loss",
    "slide",
    "to_symbols",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line starts without PyTorch."""
    if name in _HOMES:
        return getattr(import_module(f"tokcom_phy.{_HOMES[name]}"), _RENAMED.get(name, name))
    raise AttributeError(f"module 'tokcom_phy' has no attribute '{name}'")
