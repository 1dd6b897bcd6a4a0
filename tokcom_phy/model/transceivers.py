"""The transmitters F_m, receivers G_m and own selectors of a system, and the file that holds their weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from tokcom_phy.model.receiver import Receiver
from tokcom_phy.model.system_config import TEXT, SystemConfig
from tokcom_phy.model.transmitter import Transmitter
from tokcom_phy.utils.errors import UserError, reason

Shapes = Mapping[str, tuple[int, ...]]


def build_transceivers(config: SystemConfig) -> dict[str, nn.ModuleDict]:
    """The parts of a system that are trained, but for the adapter.

    Returns
    -------
    dict of str to ModuleDict
        ``transmitters`` and ``receivers``, and ``selectors`` of modalities that have an own one: modality → module.

    Raises
    ------
    UserError
        If a component cannot be built.
    """
    config.components.check_modalities(config.encoder_widths, TEXT)
    own_selector = [m for m in config.encoder_widths if config.components.of("selector", m)]
    return {
        "transmitters": nn.ModuleDict({m: _build(config, "transmitter", m) for m in config.encoder_widths}),
        "receivers": nn.ModuleDict({m: _build(config, "receiver", m) for m in (*config.encoder_widths, TEXT)}),
        "selectors": nn.ModuleDict({m: _build(config, "selector", m) for m in own_selector}),
    }


def _build(config: SystemConfig, part: str, modality: str) -> nn.Module:
    """One part of one modality: the experiment's own, or the paper's."""
    widths = {
        "encoder_width": config.encoder_widths.get(modality),
        "token_width": config.token_width,
        "hidden_width": config.receiver_width,
        "num_tokens": config.token_lengths.get(modality),
    }
    own = config.components.build(part, modality, {name: n for name, n in widths.items() if n is not None})
    if own is not None:
        return own
    if part == "transmitter":
        return Transmitter(config.encoder_widths[modality], config.token_width)
    return Receiver(config.token_width, config.receiver_width)


def check_transceivers(config: SystemConfig, path: Path) -> None:
    """See that a file holds the weights of a system, before any are made or read.

    The sizes of own components are theirs to say, so a system that has some is checked when it is loaded.

    Raises
    ------
    UserError
        As `check_shapes`.
    """
    if config.components.named():
        return
    with torch.device("meta"):
        parts = build_transceivers(config)
    tensors = {f"{name}.{key}": t for name, part in parts.items() for key, t in part.state_dict().items()}
    check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)


def check_shapes(expected: Shapes, path: Path) -> None:
    """Compare the header of a safetensors file with the weights that a system has.

    Raises
    ------
    UserError
        If the file is missing, damaged, or belongs to a system of another size.
    """
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read the transceivers in {path} ({reason(error)}): get the file again") from error
    for name in sorted(expected.keys() | found.keys()):
        ours, theirs = expected.get(name, "absent"), found.get(name, "absent")
        if ours != theirs:
            raise UserError(
                f"{path} holds a system of another size: {name} is {theirs} there and {ours} here; use the profile "
                "and modalities that it was trained with"
            )
