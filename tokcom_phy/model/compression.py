"""Compression of an encoder's tokens before they are sent: Slide, equation (3), or pooling over windows."""

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from tokcom_phy.model.slide import check_length, slide

Compression = Literal["slide", "mean-pool", "max-pool"]
"""How ŝ_m tokens become s_m: evenly spread ones, or the mean or maximum of each of s_m windows."""

COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)


def window_bounds(num_tokens: int, length: int) -> list[int]:
    """Where the windows of pooling begin, and the end: ⌊i·ŝ/s⌋ for i = 0…s.

    They partition the sequence, and differ by one token at most in size. There are exactly s of them for any ŝ ≥ s;
    windows of ⌈ŝ/s⌉ tokens, as in the paper's published code, would be fewer (122 for ŝ = 1,214 and s = 128).

    Returns
    -------
    list of s + 1 int

    Raises
    ------
    UserError
        If ``length`` is not in 1…``num_tokens``.
    """
    check_length(num_tokens, length)
    return [i * num_tokens // length for i in range(length + 1)]


def compress(tokens: Tensor, length: int, how: Compression) -> Tensor:
    """Compress to ``length`` tokens.

    Parameters
    ----------
    tokens : float [b, num_tokens, d]
    length : int
        s_m of the paper.
    how : 'slide', 'mean-pool' or 'max-pool'
        Pooling takes each value's mean or maximum over a window of `window_bounds`.

    Returns
    -------
    float [b, length, d], same dtype

    Raises
    ------
    UserError
        If ``length`` is not in 1…num_tokens.
    """
    if how == "slide":
        return slide(tokens, length)
    bounds = window_bounds(tokens.shape[1], length)
    windows = tokens.split([end - begin for begin, end in pairwise(bounds)], dim=1)
    return torch.stack([w.mean(1) if how == "mean-pool" else w.amax(1) for w in windows], dim=1)
