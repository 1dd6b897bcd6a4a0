"""The radio: links, from which realisations are drawn that are then applied to a payload."""

from pathlib import Path
from typing import Any

from rich.table import Table

from tokcom_phy.files import builtin_names
from tokcom_phy.radio.erasure import ErasureLink
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.schema import ErasureConfig, FlatConfig, OfdmConfig, read_config
from tokcom_phy.radio.state import LinkState

__all__ = ["Link", "LinkState", "describe_links", "load_link"]

_FAMILIES: dict[type, type[Link]] = {FlatConfig: FlatLink, OfdmConfig: OfdmLink, ErasureConfig: ErasureLink}


def load_link(name_or_path: str | Path, *, device: str | None = None, **overrides: Any) -> Link:
    """Load a link: a built-in one by name, a user's own by the path of its YAML file.

    Parameters
    ----------
    name_or_path : str or Path
    device : str, optional
        Where the link draws, such as ``"cpu"`` or ``"cuda:0"``; by default where Sionna computes.
    **overrides
        Keys of the link file to replace, such as ``num_rx_ant=16``.

    Returns
    -------
    Link

    Raises
    ------
    UserError
        If there is no such link, a key is unknown, or a value does not fit.
    """
    name, config = read_config(name_or_path, overrides)
    return _FAMILIES[type(config)](name, config, device)


def describe_links() -> Table:
    """A table of the built-in links, one line each."""
    table = Table("link", "what it is", box=None)
    for name in builtin_names("links"):
        table.add_row(name, read_config(name, {})[1].description)
    return table
