"""Random numbers of a link: a realisation depends on its seed and index alone, not on the rest of the batch.

Noise has a generator per example. Sionna draws channels in batches from a process-global generator, so channels are
drawn in blocks of `BLOCK` consecutive indices, each from its own seed; the global state is restored afterwards.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.sionna import seeded

BLOCK = 8
_CHUNK = 8192
_CPU_GRAIN = 16

Key = tuple[int | str, ...]


def entropy(*key: int | str) -> int:
    """Hash a key, such as ``(seed, index, "noise", "audio")``, to 64 bits."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def sionna_seed(device: str, *key: int | str) -> AbstractContextManager[None]:
    """Seed Sionna's generator by ``key``, and restore its state on exit."""
    return seeded(entropy(*key), device)


def blocks(indices: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield each block that contains some of the indices, with their positions."""
    positions: dict[int, list[int]] = {}
    for position, index in enumerate(indices):
        positions.setdefault(index // BLOCK, []).append(position)
    yield from sorted(positions.items())


def generator_for(device: str, *key: int | str) -> torch.Generator:
    """A torch generator seeded by ``key``."""
    return torch.Generator(device).manual_seed(entropy(*key))


def complex_noise(
    shape: tuple[int, ...], device: str, keys: Iterable[Key], variances: Iterable[float] | None = None
) -> Tensor:
    """Circular Gaussian noise with a generator per example.

    Parameters
    ----------
    shape : tuple of int
        Of the noise of one example. Noise of a smaller first axis is an exact prefix of noise of a larger one.
    device : str
    keys : keys of `entropy`, one per example
    variances : float, one per example, optional
        E|n|², 1 by default.

    Returns
    -------
    complex64 [examples, *shape]
    """
    keys = list(keys)
    num_reals = 2 * math.prod(shape)
    out = torch.empty(len(keys), num_reals, device=device)
    # A CPU fills in groups of sixteen, so a prefix does not depend on the length; on a GPU it does, hence fixed chunks.
    grain = _CPU_GRAIN if out.device.type == "cpu" else _CHUNK
    whole = num_reals - num_reals % grain
    at_once = max(whole, 1) if out.device.type == "cpu" else grain
    for row, key, variance in zip(out, keys, variances or [1.0] * len(keys), strict=True):
        generator, std = generator_for(device, *key), math.sqrt(variance / 2)
        for chunk in row[:whole].split(at_once):
            chunk.normal_(std=std, generator=generator)
        if whole < num_reals:
            row[whole:] = row.new_empty(grain).normal_(std=std, generator=generator)[: num_reals - whole]
    return torch.view_as_complex(out.view(len(keys), *shape, 2))
