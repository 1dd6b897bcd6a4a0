"""Tokens to complex symbols, equation (5), and back, equation (7)."""

import torch
from torch import Tensor

from tokcom_phy.utils.errors import UserError


def check_tokens(user: str, tokens: Tensor) -> None:
    """Raise a `UserError` unless ``tokens`` are floating point or complex [b, s, d], and not empty."""
    if not isinstance(tokens, Tensor):
        raise UserError(f"tokens of '{user}' are a {type(tokens).__name__}: give a tensor [batch, tokens, width]")
    if tokens.dim() != 3 or not (tokens.is_floating_point() or tokens.is_complex()):
        raise UserError(
            f"tokens of '{user}' are {str(tokens.dtype).removeprefix('torch.')} {list(tokens.shape)}: "
            "give floating point or complex tokens [batch, tokens, width]"
        )
    if not tokens.numel():
        raise UserError(f"empty payload: tokens of '{user}' have shape {list(tokens.shape)}, give at least one value")


def symbols_per_token(tokens: Tensor) -> int:
    """Complex symbols of each token [b, s, d]: d/2 if it is real, d if it is complex.

    Raises
    ------
    UserError
        If real tokens have an odd width.
    """
    width = tokens.shape[-1]
    if tokens.is_complex():
        return width
    if width % 2:
        raise UserError(f"token width {width} is odd: two real values make one complex symbol, use an even width")
    return width // 2


def to_symbols(tokens: Tensor) -> Tensor:
    """Map tokens to complex symbols, equation (5): consecutive pairs are (real, imaginary).

    Parameters
    ----------
    tokens : real floating point or complex [b, s, d]
        Each value of a complex token is one symbol. Half precision is converted to single precision, that of the radio.

    Returns
    -------
    complex64 (complex128 for float64 and complex128) [b, s·d/2], of complex tokens [b, s·d]

    Raises
    ------
    UserError
        If the width d of real tokens is odd.
    """
    batch, length, _ = tokens.shape
    num_symbols = length * symbols_per_token(tokens)
    if tokens.is_complex():
        double = tokens.dtype == torch.complex128
        return tokens.resolve_conj().to(torch.complex128 if double else torch.complex64).reshape(batch, num_symbols)
    if tokens.dtype != torch.float64:
        tokens = tokens.float()
    return torch.view_as_complex(tokens.reshape(batch, num_symbols, 2))


def from_symbols(symbols: Tensor, width: int) -> Tensor:
    """Map complex symbols back to real tokens of ``width`` values, equation (7), the inverse of `to_symbols`.

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


def like_tokens(symbols: Tensor, tokens: Tensor) -> Tensor:
    """Received symbols [b, n] as tokens of the shape and dtype of those that were sent."""
    received = symbols.reshape(tokens.shape) if tokens.is_complex() else from_symbols(symbols, tokens.shape[2])
    return received.to(tokens.dtype)


def symbol_mask(mask: Tensor, size: int) -> Tensor:
    """Expand a token mask, bool [b, s], to tokens of ``size`` symbols: bool [b, s·size]."""
    return mask.repeat_interleave(size, dim=1)


def reorder(tokens: Tensor, order: Tensor) -> Tensor:
    """Tokens [b, s, d] in the order of positions [b, s]."""
    return tokens.gather(1, order.unsqueeze(-1).expand_as(tokens))
