"""Random numbers of a link: a realisation depends on its seed and index alone, not on the rest of the batch.

Noise follows from seed and index. Sionna draws channels in batches from a process-global generator, so channels are
drawn in blocks of `BLOCK` consecutive indices, each from its own seed; the global state is restored afterwards.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio import philox
from tokcom_phy.radio.mersenne_twister import seed_generator
from tokcom_phy.radio.sionna import seeded

BLOCK = 8
_CPU_GRAIN = 16


def entropy(*key: int | str) -> int:
    """Hash a key, such as ``(seed, index, "noise", "audio")``, to 64 bits."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    # An array of words is hashed to the same as a list of numbers, in half the time.
    sequence = np.random.SeedSequence(np.array(words, np.uint32) if max(words) < 2**32 else words)
    return int(sequence.generate_state(1, np.uint64)[0])


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
    return seed_generator(torch.Generator(device), entropy(*key))


def at_once(device: str) -> bool:
    """Whether a batch is drawn without a loop over its examples or blocks of them: on a GPU.

    A CPU has a generator for each example, whose numbers results depend on, and computes block by block, in its caches.
    """
    return not device.startswith("cpu")


def complex_normal(
    shape: tuple[int, ...],
    device: str,
    seed: int,
    indices: Sequence[int],
    *purpose: str,
    variance: float | Tensor = 2.0,
) -> Tensor:
    """Complex Gaussian numbers, by default of real and imaginary parts of unit variance.

    Parameters
    ----------
    shape : tuple of int
        Of one example. Numbers of a smaller first axis are an exact prefix of those of a larger one.
    device : str
        A GPU computes all numbers at once from seed, index and position (`tokcom_phy.radio.philox`); they are others
        than a CPU's.
    seed : int
    indices : sequence of int [b]
        An example's numbers follow from seed, index and purpose alone.
    *purpose : str
        What they are for, such as ``"noise", "audio"``.
    variance : float, or float [b]
        E|n|², as by `with_variance` afterwards, to the bit.

    Returns
    -------
    complex64 [b, *shape]
    """
    num = math.prod(shape)
    if at_once(device):
        numbers = philox.complex_normal(num, torch.tensor(indices, device=device), entropy(seed, *purpose))
        return with_variance(numbers.view(len(indices), *shape), variance)
    out = torch.empty(len(indices), 2 * num)
    # A CPU fills in groups of sixteen, so that a prefix does not depend on the length.
    whole = 2 * num - 2 * num % _CPU_GRAIN
    for row, index, std in zip(out, indices, _std(variance).expand(len(indices)).tolist(), strict=True):
        generator = generator_for("cpu", seed, index, *purpose)
        if whole:
            row[:whole].normal_(std=std, generator=generator)
        if whole < 2 * num:
            row[whole:] = row.new_empty(_CPU_GRAIN).normal_(std=std, generator=generator)[: 2 * num - whole]
    return torch.view_as_complex(out.view(len(indices), *shape, 2))


def uniform(
    num: int, device: str, seed: int, indices: Sequence[int], *purpose: str, dtype: type[np.floating] = np.float32
) -> Tensor:
    """Uniform numbers of [0, 1), float [b, num]; fewer are an exact prefix of more, see `complex_normal`.

    A GPU's are float32, whatever the ``dtype`` that a CPU draws.
    """
    if at_once(device):
        return philox.uniform(num, torch.tensor(indices, device=device), entropy(seed, *purpose))
    keys = [entropy(seed, index, *purpose) for index in indices]
    return torch.from_numpy(np.stack([np.random.default_rng(key).random(num, dtype) for key in keys])).to(device)


def with_variance(numbers: Tensor, variance: float | Tensor) -> Tensor:
    """Scale numbers of `complex_normal`, complex64 [b, ...], to E|n|² = ``variance``, one for all or float [b]."""
    return numbers * _std(variance).to(numbers.device).reshape(-1, *(1 for _ in numbers.shape[1:]))


def _std(variance: float | Tensor) -> Tensor:
    """Standard deviation of the real and of the imaginary part, float32."""
    return (torch.as_tensor(variance, dtype=torch.float64) / 2).sqrt().float()
