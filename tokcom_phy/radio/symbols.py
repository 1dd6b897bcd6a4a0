"""Tokens to complex symbols, equation (5), and back, equation (7)."""

import torch
from torch import Tensor

from tokcom_phy.utils.errors import UserError


def to_symbols(tokens: Tensor) -> Tensor:
    """Map tokens to complex symbols, equation (5): consecutive pairs are (real, imaginary).

    Parameters
    ----------
    tokens : real floating point [b, s, d]
        Half precision is converted to float32, the precision of the radio.

    Returns
    -------
    complex64 (complex128 for float64) [b, s·d/2]

    Raises
    ------
    UserError
        If the width d is odd.
    """
    batch, length, width = tokens.shape
    if width % 2:
        raise UserError(f"token width {width} is odd: two real values make one complex symbol, use an even width")
    if tokens.dtype != torch.float64:
        tokens = tokens.float()
    return torch.view_as_complex(tokens.reshape(batch, length * width // 2, 2))


def from_symbols(symbols: Tensor, width: int) -> Tensor:
    """Map complex symbols back to tokens of ``width`` values, equation (7), the inverse of `to_symbols`.

    Parameters
    ----------
    symbols : complex [b, n]
    width : int
        d_T, even; n must be a multiple of d_T/2.

    Returns
    -------
    float32 (float64 for complex128) [b, 2n/width, width]

    Raises
    ------
    UserError
        If ``width`` is odd or the symbols are not a whole number of tokens.
    """
    batch, num_symbols = symbols.shape
    if width % 2 or num_symbols % (width // 2):
        raise UserError(f"{num_symbols} symbols are not a whole number of tokens of width {width}: use an even width")
    return torch.view_as_real(symbols.contiguous()).reshape(batch, 2 * num_symbols // width, width)


def symbol_mask(mask: Tensor, width: int) -> Tensor:
    """Expand a token mask, bool [b, s], to the symbols of each token: bool [b, s·width/2]."""
    return mask.repeat_interleave(width // 2, dim=1)
