"""Links by name or path: from the settings of a link file to the object that draws."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_config import DigitalConfig
from tokcom_phy.radio.erasure import ErasureLink
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.link_config import LinkConfig, link_class, read_config, validate_config
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.utils.errors import UserError, one_line, quoted

_ANALOG: tuple[type[Link[Any]], ...] = (FlatLink, OfdmLink, ErasureLink)
_LINKS = {link.config_class: link for link in _ANALOG}


def load_link(name_or_path: str | Path, /, *, device: str | None = None, **overrides: Any) -> Link[Any]:
    """Load a link: a built-in one by name, a user's own by the path of its YAML file.

    Parameters
    ----------
    name_or_path : str or Path
    device : str, optional
        Where the link draws, such as ``"cpu"`` or ``"cuda:0"``; by default Sionna's device.
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
    if overrides:
        changes = ", ".join(f"{key}={quoted(value)}" for key, value in overrides.items())
        overrides = {"description": f"{Path(name_or_path).stem} with {changes}", **overrides}
    return build_link(*read_config(name_or_path, overrides), device)


def restore_link(name: str, settings: Mapping[str, Any]) -> Link[Any]:
    """A link from all its settings, as a run saves them in ``links.json``.

    Raises
    ------
    UserError
        If a key is unknown, or a value does not fit.
    """
    return build_link(name, validate_config(name, settings))


def build_link(name: str, config: LinkConfig, device: str | None = None) -> Link[Any]:
    """The link of a config: of a built-in family, or of the one at the config's import path.

    Raises
    ------
    UserError
        If the link cannot be built.
    """
    if isinstance(config, DigitalConfig):
        below = config.over.for_demapper().model_copy(update={"amplifier_backoff_db": config.amplifier_backoff_db})
        return DigitalLink(name, config, build_link(name, below, device))
    own = link_class(config, f"link '{name}'")
    if own is None:
        return _LINKS[type(config)](name, config, device)
    try:
        link: Link[Any] = own(name, config, device)
    except UserError:
        raise
    except Exception as error:  # whatever the family's code does
        raise UserError(f"link '{name}': {own.__name__} cannot be built ({one_line(error)})") from error
    return link
