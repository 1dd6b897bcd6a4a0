"""More or fewer channel uses than symbols: an analog link repeats symbols and combines them, or leaves some out."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.state import LinkState

_LEAST_VAR = 1e-12
_ROUNDING = 1e-6
"""Of a channel use: uses per symbol are no exact binary fractions."""


def num_uses(num_symbols: int, uses_per_symbol: float) -> int:
    """Channel uses of a payload."""
    return math.ceil(num_symbols * uses_per_symbol - _ROUNDING)


def sent_symbols(uses: int, uses_per_symbol: float, device: str) -> Tensor:
    """Which symbol each channel use carries, int64 [uses]: use u that at u over the uses per symbol, rounded down.

    Repetitions of a symbol are neighbours, and the symbols that are sent are evenly spread, whatever the payload's
    length: users of different lengths stay aligned.
    """
    places = torch.arange(uses, dtype=torch.float64, device=device)
    return ((places + _ROUNDING) / uses_per_symbol).long()


def repeated(request: DrawRequest, uses_per_symbol: float) -> DrawRequest:
    """The request for a realisation of the channel uses that a payload takes."""
    uses = {user: num_uses(n, uses_per_symbol) for user, n in request.num_symbols.items()}
    mask = {
        user: own[:, sent_symbols(uses[user], uses_per_symbol, str(own.device))] for user, own in request.mask.items()
    }
    return replace(request, num_symbols=uses, mask=mask)


def combined_uses(state: LinkState, request: DrawRequest, uses_per_symbol: float, mmse: bool) -> LinkState:
    """A realisation of a payload from that of its channel uses, by maximum ratio combining.

    With s = 1/v, v the effective noise variance of a use, the symbol's is 1/Σs. Unbiased outputs are added with weights
    s/Σs; estimates of least mean squared error with (1 + s)/(1 + Σs), which makes the sum such an estimate too. A
    symbol that is not sent is received as zero, with infinite noise variance.

    Parameters
    ----------
    state : LinkState
        Of the channel uses, as `repeated` requests them.
    request : DrawRequest
        For the payload.
    uses_per_symbol : float
    mmse : bool
        Whether the output is the estimate of least mean squared error, instead of unbiased.
    """
    gain, noise, var, sinr = {}, {}, {}, {}
    for user, n in request.num_symbols.items():
        uses = state.effective_noise_var[user].shape[1]
        carried = sent_symbols(uses, uses_per_symbol, str(state.effective_noise_var[user].device))
        snr = 1 / state.effective_noise_var[user].clamp(min=_LEAST_VAR)
        total = _summed(snr, carried, n)
        var[user] = 1 / total
        weight = (1 + snr) / (1 + total[:, carried]) if mmse else snr / total[:, carried].clamp(min=_LEAST_VAR)
        gain[user] = {
            other: _combined_gain(own, weight, carried, min(n, request.num_symbols[other]))
            for other, own in state.gain[user].items()
        }
        if user in state.noise:
            noise[user] = _summed(weight * state.noise[user], carried, n)
        sinr[user] = _sinr(state, user, weight, carried, gain[user])
    return LinkState(gain, noise, var, sinr, request.mask)


def _summed(values: Tensor, carried: Tensor, num_symbols: int) -> Tensor:
    """The sum over the uses of each symbol: [b, uses] to [b, num_symbols]."""
    return values.new_zeros(len(values), num_symbols).index_add_(1, carried[: values.shape[1]], values)


def _combined_gain(gain: Tensor | None, weight: Tensor, carried: Tensor, num_symbols: int) -> Tensor:
    weighted = weight.to(torch.complex64) if gain is None else weight[:, : gain.shape[1]] * gain
    return _summed(weighted, carried, num_symbols)


def _sinr(state: LinkState, user: str, weight: Tensor, carried: Tensor, combined: Mapping[str, Tensor]) -> Tensor:
    """True SINR after combining: noise adds in power, the repeated symbols of other users in amplitude."""
    own = state.gain[user][user]
    power = torch.ones_like(weight) if own is None else own.abs().square()
    noise_var = torch.where(power > 0, power / state.sinr[user], 0)
    signal = combined[user].abs().square()
    interference = torch.zeros_like(signal)
    for other, gain in state.gain[user].items():
        if other != user and gain is not None:
            noise_var[:, : gain.shape[1]] -= gain.abs().square()
            interference[:, : combined[other].shape[1]] += combined[other].abs().square()
    disturbance = _summed(weight.square() * noise_var.clamp(min=0), carried, signal.shape[1]) + interference
    return torch.where(signal > 0, signal / disturbance, 0)
