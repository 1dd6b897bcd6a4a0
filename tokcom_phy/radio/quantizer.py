"""Scalar quantisers of digital tokens, optimal for Gaussian values."""

from functools import lru_cache

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

_BEST_STEP = {1: 1.596, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041}
"""Step of least mean squared error for Gaussian values of unit variance (J. Max, 1960, table II)."""

_TOLERANCE = 1e-9


class Quantizer:
    """Uniform midrise quantiser of values with mean square one: 2^bits levels from −clip to clip.

    Parameters
    ----------
    bits : int
        Per value, 1 to 6.
    clip : float, optional
        Half range, in units of the root mean square; by default optimal for Gaussian values.

    Attributes
    ----------
    distortion : float
        Mean squared error for Gaussian values of unit variance.
    """

    def __init__(self, bits: int, clip: float | None = None):
        self.bits = bits
        self.clip = clip or _BEST_STEP[bits] * 2 ** (bits - 1)
        self.step = self.clip / 2 ** (bits - 1)
        levels = (np.arange(2**bits) + 0.5) * self.step - self.clip
        self.distortion = gaussian_distortion(levels, (levels[1:] + levels[:-1]) / 2)

    def quantize(self, values: Tensor) -> Tensor:
        """Bits of values, most significant first: float [...] to float32 [..., bits]."""
        return (self._level(values)[..., None] >> self._shifts(values) & 1).float()

    def dequantize(self, bits: Tensor) -> Tensor:
        """Levels of quantised values: float32 [..., bits] to float32 [...]."""
        return self._value((bits.long() << self._shifts(bits)).sum(-1))

    def nearest(self, values: Tensor) -> Tensor:
        """What `dequantize` makes of the bits of `quantize`: float [...] to float32 [...]."""
        return self._value(self._level(values))

    def _level(self, values: Tensor) -> Tensor:
        return ((values + self.clip) / self.step).floor().clamp(0, 2**self.bits - 1).long()

    def _value(self, level: Tensor) -> Tensor:
        return (level + 0.5) * self.step - self.clip

    def _shifts(self, like: Tensor) -> Tensor:
        return torch.arange(self.bits - 1, -1, -1, device=like.device)


class LloydMaxQuantizer(Quantizer):
    """Quantiser with the levels of least mean squared error for Gaussian values (S. Lloyd, 1957; J. Max, 1960)."""

    def __init__(self, bits: int):
        super().__init__(bits)
        levels = lloyd_max(bits)
        edges = (levels[1:] + levels[:-1]) / 2
        self._levels, self._edges = torch.from_numpy(levels).float(), torch.from_numpy(edges).float()
        self.distortion = gaussian_distortion(levels, edges)

    def _level(self, values: Tensor) -> Tensor:
        return torch.bucketize(values, self._edges.to(values), right=True)

    def _value(self, level: Tensor) -> Tensor:
        return self._levels.to(level.device)[level]


@lru_cache
def lloyd_max(bits: int) -> np.ndarray:
    """The 2^bits levels of least mean squared error for Gaussian values of unit variance, float64, rising.

    Lloyd's iteration: edges halfway between levels, levels at the centroids of their intervals.
    """
    count = 2**bits
    levels = np.sqrt(3) * np.linspace(-1.6, 1.6, 2 * count + 1)[1::2]
    while True:
        edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
        centroids = -np.diff(_density(edges)) / np.diff(ndtr(edges))
        if np.abs(centroids - levels).max() < _TOLERANCE:
            return centroids
        levels = centroids


def gaussian_distortion(levels: np.ndarray, edges: np.ndarray) -> float:
    """Mean squared error of a quantiser of Gaussian values of unit variance."""
    edges = np.concatenate([[-np.inf], edges, [np.inf]])
    share, first_moment = np.diff(ndtr(edges)), -np.diff(_density(edges))
    return float(1 - 2 * (levels * first_moment).sum() + (levels**2 * share).sum())


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
