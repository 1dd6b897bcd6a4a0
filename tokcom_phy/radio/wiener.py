"""LMMSE (Wiener) filters from the pilots of one comb to a slot, for any number of noise variances at once.

A Wiener filter over observations of covariance R in noise of variance σ² is C·(R + σ²I)⁻¹. In the eigenvectors of R the
inverse is diagonal whatever σ² is, so they are computed once for each comb, and a noise variance costs one weight for
each eigenvalue.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.sionna import DIAGONAL_LOADING


class Axis:
    """Eigenvectors of a channel's covariance along one axis of the resource grid, at the positions with pilots.

    Parameters
    ----------
    covariance : complex [n, n]
    observed : sequence of int
        Positions with pilots.

    Attributes
    ----------
    eigenvalues : float64 [k]
        Of the covariance at the pilots.
    analysis : complex128 [k, k]
        From values at the pilots to coefficients of the eigenvectors, ``values @ analysis``.
    synthesis : complex128 [n, k]
        Cross-covariance of the n positions and the k coefficients.
    variance : float64 [n]
        Variance of the channel at each position.
    """

    def __init__(self, covariance: Tensor, observed: Sequence[int]):
        covariance = covariance.to(torch.complex128)
        columns = covariance[:, list(observed)]
        eigenvalues, vectors = torch.linalg.eigh(columns[list(observed)])
        self.eigenvalues = eigenvalues.clamp(min=0)
        self.analysis = vectors.conj()
        self.synthesis = columns @ vectors
        self.variance = covariance.diagonal().real

    @property
    def power(self) -> Tensor:
        """Squared magnitude of the synthesis, float64 [n, k]."""
        return self.synthesis.abs().square()


class Weights(NamedTuple):
    """A filter at b noise variances, in the eigenvectors over subcarriers (k_f) and OFDM symbols (k_t).

    Attributes
    ----------
    coefficients : float64 [b, k_t or 1, k_f]
        Factors of the coefficients.
    rows : float64 [b, k_t, num_subcarriers] or [1, 1, 1]
        Factors once the subcarriers are interpolated.
    err_var : float64 [b, num_ofdm_symbols, num_subcarriers]
        Variance of the estimate's error.
    """

    coefficients: Tensor
    rows: Tensor
    err_var: Tensor


def sequential(frequency: Axis, time: Axis, no: Tensor, eps: float) -> Weights:
    """Filter over the subcarriers, then over the OFDM symbols: `sionna.phy.ofdm.LMMSEChannelEstimator`, order f-t.

    Between the two, each subcarrier is scaled by s so that estimate and error have the variances that the second filter
    assumes; the formulas are those of Sionna's documentation.

    Parameters
    ----------
    frequency, time : Axis
    no : float64 [b]
        Noise variance at the pilots.
    eps : float
        Sionna 2 loads the diagonal of R + σ²I by eps · k times its mean; Sionna 1.2 does not.
    """
    noisy = frequency.eigenvalues + no[:, None]
    coefficients = 1 / _loaded(noisy, eps)
    power, variance = frequency.power.mT, frequency.variance
    err_var = (variance - coefficients @ power).clamp(min=0)
    estimate_var = (coefficients.square() * noisy) @ power
    scale = 2 * variance / (estimate_var + variance - err_var)
    err_var = (scale * (scale - 1) * estimate_var + (1 - scale) * variance + scale * err_var).clamp(min=0)
    rows = 1 / _loaded(time.eigenvalues + err_var[..., None], eps).mT
    err_var = (time.variance[:, None] - time.power @ rows).clamp(min=0)
    return Weights(coefficients[:, None], scale[:, None] * rows, err_var)


def joint(frequency: Axis, time: Axis, no: Tensor) -> Weights:
    """Filter over subcarriers and OFDM symbols at once: the least mean squared error if the covariance is separable.

    The covariance of the grid is the product of those over subcarriers and over OFDM symbols, which are of one power.
    """
    power = time.variance.mean()
    coefficients = 1 / (time.eigenvalues[:, None] / power * frequency.eigenvalues + no[:, None, None])
    explained = time.power @ coefficients @ frequency.power.mT / power.square()
    err_var = (time.variance[:, None] / power * frequency.variance - explained).clamp(min=0)
    return Weights(coefficients, torch.ones_like(no[:1, None, None]) / power, err_var)


def _loaded(diagonal: Tensor, eps: float) -> Tensor:
    """A covariance, diagonal [..., k] in its eigenvectors, with Sionna 2's diagonal loading."""
    if not DIAGONAL_LOADING:
        return diagonal
    return diagonal + eps * diagonal.shape[-1] * diagonal.mean(-1, keepdim=True)


class WienerFilter:
    """Channel estimates of one user from its pilots.

    Parameters
    ----------
    over_frequency : complex [num_subcarriers, num_subcarriers]
        Covariance of the channel over the subcarriers.
    over_time : complex [num_ofdm_symbols, num_ofdm_symbols]
        Covariance over the OFDM symbols of a slot.
    comb : sequence of int
        Subcarriers with pilots.
    pilot_symbols : sequence of int
        OFDM symbols with pilots.
    two_dimensional : bool
        `joint` instead of `sequential`.
    """

    def __init__(
        self,
        over_frequency: Tensor,
        over_time: Tensor,
        comb: Sequence[int],
        pilot_symbols: Sequence[int],
        two_dimensional: bool,
    ):
        self.frequency, self.time = Axis(over_frequency, comb), Axis(over_time, pilot_symbols)
        self.two_dimensional = two_dimensional

    def __call__(self, at_pilots: Tensor, no: Tensor, symbols: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Interpolate and smooth the least-squares estimate.

        Parameters
        ----------
        at_pilots : complex [b, ..., pilot symbols, pilots of a symbol]
            Channel at the pilots, of unit power, with noise.
        no : float [b]
            Variance of that noise.
        symbols : sequence of int
            OFDM symbols at which the channel is estimated.

        Returns
        -------
        h_hat : complex [b, ..., symbols, num_subcarriers], in the precision of ``at_pilots``
        err_var : float [b, symbols, num_subcarriers]
        """
        frequency, time = self.frequency, self.time
        dtype, real = at_pilots.dtype, at_pilots.real.dtype
        if self.two_dimensional:
            weights = joint(frequency, time, no.double())
        else:
            weights = sequential(frequency, time, no.double(), torch.finfo(real).eps)
        inner = (1,) * (at_pilots.dim() - 3)
        x = torch.einsum("pj,...pi->...ji", time.analysis.to(dtype), at_pilots @ frequency.analysis.to(dtype))
        x = x * weights.coefficients.to(real).unflatten(0, (-1, *inner))
        x = x @ frequency.synthesis.mT.to(dtype) * weights.rows.to(real).unflatten(0, (-1, *inner))
        h_hat = torch.einsum("tj,...jf->...tf", time.synthesis[list(symbols)].to(dtype), x)
        return h_hat, weights.err_var[:, list(symbols)].to(real)
