"""Linear combining at the base station: A = G·H, w = G·n and the effective noise from channel, estimate and noise.

What the receiver hands on, the ``output`` of a link, is decided here for all links (`output_gain`).

There are many small matrices (users × users, one per resource element). They are stored with the resource elements
last and eliminated element-wise, which on a CPU is an order of magnitude faster than a batched Cholesky.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.family_config import Output
from tokcom_phy.radio.state import LinkState
from tokcom_phy.radio.waveform import Waveform

Combining = Literal["lmmse", "zf", "mrc"]


def output_gain(effective_noise_var: Tensor, output: Output) -> Tensor:
    """Gain by which the receiver multiplies an unbiased symbol x + e before it hands it on.

    For E|x|² = 1 and an uncorrelated e of variance 1/γ the estimate of least mean squared error is γ/(1 + γ)·(x + e);
    its error has the variance 1/(1 + γ).

    Parameters
    ----------
    effective_noise_var : float, any shape
        1/γ, as the receiver knows it.
    output : 'mmse', 'unbiased' or 'raw'

    Returns
    -------
    float, the same shape and dtype; one unless the output is 'mmse'
    """
    return 1 / (1 + effective_noise_var) if output == "mmse" else torch.ones_like(effective_noise_var)


class Combined(NamedTuple):
    """Channel, noise and SINR after combining.

    Attributes
    ----------
    gain : complex64 [b, num_users, num_users, n]
        A = G·H.
    noise : complex64 [b, num_users, n]
        w = G·n.
    effective_noise_var : float32 [b, num_users, n]
        Noise and interference over signal, computed from ``h_hat``.
    sinr : float32 [b, num_users, n]
        True SINR.
    """

    gain: Tensor
    noise: Tensor
    effective_noise_var: Tensor
    sinr: Tensor


def combine(
    h: Tensor,
    h_hat: Tensor,
    noise: Tensor,
    no: Tensor,
    active: Tensor,
    combining: Combining,
    output: Output,
    noise_var: Tensor | None = None,
    distortion: Tensor | None = None,
    turned: Tensor | None = None,
) -> Combined:
    """Combine the receive antennas, user by user and resource element by resource element.

    The conventions are those of `sionna.phy.mimo`: `lmmse_equalizer`, `zf_equalizer` and `mf_equalizer` with the noise
    covariance S = no·I.

    Parameters
    ----------
    h : complex64 [b, num_rx_ant, num_users, n]
        Channel, scaled by the received amplitude. Columns beyond those of ``h_hat`` are users of other cells, unknown
        to the receiver; their gains come last.
    h_hat : complex64, the same shape
        Its estimate, from which the combiner is computed; the same object as ``h`` for perfect CSI.
    noise : complex64 [b, num_rx_ant, n]
    no : float32, broadcastable to [b, n]
        Noise variance assumed by the combiner: N0 plus the error variances of all channel estimates.
    active : bool, broadcastable to [b, num_users, n]
        Which users are active on a resource element; an inactive user is a zero column of the channel.
    combining : 'lmmse', 'zf' or 'mrc'
    output : 'mmse' or 'unbiased'
        See `output_gain`; Sionna's is unbiased.
    noise_var : float32, broadcastable to [b, n], optional
        Variance of ``noise``; by default one.
    distortion : float32 [b, num_users, n], optional
        Of the known users: variance of what each sends beside its symbol, over that. ``noise`` holds it too, on top of
        its variance.
    turned : float32, broadcastable to [b, num_users, n], optional
        Variance of the relative error of estimates that all antennas have in common, as the receiver expects it.

    Returns
    -------
    Combined
    """
    known = h is h_hat
    if not active.all():
        own = h_hat.shape[2]
        h_hat = h_hat * active[:, None]
        h = h_hat if known else torch.cat([h[:, :, :own] * active[:, None], h[:, :, own:]], dim=2)
    gram, cross, matched = _products(h_hat, None if known else h, noise)
    power = _diagonal(gram).real
    no = no[..., None, :]
    identity = torch.eye(h_hat.shape[2], device=h_hat.device)[:, :, None]
    if combining == "mrc":
        unbiased_by = 1 / power.where(power > 0, 1.0)
        weights = identity
        leakage = (identity - gram * unbiased_by[:, :, None]).abs().square().sum(2)
        effective_noise_var = leakage + no * unbiased_by
    elif combining == "zf":
        inactive = (power == 0).to(power.dtype)
        weights = _inverse(gram + identity * inactive[:, :, None])
        unbiased_by = torch.ones_like(power)
        effective_noise_var = no * _diagonal(weights).real
    else:
        weights = _inverse(gram / no[:, :, None] + identity)
        own_gain = (weights * gram.transpose(1, 2)).sum(2).real / no
        own_gain = own_gain.where(power > 0, 1.0)
        unbiased_by = 1 / (own_gain * no)
        effective_noise_var = _diagonal(weights).real / own_gain
    for expected in (distortion, turned):
        effective_noise_var = effective_noise_var if expected is None else effective_noise_var + expected
    weights = weights * (unbiased_by * output_gain(effective_noise_var, output))[:, :, None]
    gain = _multiply(weights, cross)
    exactly = known and distortion is None and turned is None
    sinr = 1 / effective_noise_var if exactly else _sinr(gain, weights, gram, noise_var, distortion)
    return Combined(gain, _multiply(weights, matched), effective_noise_var, sinr)


def unequalized(
    h: Tensor, noise: Tensor, no: Tensor, noise_var: Tensor | None = None, distortion: Tensor | None = None
) -> Combined:
    """The signal of one user at one antenna as it is received, h·x + n: equation (6).

    Parameters
    ----------
    h : complex64 [b, 1, 1, n]
        Channel, of unit mean power.
    noise : complex64 [b, 1, n]
        Noise and interference, over the standard deviation of the noise.
    no : float32 [b]
        Noise variance N0.
    noise_var, distortion
        As for `combine`.
    """
    effective_noise_var = no[:, None, None].expand(noise.shape)
    if noise_var is not None:
        effective_noise_var = effective_noise_var * noise_var[:, None]
    gain = h[:, 0, None]
    signal = gain[:, 0].abs().square()
    rest = effective_noise_var if distortion is None else effective_noise_var + signal * distortion
    believed = effective_noise_var if distortion is None else effective_noise_var + distortion
    return Combined(gain, noise * no.sqrt()[:, None, None], believed, signal / rest)


def _sinr(gain: Tensor, weights: Tensor, gram: Tensor, noise_var: Tensor | None, distortion: Tensor | None) -> Tensor:
    """|A_kk|² over the power of other users' symbols, of what all send beside symbols, and of noise: G = weights·Ĥᴴ."""
    noise = (_multiply(weights, gram) * weights.conj()).sum(2).real
    if noise_var is not None:
        noise = noise * noise_var[..., None, :]
    received = gain.abs().square()
    signal = _diagonal(received)
    rest = received.sum(2) - signal + noise
    if distortion is not None:
        rest = rest + (received[:, :, : distortion.shape[1]] * distortion[:, None]).sum(2)
    return signal / rest


def _products(h_hat: Tensor, h: Tensor | None, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ĥᴴ·Ĥ, Ĥᴴ·H and Ĥᴴ·n for every resource element, summed antenna by antenna."""
    batch, num_rx_ant, num_users, n = h_hat.shape
    conjugate = h_hat.conj().resolve_conj()
    gram = h_hat.new_zeros(batch, num_users, num_users, n)
    cross = gram if h is None else h.new_zeros(batch, num_users, h.shape[2], n)
    matched = h_hat.new_zeros(batch, num_users, n)
    for m in range(num_rx_ant):
        gram.addcmul_(conjugate[:, m, :, None], h_hat[:, m, None])
        if h is not None:
            cross.addcmul_(conjugate[:, m, :, None], h[:, m, None])
        matched.addcmul_(conjugate[:, m], noise[:, m, None])
    return gram, cross, matched


def _inverse(matrix: Tensor) -> Tensor:
    """Invert Hermitian positive definite matrices [b, u, u, n] by Gauss–Jordan elimination, which needs no pivoting."""
    inverse = matrix.clone()
    for k in range(matrix.shape[1]):
        pivot = 1 / inverse[:, k, k]
        row = inverse[:, k] * pivot[:, None]
        column = inverse[:, :, k].clone()
        inverse.addcmul_(column[:, :, None], row[:, None], value=-1)
        inverse[:, k] = row
        inverse[:, :, k] = -column * pivot[:, None]
        inverse[:, k, k] = pivot
    return inverse


def _multiply(matrix: Tensor, other: Tensor) -> Tensor:
    """Matrix [b, u, u, n] times matrix [b, u, v, n] or vector [b, u, n], element by element."""
    columns = matrix if other.dim() == 3 else matrix[:, :, :, None]
    product = columns[:, :, 0] * other[:, None, 0]
    for j in range(1, matrix.shape[1]):
        product = product.addcmul_(columns[:, :, j], other[:, None, j])
    return product


def _diagonal(matrix: Tensor) -> Tensor:
    """Diagonal [b, u, n] of matrices [b, u, u, n]."""
    return matrix.diagonal(dim1=1, dim2=2).mT


def combined_state(
    request: DrawRequest, users: Sequence[str], combined: Combined, waveform: Mapping[str, Waveform] | None = None
) -> LinkState:
    """The realisation of users that share resource elements, each truncated to its payload length."""
    lengths = [request.num_symbols[user] for user in users]
    return LinkState(
        {
            user: {other: combined.gain[:, k, j, : min(lengths[k], lengths[j])] for j, other in enumerate(users)}
            for k, user in enumerate(users)
        },
        {user: combined.noise[:, k, : lengths[k]] for k, user in enumerate(users)},
        {user: combined.effective_noise_var[:, k, : lengths[k]] for k, user in enumerate(users)},
        {user: combined.sinr[:, k, : lengths[k]] for k, user in enumerate(users)},
        request.masks(users),
        waveform or {},
    )
