"""Multimodal token communication over realistic multiuser radio links, into a large language model."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokcom_phy.errors import UserError
    from tokcom_phy.foundation import Foundation
    from tokcom_phy.losses import contrastive_loss, pool, reconstruction_loss
    from tokcom_phy.power import noise_power, normalize_power
    from tokcom_phy.radio import Link, LinkState, load_link
    from tokcom_phy.system import Radio, SystemConfig, TokenCommSystem
    from tokcom_phy.tokens import from_symbols, slide, to_symbols

__version__ = version("tokcom-phy")

_HOMES = {
    "UserError": "errors",
    "Foundation": "foundation",
    "contrastive_loss": "losses",
    "pool": "losses",
    "reconstruction_loss": "losses",
    "noise_power": "power",
    "normalize_power": "power",
    "Link": "radio",
    "LinkState": "radio",
    "load_link": "radio",
    "Radio": "system",
    "SystemConfig": "system",
    "TokenCommSystem": "system",
    "from_symbols": "tokens",
    "slide": "tokens",
    "to_symbols": "tokens",
}

__all__ = [
    "Foundation",
    "Link",
    "LinkState",
    "Radio",
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
        return getattr(import_module(f"tokcom_phy.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tokcom_phy' has no attribute '{name}'")
