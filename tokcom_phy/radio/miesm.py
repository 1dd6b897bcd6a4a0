"""Effective SNR of a coded block by the mutual information of its QAM symbols (MIESM)."""

from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.sionna import Mapper

LOWEST_DB = -40.0
STEP_DB = 0.1
_HIGHEST_DB = 60.0
_SATURATED = 1e-9
_NODES = 64


def mutual_information(sinr: Tensor, bits_per_symbol: int) -> Tensor:
    """Bits that a Gray-labelled square QAM symbol carries with bit-interleaved coded modulation (BICM).

    Parameters
    ----------
    sinr : float, any shape
        Linear; zero and infinity are allowed.
    bits_per_symbol : int

    Returns
    -------
    float64, the shape of ``sinr``; from zero to ``bits_per_symbol``
    """
    curve = information_curve(bits_per_symbol).to(sinr.device)
    position = ((10 * torch.log10(sinr.double()) - LOWEST_DB) / STEP_DB).clamp(0, len(curve) - 1)
    left = position.long().clamp(max=len(curve) - 2)
    return torch.lerp(curve[left], curve[left + 1], position - left)


def effective_snr_db(sinr: Tensor, bits_per_symbol: int) -> Tensor:
    """SNR of the AWGN channel on which a block's symbols carry as much information in the mean [dB].

    Parameters
    ----------
    sinr : float [..., n]
        Of each symbol, linear.
    bits_per_symbol : int

    Returns
    -------
    float64 [...]
        At most the SNR at which the modulation carries all its bits.
    """
    return snr_db_of(mutual_information(sinr, bits_per_symbol).mean(-1), bits_per_symbol)


def snr_db_of(information: Tensor, bits_per_symbol: int) -> Tensor:
    """The inverse of `mutual_information` [dB], float64 of the shape of ``information`` [bits a symbol]."""
    curve = information_curve(bits_per_symbol).to(information.device)
    right = torch.searchsorted(curve, information.double().contiguous()).clamp(1, len(curve) - 1)
    share = (information - curve[right - 1]) / (curve[right] - curve[right - 1])
    return LOWEST_DB + STEP_DB * (right - 1 + share.clamp(0, 1))


@lru_cache
def information_curve(bits_per_symbol: int) -> Tensor:
    """BICM mutual information of a square QAM from −40 dB, in steps of 0.1 dB, to where it saturates: float64.

    Both parts of the QAM are a PAM with m bits. With unit power and real noise of variance 1/SNR,

        I = Σ_i 1 − E[log2(Σ_x p(y|x) / Σ_{x: bit i as sent} p(y|x))],

    the expectation over points by a sum and over noise by Gauss–Hermite quadrature (G. Caire, G. Taricco and E.
    Biglieri, 1998).
    """
    num_bits = bits_per_symbol // 2
    labels = np.array(list(product([0, 1], repeat=num_bits)))
    mapper = Mapper("pam", num_bits, device="cpu")
    points = mapper(torch.from_numpy(labels).float().reshape(1, -1)).real[0].double().cpu().numpy()
    nodes, weights = np.polynomial.hermite.hermgauss(_NODES)
    agrees = (labels[:, None] == labels).astype(float)
    values = []
    for snr_db in np.arange(LOWEST_DB, _HIGHEST_DB, STEP_DB):
        snr = 10 ** (snr_db / 10)
        received = points[:, None] + nodes * (2 / snr) ** 0.5
        metric = -snr / 2 * (received[..., None] - points) ** 2
        likelihood = np.exp(metric - metric.max(2, keepdims=True))
        lost = np.log2(likelihood.sum(2)[..., None] / (likelihood @ agrees)).sum(2)
        values.append(2 * (num_bits - float((lost @ weights).mean()) / np.pi**0.5))
        if bits_per_symbol - values[-1] < _SATURATED:
            break
    return torch.tensor(values, dtype=torch.float64).cummax(0).values
