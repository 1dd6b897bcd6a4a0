"""Links by name or path: from the settings of a link file to the object that draws."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.erasure import ErasureLink
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.link_config import (
    DigitalConfig,
    ErasureConfig,
    FlatConfig,
    LinkConfig,
    OfdmConfig,
    read_config,
    validate_config,
)
from tokcom_phy.radio.ofdm import OfdmLink

_ANALOG: dict[type, type[Link]] = {FlatConfig: FlatLink, OfdmConfig: OfdmLink, ErasureConfig: ErasureLink}


def load_link(name_or_path: str | Path, /, *, device: str | None = None, **overrides: Any) -> Link:
    """Load a link: a built-in one by name, a user's own by the path of its YAML file.

    Parameters
    ----------
    name_or_path : str or Path
    device : str, optional
        Where the link draws, such as ``"cpu"`` or ``"cuda:0"``; by default where Sionna computes.
    **overrides
        Keys of the link file to replace, such as ``num_rx_ant=16``, or ``over={"num_rx_ant": 16}`` for the link below a
        digital one.

    Returns
    -------
    Link

    Raises
    ------
    UserError
        If there is no such link, a key is unknown, or a value does not fit.
    """
    name, config = read_config(name_or_path, overrides)
    return _build(name, config, device)


def restore_link(name: str, settings: Mapping[str, Any]) -> Link:
    """A link from all its settings, as a run keeps them in ``links.json``.

    Raises
    ------
    UserError
        If a key is unknown, or a value does not fit.
    """
    return _build(name, validate_config(name, settings), None)


def _build(name: str, config: LinkConfig, device: str | None) -> Link:
    if not isinstance(config, DigitalConfig):
        return _ANALOG[type(config)](name, config, device)
    # A demapper needs symbols without bias.
    unbiased = {} if isinstance(config.over, ErasureConfig) else {"unbiased": True}
    return DigitalLink(name, config, _build(name, config.over.model_copy(update=unbiased), device))
