"""Pilot symbols: a Zadoff-Chu sequence on each user's comb, whose waveform has low peaks."""

import math

import torch
from torch import Tensor


def zadoff_chu(length: int) -> Tensor:
    """The Zadoff–Chu sequence of root one, of modulus one: complex128 [length].

    z[n] = exp(−jπn(n + c)/length) with c = length mod 2 (TS 36.211, 5.7.2; TS 38.211, 5.2.2). It has constant modulus
    in time as in frequency, so a comb of it peaks 2 to 3 dB above its mean power, random QPSK 6 to 10 dB.
    """
    n = torch.arange(length, dtype=torch.float64)
    phase = -math.pi * (n * (n + length % 2) / length).remainder(2)
    return torch.polar(torch.ones_like(phase), phase)


def on_combs(combs: Tensor) -> Tensor:
    """Zadoff–Chu sequences on the pilots' places of each user and OFDM symbol.

    Parameters
    ----------
    combs : bool [..., subcarriers]
        Which resource elements carry a user's pilots.

    Returns
    -------
    complex64, the same shape, zero elsewhere
    """
    count = int(combs.sum(-1).max())
    order = (combs.cumsum(-1) - 1).clamp(min=0)
    return zadoff_chu(count).to(combs.device)[order].to(torch.complex64) * combs
