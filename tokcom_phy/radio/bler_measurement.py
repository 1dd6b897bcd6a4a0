"""The block error rate of a code over AWGN, measured with Sionna's codec."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import gammaincc
from torch import Tensor

from tokcom_phy.radio.blockcode import BlockCode

LOWEST_BLER = 1e-3
RELATIVE_ERROR = 0.095
"""Blocks are added until the relative standard error is below this wherever the BLER is at least `LOWEST_BLER`."""

_BATCH = 64
_FEWEST, _MOST = 4 * _BATCH, 8192
_RESOLUTION_DB = 0.1
_STEP_DB = 0.05
_SEED = 13


def measure_bler(
    code: BlockCode, on_progress: Callable[[float], None] = lambda _: None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Measure the block error rate over AWGN as a function of SNR, until its standard error is small enough.

    The noise vector of a block of n symbols has a direction and a length, which are independent. For a direction drawn
    at random, bisection finds the largest noise power t (noise energy over n) at which the block is decoded. At noise
    power N0 the noise energy over n is N0·ρ, with ρ Gamma distributed with shape n and mean one. Hence

        BLER(N0) = E[P(N0·ρ > t)] = E[Γ(n, n·t/N0) / Γ(n)],

    and the mean over directions, each of which counts at all SNRs, has a far smaller variance than a count of errors.
    It takes two assumptions: that less noise of one direction is no worse, and that a demapper that is told the noise
    power of the block does as well as one that is told its mean. Both are tested against counted errors.

    Parameters
    ----------
    code : BlockCode
    on_progress : share done → None

    Returns
    -------
    snr_db, bler, std_error : float64 [points]
        In steps of 0.05 dB, from BLER 0.999 to 1e-6.
    num_blocks : int
        Directions.
    """
    generator = torch.Generator().manual_seed(_SEED)
    found = _thresholds_db(code, generator, 10.0)
    while True:
        thresholds_db = np.asarray(found)
        snr_db, bler, error = _average(thresholds_db, code.num_symbols)
        measured = bler >= LOWEST_BLER
        worst = float((error / bler)[measured].max())
        enough = len(found) >= _FEWEST and worst <= RELATIVE_ERROR
        if enough or len(found) >= _MOST:
            return snr_db, bler, error, len(found)
        on_progress(min(len(found) / _FEWEST, (RELATIVE_ERROR / worst) ** 2, 0.99))
        found += _thresholds_db(code, generator, float(np.median(thresholds_db)))


def _average(thresholds_db: np.ndarray, num_symbols: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BLER and its standard error on a grid of SNRs, from the SNR [dB] that each direction of the noise takes."""
    grid = np.arange(np.floor(thresholds_db.min()) - 3, np.ceil(thresholds_db.max()) + 6, _STEP_DB).round(3)
    margin = 10 ** ((grid[:, None] - thresholds_db) / 10)
    lost = gammaincc(num_symbols, num_symbols * margin)
    bler = lost.mean(1)
    error = lost.std(1, ddof=1) / np.sqrt(len(thresholds_db))
    kept = (bler > 1e-6) & (bler < 0.999)
    return grid[kept], bler[kept], error[kept]


def _thresholds_db(code: BlockCode, generator: torch.Generator, guess_db: float) -> list[float]:
    """SNR above which each block of a batch is decoded [dB], for noise of a random direction, within ±0.05 dB."""
    shape = (_BATCH, code.num_info_bits)
    bits = torch.randint(2, shape, generator=generator).float().to(code.device)
    sent = code.encode(bits)
    noise = torch.randn(sent.shape, generator=generator, dtype=torch.complex64).to(code.device)
    noise = noise / noise.abs().square().mean(1, keepdim=True).sqrt()
    dither = torch.rand(_BATCH, generator=generator, dtype=torch.float64) - 0.5
    probe = guess_db + _RESOLUTION_DB * dither
    lost = torch.full_like(probe, -torch.inf)
    decoded = torch.full_like(probe, torch.inf)
    stride = torch.full_like(probe, 2 * _RESOLUTION_DB)
    while (active := (decoded - lost > 1.01 * _RESOLUTION_DB).nonzero()[:, 0]).numel():
        no = 10 ** (-probe[active, None].float().to(code.device) / 10)
        received = sent[active] + noise[active] * no.sqrt()
        works = code.recovers(received, no.expand(received.shape), bits[active]).cpu()
        decoded[active[works]] = probe[active[works]]
        lost[active[~works]] = probe[active[~works]]
        probe = _next_probe(lost, decoded, stride)
        open_ended = ~(lost.isfinite() & decoded.isfinite())
        stride[open_ended] *= 2
    return ((lost + decoded) / 2).tolist()


def _next_probe(lost: Tensor, decoded: Tensor, stride: Tensor) -> Tensor:
    """The middle of each bracket; beyond its known end while it has only one."""
    middle = (lost + decoded) / 2
    return torch.where(lost.isinf(), decoded - stride, torch.where(decoded.isinf(), lost + stride, middle))
