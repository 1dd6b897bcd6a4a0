"""Features from arrays: one file a clip, ``ID.npy`` or ``ID.safetensors``, floating point [ŝ, d]."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from tokcom_phy.utils.errors import MediaError, UserError, reason

SUFFIXES = (".npy", ".safetensors")

MAX_VALUES = 2**26
"""Most values that an array may have: 256 MB in float32."""


def array_files(folder: Path, key: str) -> dict[str, Path]:
    """The arrays in a folder, by the clips that they are named after, sorted.

    Raises
    ------
    UserError
        If there is no such folder, no array in it, or two of one clip; ``key`` says which setting names it.
    """
    if not folder.is_dir():
        raise UserError(f"{key}: no folder {folder}: name one with ID.npy or ID.safetensors files")
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name[0] != "."):
        if found.setdefault(path.stem, path) != path:
            raise UserError(f"{key}: {folder} has {found[path.stem].name} and {path.name}: keep one of them")
    if not found:
        raise UserError(f"{key}: no ID.npy or ID.safetensors files in {folder}")
    return found


def common_shape(files: Mapping[str, Path], key: str) -> tuple[int, int]:
    """ŝ and d of arrays, from their headers.

    Raises
    ------
    UserError
        If one is no such array, or they differ; ``key`` says which setting names them.
    """
    first, *others = files.values()
    try:
        shape = _shape(first)
        for path in others:
            if _shape(path) != shape:
                raise UserError(
                    f"{path} is [{_words(_shape(path))}] and {first.name} is [{_words(shape)}]: make them equal"
                )
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    return shape


def read_array(path: Path) -> Tensor:
    """An array, float32 [ŝ, d].

    Raises
    ------
    MediaError
        If it is none.
    """
    _shape(path)
    try:
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
        with safe_open(path, "pt") as file:
            (name,) = file.keys()
            return file.get_tensor(name).float()
    except Exception as error:  # whatever a damaged file makes its library raise
        raise _no_array(path, reason(error)) from error


def _shape(path: Path) -> tuple[int, int]:
    try:
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            shape, floating = array.shape, np.issubdtype(array.dtype, np.floating)
        else:
            with safe_open(path, "pt") as file:
                if len(file.keys()) != 1:
                    raise _no_array(path, f"it holds {len(file.keys())} tensors, not one")
                part = file.get_slice(next(iter(file.keys())))
                shape, floating = tuple(part.get_shape()), part.get_dtype() in ("F16", "BF16", "F32", "F64")
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes its library raise
        raise _no_array(path, reason(error)) from error
    if not floating or len(shape) != 2 or not 0 < np.prod(shape, dtype=float) <= MAX_VALUES:
        raise _no_array(path, f"it has shape [{_words(shape)}]" if floating else "it is not floating point")
    return int(shape[0]), int(shape[1])


def _words(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def _no_array(path: Path, why: str) -> MediaError:
    return MediaError(f"{path}: no floating-point array [tokens, width] ({why})")
