"""Counter-based random numbers: each follows from a key and its own position, so a batch takes no loop over examples.

Philox-4×32-10 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), the generator of cuRAND.
"""

import torch
from torch import Tensor

_WORD = 2**32 - 1
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_INCREMENTS = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: Words, key: int) -> Words:
    """Four random words of 32 bits for each counter.

    Parameters
    ----------
    counter : four int64 tensors of words from 0 to 2³² − 1, of shapes that broadcast
    key : int of 64 bits

    Returns
    -------
    four int64 tensors of words from 0 to 2³² − 1
    """
    c0, c1, c2, c3 = counter
    keys = [key & _WORD, key >> 32]
    for _ in range(_ROUNDS):
        # The product wraps around at 2⁶⁴; its two words are right all the same.
        even, odd = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (odd >> 32) & _WORD ^ c1 ^ keys[0], odd & _WORD
        c2, c3 = (even >> 32) & _WORD ^ c3 ^ keys[1], even & _WORD
        keys = [(word + increment) & _WORD for word, increment in zip(keys, _INCREMENTS, strict=True)]
    return c0, c1, c2, c3


def complex_normal(num: int, indices: Tensor, key: int) -> Tensor:
    """Complex Gaussian numbers whose real and imaginary parts have unit variance, by the method of Box and Muller.

    Parameters
    ----------
    num : int
        Numbers of an example; fewer are an exact prefix of more.
    indices : int64 [b]
        An example's numbers follow from its index and the key alone.
    key : int of 64 bits

    Returns
    -------
    complex64 [b, num], on the device of ``indices``
    """
    uniform = words(-(-num // 2), indices, key).unflatten(-1, (2, 2)).float() * 2**-32
    radius = (-2 * (uniform[..., 0] + 2**-32).log()).clamp(min=0).sqrt()
    return torch.polar(radius, 2 * torch.pi * uniform[..., 1]).flatten(1)[:, :num]


def uniform(num: int, indices: Tensor, key: int) -> Tensor:
    """Uniform numbers of [0, 1), multiples of 2⁻²⁴; parameters as for `complex_normal`, float32 [b, num]."""
    return (words(-(-num // 4), indices, key).flatten(1)[:, :num] >> 8).float() * 2**-24


def words(num: int, indices: Tensor, key: int) -> Tensor:
    """Groups of four random words of each example, int64 [b, num, 4]."""
    group, example = torch.arange(num, device=indices.device), indices[:, None]
    return torch.stack(philox((group & _WORD, group >> 32, example & _WORD, example >> 32), key), dim=-1)
