"""The radio: links, from which realisations are drawn that are then applied to a payload."""

from pathlib import Path
from typing import Any

from rich.table import Table

from tokcom_phy.errors import UserError
from tokcom_phy.files import builtin_names
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.erasure import ErasureLink
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.schema import DigitalConfig, ErasureConfig, FlatConfig, OfdmConfig, read_config
from tokcom_phy.radio.state import LinkState

__all__ = ["Link", "LinkState", "describe_links", "load_link"]

_ANALOG: dict[type, type[Link]] = {FlatConfig: FlatLink, OfdmConfig: OfdmLink, ErasureConfig: ErasureLink}


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
    if isinstance(config, DigitalConfig):
        return DigitalLink(name, config, _load_below(name, config.over, device))
    return _ANALOG[type(config)](name, config, device)


def _load_below(name: str, over: str, device: str | None) -> Link:
    """The link that digital link ``name`` goes over, which equalises without bias, as a demapper needs it."""
    config = read_config(over, {})[1]
    if isinstance(config, DigitalConfig):
        raise UserError(f"link '{name}' goes over '{over}', which is digital itself: name a link of another family")
    if isinstance(config, ErasureConfig):
        return load_link(over, device=device)
    if config.combining == "none":
        raise UserError(f"link '{name}' goes over '{over}', which does not equalise: name a link with lmmse, zf or mrc")
    return load_link(over, device=device, unbiased=True)


def describe_links() -> Table:
    """A table of the built-in links, one line each."""
    table = Table("link", "what it is", box=None)
    for name in builtin_names("links"):
        table.add_row(name, read_config(name, {})[1].description)
    return table
