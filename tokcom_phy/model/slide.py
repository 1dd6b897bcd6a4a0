"""Slide: which of an encoder's tokens are sent, equation (3)."""

import torch
from torch import Tensor

from tokcom_phy.utils.errors import UserError


def slide_indices(num_tokens: int, length: int) -> Tensor:
    """Positions that Slide keeps, equation (3): ``floor(linspace(0, num_tokens - 1, length))`` in exact arithmetic.

    Returns
    -------
    int64 [length]

    Raises
    ------
    UserError
        If ``length`` is not in 1…``num_tokens``.
    """
    check_length(num_tokens, length)
    return torch.arange(length) * (num_tokens - 1) // max(length - 1, 1)


def check_length(num_tokens: int, length: int) -> None:
    """Raise a UserError if ``length`` is not in 1…``num_tokens``."""
    if not 1 <= length <= num_tokens:
        raise UserError(f"token length {length}: this encoder gives {num_tokens} tokens, choose 1 to {num_tokens}")


def slide(tokens: Tensor, length: int) -> Tensor:
    """Keep ``length`` tokens, evenly spread from the first to the last, equation (3).

    Parameters
    ----------
    tokens : [b, num_tokens, d]
    length : int
        s_m of the paper.

    Returns
    -------
    [b, length, d], same dtype

    Raises
    ------
    UserError
        If ``length`` is not in 1…num_tokens.
    """
    return tokens[:, slide_indices(tokens.shape[1], length).to(tokens.device)]
