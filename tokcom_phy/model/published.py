"""Checkpoints of the paper's published code: read without unpickling, saved as a system."""

import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.model.hub import absolute, is_hub_name, is_local
from tokcom_phy.model.saving import write_system
from tokcom_phy.model.system_config import TEXT, Delivery, SystemConfig
from tokcom_phy.utils.errors import UserError

_PARTS = {
    "img_tx": ("transmitters.video.projection", "projection", ("weight", "bias")),
    "audio_tx": ("transmitters.audio.projection", "projection", ("weight", "bias")),
    "img_receiver": ("receivers.video.layers", "receiver", ("0.weight", "0.bias", "2.weight", "2.bias")),
    "audio_receiver": ("receivers.audio.layers", "receiver", ("0.weight", "0.bias", "2.weight", "2.bias")),
    "text_receiver": (f"receivers.{TEXT}.layers", "receiver", ("0.weight", "0.bias", "2.weight", "2.bias")),
}
"""Parts of a published checkpoint: their names in a `TokenCommSystem`, their inner prefix, and their weights."""

_MOST_NESTED = 32
_MOST_ENTRIES = 100_000


def read_checkpoint(file: str | Path) -> tuple[SystemConfig, dict[str, Tensor]]:
    """Read the transceivers of a checkpoint that the paper's published code wrote.

    Its parts are dictionaries (``{"img_tx": {"projection.weight": …}}``) or prefixes (``img_tx.projection.weight``).
    The weights of the frozen encoders, which the published code saves beside its projections, are left out. Only
    tensors are loaded, nothing is unpickled.

    Parameters
    ----------
    file : path
        A ``.pth`` file with ``img_tx``, ``audio_tx``, ``text_receiver``, ``img_receiver`` and ``audio_receiver``.

    Returns
    -------
    SystemConfig
        Sizes as in the file; video comes before audio and the question is sent on air, as published.
    dict of str to float32 tensor
        By the names of `TokenCommSystem.transceivers`.

    Raises
    ------
    UserError
        If the file is missing or broken, holds more than tensors, lacks a part or has one too many, or if its sizes do
        not fit together.
    """
    file = Path(file)
    found: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    for key, tensor in _leaves(_load(file), file):
        words = [word for word in key.split(".") if word != "module"]
        part = next((word for word in words if word in _PARTS), None)
        if part and isinstance(tensor, Tensor):
            found[part][".".join(words[words.index(part) + 1 :])] = tensor
    absent = [part for part, weights in found.items() if not weights]
    if absent:
        raise UserError(f"{file} has no {', no '.join(absent)}: expected a checkpoint with {', '.join(_PARTS)}")
    tensors = {
        f"{target}.{weight}": _take(found[part], prefix, weight, f"{file}: {part}")
        for part, (target, prefix, weights) in _PARTS.items()
        for weight in weights
    }
    for part, left in found.items():
        strange = sorted(name for name in left if not name.startswith("encoder."))
        if strange:
            raise UserError(f"{file}: {part} holds '{strange[0]}', which has no place in a system")
    config = _config(tensors, file)
    for part, (target, prefix, weights) in _PARTS.items():
        for weight in weights:
            values = tensors[f"{target}.{weight}"].float().contiguous()
            if not values.isfinite().all():
                raise UserError(f"{file}: {part}: {prefix}.{weight} is not finite numbers: the checkpoint is of no use")
            tensors[f"{target}.{weight}"] = values
    return config, tensors


def import_checkpoint(file: str | Path, out: str | Path, foundation: str, question: Delivery = "on-air") -> Path:
    """Save a published checkpoint as the folder of a system, for `TokenCommSystem.from_pretrained`.

    Parameters
    ----------
    file : path
        See `read_checkpoint`.
    out : path
        A new folder.
    foundation : str
        The model that the checkpoint was trained with: hub name, folder or GGUF file. It is not loaded or downloaded.
    question : 'on-air' or 'reliable'
        How the question reaches the model.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        If the checkpoint cannot be read, does not fit a foundation model that is here, ``foundation`` is neither here
        nor a name on the hub, or ``out`` holds files.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already: choose another --out")
    if not is_local(foundation) and not is_hub_name(foundation):
        raise UserError(f"--foundation '{foundation}': no such folder or file, and no name on the hub: give either")
    config, tensors = read_checkpoint(file)
    if is_local(foundation) and foundation_width(foundation) != config.token_width:
        raise UserError(
            f"{file} holds tokens of width {config.token_width}, foundation model '{foundation}' has width "
            f"{foundation_width(foundation)}: name the model that it was trained with by --foundation"
        )
    write_system(out, replace(config, question=question), absolute(foundation), tensors)
    return out


def _load(file: Path) -> Any:
    if not file.is_file():
        raise UserError(f"no file {file}: give a checkpoint of the published code, a .pth file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's protocol: what cannot be read is refused below
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file} holds more than tensors and is not unpickled, for that could run any code: have its state_dict "
            "saved alone"
        ) from error
    except Exception as error:  # whatever a damaged file makes the loader do
        raise UserError(f"{file} is no PyTorch checkpoint, or a broken one: get it again") from error


def _leaves(found: Any, file: Path) -> Iterator[tuple[str, Any]]:
    """All that nested dictionaries hold, with keys joined by dots."""
    waiting, count = [("", found, 0)], 0
    while waiting:
        prefix, value, depth = waiting.pop()
        if not isinstance(value, Mapping):
            yield prefix, value
            continue
        count += len(value)
        if depth == _MOST_NESTED or count > _MOST_ENTRIES:
            raise UserError(
                f"{file} holds dictionaries more than {_MOST_NESTED} deep, or more than {_MOST_ENTRIES:,} entries: "
                "expected a checkpoint of the published code"
            )
        inner = ((f"{prefix}.{key}" if prefix else str(key), value[key]) for key in value if isinstance(key, str | int))
        waiting += [(key, item, depth + 1) for key, item in inner][::-1]


def _take(weights: dict[str, Tensor], prefix: str, name: str, where: str) -> Tensor:
    """Take one weight out of a part, with or without its inner prefix."""
    for key in (f"{prefix}.{name}", name):
        if key in weights:
            tensor = weights.pop(key)
            if fault := _fault(tensor):
                raise UserError(f"{where}: {key} is {fault}, expected real numbers: have the weights saved as such")
            return tensor
    raise UserError(f"{where} has no {prefix}.{name}: expected the published code's layers")


def _fault(tensor: Tensor) -> str:
    """What keeps a tensor from being a weight, found without a look at its values; empty if nothing does."""
    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return "quantised"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_complex():
        return "complex"
    if not tensor.is_floating_point():
        return f"of type {str(tensor.dtype).removeprefix('torch.')}"
    if tensor.device.type == "meta":
        return "without values, on the device meta"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"expanded to {tuple(tensor.shape)} from fewer values"
    return ""


def _config(tensors: Mapping[str, Tensor], file: Path) -> SystemConfig:
    """The sizes of a system with these weights, after a look whether they fit together."""
    first = tensors[f"receivers.{TEXT}.layers.0.weight"]
    if first.ndim != 2 or not first.numel():
        raise UserError(f"{file}: text_receiver has a weight of shape {tuple(first.shape)}, expected a matrix")
    hidden, width = first.shape
    if width % 2:
        raise UserError(f"{file} holds tokens of odd width {width}: two values make one symbol")
    widths = {m: tensors[f"transmitters.{m}.projection.weight"].shape[-1:].numel() for m in ("video", "audio")}
    expected: dict[str, tuple[int, ...]] = {
        f"transmitters.{m}.projection.weight": (width, d_m) for m, d_m in widths.items()
    }
    expected |= {f"transmitters.{m}.projection.bias": (width,) for m in widths}
    for modality in (*widths, TEXT):
        layers = f"receivers.{modality}.layers"
        expected |= {f"{layers}.0.weight": (hidden, width), f"{layers}.0.bias": (hidden,)}
        expected |= {f"{layers}.2.weight": (width, hidden), f"{layers}.2.bias": (width,)}
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise UserError(
                f"{file}: sizes do not fit together: {name} is {tuple(tensors[name].shape)}, by text_receiver it "
                f"should be {shape}"
            )
    return SystemConfig(widths, width, hidden, "on-air")
