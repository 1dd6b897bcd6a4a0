"""The effective SNR of symbols that have different SNRs: one number with the same mutual information."""

import torch
from torch import Tensor


def effective_snr_db(sinr: Tensor, weights: Tensor | None = None, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """SNR of the AWGN channel with the same mean mutual information [dB]: 10·log10(2^{mean log2(1 + SINR)} − 1).

    Mutual-information effective SNR mapping (MIESM) with Gaussian symbols.

    Parameters
    ----------
    sinr : float, any shape
        Not in decibels; infinite without noise.
    weights : float or bool, the shape of ``sinr``, optional
        How much each counts in the mean; by default all count the same.
    dim : int or tuple of int, optional
        What the mean is over; by default everything.

    Returns
    -------
    float64
        −∞ where nothing arrives, ∞ without noise.
    """
    information = torch.log1p(sinr.double())
    if weights is None:
        mean = information.mean(dim)
    else:
        weighted = information.masked_fill(weights == 0, 0.0) * weights  # infinite times zero is no number
        mean = weighted.sum(dim) / weights.sum(dim)
    return 10 * torch.log10(torch.expm1(mean))
