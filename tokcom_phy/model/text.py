"""Texts as a batch of token ids."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TextBatch:
    """Texts cut into tokens and padded to one length.

    Attributes
    ----------
    ids : int64 [b, s]
    mask : bool [b, s]
        True for tokens, False for padding.
    """

    ids: Tensor
    mask: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "TextBatch":
        """The same on another device."""
        return TextBatch(
            self.ids.to(device, non_blocking=non_blocking), self.mask.to(device, non_blocking=non_blocking)
        )

    def __getitem__(self, examples: slice) -> "TextBatch":
        """Some of the examples, padded as before."""
        return TextBatch(self.ids[examples], self.mask[examples])

    @property
    def length(self) -> int:
        """s, the length that they are padded to."""
        return self.ids.shape[1]
