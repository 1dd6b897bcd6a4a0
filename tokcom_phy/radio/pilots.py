"""Pilot symbols on the users' combs."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tokcom_phy.radio.seeding import generator_for


def zadoff_chu(length: int) -> Tensor:
    """The Zadoff–Chu sequence of root one, of modulus one: complex128 [length].

    z[n] = exp(−jπn(n + c)/length) with c = length mod 2 (TS 36.211, 5.7.2; TS 38.211, 5.2.2). It has constant modulus
    in time as in frequency, so that its waveform on a comb peaks 2 to 3 dB above its mean power, that of random QPSK 5
    to 10 dB.
    """
    n = torch.arange(length, dtype=torch.float64)
    phase = -math.pi * (n * (n + length % 2) / length).remainder(2)
    return torch.polar(torch.ones_like(phase), phase)


def _sequences(combs: Tensor) -> Tensor:
    """A Zadoff–Chu sequence on each comb, the same in all OFDM symbols."""
    count = int(combs.sum(-1).max())
    order = (combs.cumsum(-1) - 1).clamp(min=0)
    return zadoff_chu(count).to(torch.complex64).to(combs.device)[order] * combs


def _qpsk(combs: Tensor) -> Tensor:
    """Random QPSK, the same on both engines and all devices."""
    shape = (*combs.flatten(-2).shape, 2)
    signs = 1.0 - 2.0 * torch.randint(2, shape, generator=generator_for("cpu", "pilots"))
    return torch.view_as_complex(signs).to(combs.device).view(combs.shape) * combs


PILOTS: Mapping[str, Callable[[Tensor], Tensor]] = {"qpsk": _qpsk, "zadoff-chu": _sequences}
"""By name: from the places of each user's pilots, bool [..., OFDM symbols, subcarriers], to pilots, complex64 of the
same shape, zero elsewhere."""
