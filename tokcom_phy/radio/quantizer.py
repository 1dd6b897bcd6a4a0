"""The uniform quantiser of digital tokens."""

import torch
from torch import Tensor

_BEST_STEP = {1: 1.596, 2: 0.9957, 3: 0.5860, 4: 0.3352}
"""Step of least mean squared error for Gaussian values of unit variance (J. Max, 1960, table II)."""


class Quantizer:
    """Uniform midrise quantiser of values with mean square one: 2^bits levels from −clip to clip.

    Parameters
    ----------
    bits : int
        Per value, 1 to 4.
    clip : float, optional
        Half range, in units of the root mean square; by default optimal for Gaussian values.
    """

    def __init__(self, bits: int, clip: float | None = None):
        self.bits = bits
        self.clip = clip or _BEST_STEP[bits] * 2 ** (bits - 1)
        self.step = self.clip / 2 ** (bits - 1)

    def quantize(self, values: Tensor) -> Tensor:
        """Bits of values, most significant first: float [...] to float32 [..., bits]."""
        level = ((values + self.clip) / self.step).floor().clamp(0, 2**self.bits - 1).long()
        return (level[..., None] >> self._shifts(values) & 1).float()

    def dequantize(self, bits: Tensor) -> Tensor:
        """Midpoints of the quantisation intervals: float32 [..., bits] to float32 [...]."""
        level = (bits.long() << self._shifts(bits)).sum(-1)
        return (level + 0.5) * self.step - self.clip

    def _shifts(self, like: Tensor) -> Tensor:
        return torch.arange(self.bits - 1, -1, -1, device=like.device)
