"""Text as token identifiers: ⌈log2 V⌉ bits for a token of a vocabulary of V."""

import torch
from torch import Tensor

from tokcom_phy.utils.errors import UserError


def identifier_bits(vocabulary: int) -> int:
    """Bits of an identifier: ⌈log2 V⌉, one at least."""
    return max((vocabulary - 1).bit_length(), 1)


def to_bits(ids: Tensor, vocabulary: int) -> Tensor:
    """Identifiers as tokens that a digital link takes for bits: int64 [b, s] to complex64 [b, s, bits] of ±1.

    Raises
    ------
    UserError
        If ``ids`` are no identifiers of the vocabulary.
    """
    if (
        ids.dtype != torch.long
        or ids.dim() != 2
        or (ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary)
    ):
        raise UserError(
            f"identifiers are {str(ids.dtype).removeprefix('torch.')} {list(ids.shape)}: give int64 [batch, tokens] "
            f"from 0 to {vocabulary - 1}; a modality without a vocabulary has none"
        )
    shifts = torch.arange(identifier_bits(vocabulary) - 1, -1, -1, device=ids.device)
    return (2.0 * (ids[..., None] >> shifts & 1) - 1).to(torch.complex64)


def from_bits(received: Tensor, vocabulary: int, padding: int) -> Tensor:
    """Identifiers of received tokens, complex64 [b, s, bits] to int64 [b, s]; ``padding`` where a bit was lost."""
    shifts = torch.arange(received.shape[-1] - 1, -1, -1, device=received.device)
    ids = ((received.real > 0).long() << shifts).sum(-1).clamp(max=vocabulary - 1)
    return ids.masked_fill((received == 0).any(-1), padding)


def check_bits(user: str, tokens: Tensor) -> None:
    """Raise a `UserError` unless tokens are what `to_bits` gives."""
    if not (tokens.is_complex() and ((tokens == 1) | (tokens == -1)).all()):
        raise UserError(
            f"this link takes the identifiers of '{user}' as bits: give tokens of ±1 from "
            "tokcom_phy.radio.identifiers.to_bits, or a link with text: embeddings"
        )
