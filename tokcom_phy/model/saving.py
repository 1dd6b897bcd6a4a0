"""The files of a saved system, but for the adapter, which is PEFT's."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import torch
from huggingface_hub import ModelCard
from safetensors.torch import save_file
from torch import Tensor

from tokcom_phy.model.components import Components
from tokcom_phy.model.model_card import model_card
from tokcom_phy.model.system_config import TEXT, Delivery, SystemConfig
from tokcom_phy.utils.errors import UserError, one_line
from tokcom_phy.utils.files import write_atomically
from tokcom_phy.utils.instantiate import TARGET

_WIDEST = 1_000_000
"""Bounds what a damaged config may ask for; no encoder or language model comes near."""

LAYOUT = "a folder with config.json, transceivers.safetensors and, once fine-tuned, adapter/, as save_pretrained writes"


def write_system(
    folder: Path, config: SystemConfig, foundation: str, transceivers: Mapping[str, Tensor], *, adapted: bool = False
) -> None:
    """Write what `TokenCommSystem.from_pretrained` reads, but for the adapter: config, transceivers, model card.

    Parameters
    ----------
    folder : Path
        Made if it is not there; a model card that is there is kept.
    config : SystemConfig
    foundation : str
        Name of the foundation model.
    transceivers : dict of str to tensor
        By the names of `TokenCommSystem.transceivers`.
    adapted : bool
        Whether an adapter will stand beside them.

    Raises
    ------
    UserError
        If the folder cannot be made or written to, or the disk is full.
    """
    settings = {"foundation_model": foundation, **asdict(config)}
    for key in ("components", "token_lengths"):
        if not settings[key] or (key == "components" and not config.components):
            del settings[key]
    with write_atomically(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n")
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in transceivers.items()}
    with write_atomically(folder / "transceivers.safetensors") as temporary:
        save_file(tensors, temporary)
    if not (folder / "README.md").exists():
        system_card(config, foundation, transceivers, adapted).save(folder / "README.md")


def read_config(file: Path) -> tuple[str, SystemConfig]:
    """The name of the foundation model, and the config, that `write_system` wrote.

    Raises
    ------
    UserError
        If the file is missing or damaged.
    """
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        name = settings.pop("foundation_model")
        config = SystemConfig(**{**settings, "components": Components(**settings.pop("components", {}))})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is no config of a system ({one_line(error)[:200]}): get it again") from error
    if not isinstance(name, str):
        raise UserError(f"{file}: foundation_model is {name!r:.50}, expected a name: get it again")
    for key in ("encoder_widths", "token_width", "receiver_width", "token_lengths"):
        value = getattr(config, key)
        sizes = list(value.values()) if isinstance(value, dict) else [value]
        wanted = dict if key in ("encoder_widths", "token_lengths") else int
        if not isinstance(value, wanted) or not all(type(size) is int and 0 < size <= _WIDEST for size in sizes):
            raise UserError(f"{file}: {key} is {value!r:.50}, expected sizes from 1 to {_WIDEST:,}: get it again")
    if config.question not in get_args(Delivery):
        raise UserError(f"{file}: question is {config.question!r:.50}, expected one of {', '.join(get_args(Delivery))}")
    if TEXT in config.encoder_widths or any("." in modality or not modality for modality in config.encoder_widths):
        raise UserError(f"{file}: encoder_widths names no modalities ({list(config.encoder_widths)}): get it again")
    return name, config


def system_card(config: SystemConfig, foundation: str, transceivers: Mapping[str, Tensor], adapted: bool) -> ModelCard:
    """The model card of a system with these weights."""
    return model_card(
        foundation=foundation,
        token_width=config.token_width,
        receiver_width=config.receiver_width,
        encoder_widths=config.encoder_widths,
        on_air=config.question == "on-air",
        parameters=sum(tensor.numel() for tensor in transceivers.values()),
        adapted=adapted,
        components={key: str(component[TARGET]) for key, component in config.components.named().items()},
    )
