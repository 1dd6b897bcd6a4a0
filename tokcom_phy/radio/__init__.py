"""The radio: links, from which realisations are drawn that are then applied to a payload."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokcom_phy.radio.draw_request import DrawRequest
    from tokcom_phy.radio.family_config import LinkFamilyConfig
    from tokcom_phy.radio.link import Link
    from tokcom_phy.radio.loading import build_link, load_link
    from tokcom_phy.radio.state import LinkState

_HOMES = {
    "DrawRequest": "draw_request",
    "Link": "link",
    "LinkFamilyConfig": "family_config",
    "LinkState": "state",
    "build_link": "loading",
    "load_link": "loading",
}

__all__ = ["DrawRequest", "Link", "LinkFamilyConfig", "LinkState", "build_link", "load_link"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that link files can be read without PyTorch."""
    if name in _HOMES:
        return getattr(import_module(f"tokcom_phy.radio.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tokcom_phy.radio' has no attribute '{name}'")
