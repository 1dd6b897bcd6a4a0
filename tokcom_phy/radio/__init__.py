"""The radio: links, from which realisations are drawn that are then applied to a payload."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokcom_phy.radio.link import Link
    from tokcom_phy.radio.loading import load_link
    from tokcom_phy.radio.state import LinkState

_HOMES = {"Link": "link", "LinkState": "state", "load_link": "loading"}

__all__ = ["Link", "LinkState", "load_link"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that link files can be read without PyTorch."""
    if name in _HOMES:
        return getattr(import_module(f"tokcom_phy.radio.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tokcom_phy.radio' has no attribute '{name}'")
