"""Effective SNR of a coded block by the mutual information of its QAM symbols (MIESM)."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.sionna import Mapper

LOWEST_DB = -40.0
STEP_DB = 0.1
_HIGHEST_DB = 60.0
_SATURATED = 1e-9
_NODES, _FEW_NODES = 64, 20
_MATCHED = 1e-4
_OVERCONFIDENT = 1.1
_UNFORGIVEN = 0.4

_GAIN_STEPS = 16
_GAIN_SCALE = 0.1
_GAIN_STEP = np.arcsinh(1 / _GAIN_SCALE) / _GAIN_STEPS
_GAINS = 1 + _GAIN_SCALE * np.sinh(_GAIN_STEP * np.arange(-_GAIN_STEPS, _GAIN_STEPS + 1))
_BELIEVED_DB = np.arange(-14.0, 46.0)
_RATIOS_DB = np.arange(-14.0, 11.0)
"""Axes of `information_grid`; gains from 0 to 2, closer to each other near one. The least ratios are those of poor
estimates: at an SNR per antenna of −10 dB the receiver takes the noise for up to twenty times what it is."""


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
    return _known(10 * torch.log10(sinr.double()), bits_per_symbol)


def _known(snr_db: Tensor, bits_per_symbol: int) -> Tensor:
    """`mutual_information` at an SNR [dB], in its dtype."""
    curve = information_curve(bits_per_symbol).to(snr_db)
    position = ((snr_db - LOWEST_DB) / STEP_DB).clamp_(0, len(curve) - 1)
    left = position.long().clamp_(max=len(curve) - 2)
    return torch.lerp(curve[left], curve[left + 1], position.sub_(left))


def demapped_information(observation: Observation, bits_per_symbol: int) -> Tensor:
    """Bits that a decoder gets of each symbol through a demapper that knows neither its gain nor its noise exactly.

    The generalised mutual information of the demapper's metric |y − x|²/v for y = A·x + n with noise of variance N. It
    is below the mutual information at the SINR |A|²/N, and equal to it for A = 1 and v = N. The imaginary part of the
    gain turns one PAM of the QAM into noise of the other one: the real part of A and N + (Im A)² remain.

    Returns
    -------
    float32, the shape of the observation; negative where the demapper misleads the decoder
    """
    believed = observation.believed_var
    gain, noise_var = observation.gain, observation.noise_var
    if gain.is_complex():
        gain, noise_var = gain.real, noise_var + gain.imag.square()
    believed_db, ratio_db, error = -10 * torch.log10(believed), 10 * torch.log10(noise_var / believed), gain - 1
    known = _known(believed_db, bits_per_symbol)
    if torch.maximum(error.abs(), ratio_db.abs()).max() < _MATCHED:
        return known
    cells = information_cells(bits_per_symbol).to(believed)
    positions = (
        (error / _GAIN_SCALE).asinh_().div_(_GAIN_STEP).add_(_GAIN_STEPS),
        (believed_db - _BELIEVED_DB[0]).div_(_BELIEVED_DB[1] - _BELIEVED_DB[0]),
        (ratio_db - _RATIOS_DB[0]).div_(_RATIOS_DB[1] - _RATIOS_DB[0]),
    )
    return known - _interpolated(cells, (len(_GAINS), len(_BELIEVED_DB), len(_RATIOS_DB)), positions)


def block_information(observation: Observation, bits_per_symbol: int) -> Tensor:
    """Bits that a decoder gets of the symbols of each block in the mean, float32 [blocks].

    Ratios that are too large in the whole block are less of a mistake than their generalised mutual information says:
    belief propagation forgives most of a common factor. A demapper that takes an error of variance E for v < E in the
    mean over the block is taken for one that errs by (E/v)^0.4 only, if that gives more. The exponent is what a code
    over AWGN loses at E/v of 2, 4 and 10 (docs/digital.md).

    Parameters
    ----------
    observation : Observation [blocks, n]
    bits_per_symbol : int
    """
    information = demapped_information(observation, bits_per_symbol).mean(-1)
    error = (observation.gain - 1).abs().square() + observation.noise_var
    excess = (error / observation.believed_var).mean(-1)
    rows = (excess > _OVERCONFIDENT).nonzero()[:, 0]
    if len(rows):
        gain, noise_var, believed = (part[rows] for part in observation)
        forgiven = Observation(gain, noise_var, believed * excess[rows, None] ** (1 - _UNFORGIVEN))
        information[rows] = information[rows].maximum(demapped_information(forgiven, bits_per_symbol).mean(-1))
    return information


def _interpolated(cells: Tensor, shape: Sequence[int], positions: Sequence[Tensor]) -> Tensor:
    """Multilinear interpolation in a grid, at positions along each axis, which are clamped to the grid.

    Parameters
    ----------
    cells : float [cells, 2, 2, 2]
        The corners of each cell of the grid, as `information_cells` gives them.
    shape : sequence of int
        Of the grid.
    positions : sequence of float, any shape
        1.5 is halfway from the second to the third value of an axis.
    """
    cell, shares = torch.zeros_like(positions[0], dtype=torch.long), []
    for position, size in zip(positions, shape, strict=True):
        position.clamp_(0, size - 1)
        left = position.long().clamp_(max=size - 2)
        cell.mul_(size - 1).add_(left)
        shares.append(position.sub_(left).flatten())
    corners = cells.flatten(1).index_select(0, cell.flatten())
    for share in shares:
        lower, upper = corners.chunk(2, dim=1)
        corners = torch.lerp(lower, upper, share[:, None])
    return corners.reshape(cell.shape)


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
    values: list[float] = []
    for snr_db in np.arange(LOWEST_DB, _HIGHEST_DB, STEP_DB):
        noise_var = 10 ** (-snr_db / 10)
        values.append(float(_information(bits_per_symbol, 1.0, noise_var, np.array([noise_var]), _NODES)[0]))
        if bits_per_symbol - values[-1] < _SATURATED:
            break
    return torch.tensor(values, dtype=torch.float64).cummax(0).values


@lru_cache
def information_grid(bits_per_symbol: int) -> Tensor:
    """Information that a mismatched demapper loses, for gains, believed SNRs 1/v [dB] and ratios N/v [dB]: float64.

    The difference of the generalised mutual information to that of the believed SNR.
    """
    grid = np.empty((len(_GAINS), len(_BELIEVED_DB), len(_RATIOS_DB)))
    for column, believed in zip(grid.swapaxes(0, 1), 10 ** (-_BELIEVED_DB / 10), strict=True):
        matched = _information(bits_per_symbol, 1.0, believed, np.array([believed]), _FEW_NODES)
        noise_vars = believed * 10 ** (_RATIOS_DB / 10)
        for values, gain in zip(column, _GAINS, strict=True):
            values[:] = matched - _information(bits_per_symbol, gain, believed, noise_vars, _FEW_NODES)
    return torch.from_numpy(grid)


@lru_cache
def information_cells(bits_per_symbol: int) -> Tensor:
    """The eight corners of each cell of `information_grid`, float32 [cells, 2, 2, 2]: one look-up finds them all."""
    return information_grid(bits_per_symbol).float().unfold(0, 2, 1).unfold(1, 2, 1).unfold(2, 2, 1).flatten(0, 2)


def _information(
    bits_per_symbol: int, gain: float, believed_var: float, noise_vars: np.ndarray, nodes: int
) -> np.ndarray:
    """Bits of a QAM symbol that is received with a gain and noise, by a demapper that takes them for 1 and another."""
    labels, points = _pam(bits_per_symbol // 2)
    places, weights = np.polynomial.hermite.hermgauss(nodes)
    agrees = (labels[:, None] == labels).astype(float)
    half = len(points) // 2  # the other half is its mirror image
    received = gain * points[:half, None] + places * (2 * noise_vars[:, None, None]) ** 0.5
    metric = -((received[..., None] - points) ** 2) / (2 * believed_var)
    metric -= metric.max(3, keepdims=True)
    likelihood = np.exp(np.maximum(metric, -600))
    lost = np.log2(likelihood.sum(3)[..., None] / (likelihood @ agrees[:half])).sum(3)
    return 2 * (labels.shape[1] - (lost @ weights).mean(1) / np.pi**0.5)


@lru_cache
def _pam(num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels [points, bits] and points of a Gray-labelled PAM of unit power."""
    labels = np.array(list(product([0, 1], repeat=num_bits)))
    mapper = Mapper("pam", num_bits, device="cpu")
    return labels, mapper(torch.from_numpy(labels).float().reshape(1, -1)).real[0].double().cpu().numpy()
