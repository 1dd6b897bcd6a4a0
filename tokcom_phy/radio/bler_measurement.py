"""The block error rate of a code over AWGN, measured with Sionna's codec."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import gammaincc
from torch import Tensor

from tokcom_phy.radio.blockcode import BlockCode
from tokcom_phy.radio.miesm import snr_db_of

RELATIVE_ERROR = 0.095
"""Directions are added until the relative standard error is below this down to the lowest BLER of the `Effort`."""


class Effort(NamedTuple):
    """How far a measurement goes: directions at first and at most, and the lowest BLER that has to be right."""

    fewest: int
    most: int
    lowest_bler: float


ONE_ROUND = Effort(512, 16384, 1e-3)
SEVERAL_ROUNDS = Effort(512, 16384, 1e-2)
_BATCH = 64
_GAP_DB = 1.0
"""Usual distance of a code from the SNR at which the modulation carries as many bits."""

_SCREENED_SHARE = 0.85
_RESOLUTION_DB = 0.1
_STEP_DB = 0.05
_SEED = 13


def measure_bler(
    code: BlockCode, versions: Sequence[int] = (0,), on_progress: Callable[[float], None] = lambda _: None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Measure the block error rate over AWGN as a function of SNR, until its standard error is small enough.

    The noise vector of a block of n symbols has a direction and a length, which are independent. For a direction drawn
    at random, bisection finds the largest noise power t (noise energy over n) at which the block is decoded. At noise
    power N0 the noise energy over n is N0·ρ, with ρ Gamma distributed with shape n and mean one. Hence

        BLER(N0) = E[P(N0·ρ > t)] = E[Γ(n, n·t/N0) / Γ(n)],

    and the mean over directions, each of which counts at all SNRs, has a far smaller variance than a count of errors.
    It takes two assumptions: that less noise of one direction is no worse, and that a demapper that is told the noise
    power of the block does as well as one that is told its mean. Both are tested against counted errors.

    Low error rates come from the few directions that fail first. So most directions are only screened: one decoding at
    the SNR that 85 % of the first ones get along with. Bisection goes on for those that fail; the others are
    represented by the first ones of their kind (stratification with estimated shares).

    Parameters
    ----------
    code : BlockCode
    versions : sequence of int
        Redundancy versions that are sent, at one SNR, and decoded together: n counts the symbols of all.
    on_progress : share done → None

    Returns
    -------
    snr_db, bler, std_error : float64 [points]
        In steps of 0.05 dB, from BLER 0.999 to 1e-6.
    num_blocks : int
        Directions.
    """
    effort = ONE_ROUND if len(versions) == 1 else SEVERAL_ROUNDS
    generator = torch.Generator().manual_seed(_SEED)
    first = _thresholds_db(code, versions, generator, _first_guess_db(code, len(versions)))
    while len(first) < effort.fewest:
        first += _thresholds_db(code, versions, generator, float(np.median(first)))
        on_progress(0.5 * len(first) / effort.fewest)
    split_db = round(float(np.quantile(first, _SCREENED_SHARE)), 1)
    good = np.asarray([threshold for threshold in first if threshold <= split_db])
    bad = [threshold for threshold in first if threshold > split_db]
    count = len(first)
    while True:
        snr_db, bler, error = _average(good, np.asarray(bad), count, len(versions) * code.num_symbols)
        worst = float((error / bler)[bler >= effort.lowest_bler].max())
        if worst <= RELATIVE_ERROR or count >= effort.most:
            return snr_db, bler, error, count
        on_progress(0.5 + 0.5 * min((RELATIVE_ERROR / worst) ** 2, 0.99))
        bad += _thresholds_db(code, versions, generator, split_db, screen=True)
        count += _BATCH


def _first_guess_db(code: BlockCode, rounds: int) -> float:
    """Where to look for the first thresholds; for one round as the shipped tables were measured."""
    if rounds == 1:
        return 10.0
    shannon = torch.tensor(code.num_info_bits / (rounds * code.num_symbols))
    return float(snr_db_of(shannon, code.bits_per_symbol)) + _GAP_DB


def _average(
    good: np.ndarray, bad: np.ndarray, count: int, num_symbols: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BLER and its standard error on a grid of SNRs.

    Parameters
    ----------
    good, bad : float64
        SNRs that directions take [dB]: of some below the SNR of the screening, and of all above it.
    count : int
        All directions.
    num_symbols : int
    """
    grid = np.arange(np.floor(good.min()) - 3, np.ceil(bad.max()) + 6, _STEP_DB).round(3)
    lost = [gammaincc(num_symbols, num_symbols * 10 ** ((grid[:, None] - t) / 10)) for t in (good, bad)]
    share = np.array([1 - len(bad) / count, len(bad) / count])
    mean = np.stack([part.mean(1) for part in lost], axis=1)
    within = np.stack([part.var(1, ddof=1) / part.shape[1] for part in lost], axis=1)
    bler = mean @ share
    between = np.maximum(mean**2 @ share - bler**2, 0) / count
    error = np.sqrt(within @ share**2 + between)
    kept = (bler > 1e-6) & (bler < 0.999)
    return grid[kept], bler[kept], error[kept]


def _thresholds_db(
    code: BlockCode, versions: Sequence[int], generator: torch.Generator, guess_db: float, screen: bool = False
) -> list[float]:
    """SNR above which each block of a batch is decoded [dB], for noise of a random direction, within ±0.05 dB.

    With ``screen`` blocks that are decoded at the first SNR are left out. That is ``guess_db``, rounded to 0.1 dB, plus
    an offset that is uniform within ±0.05 dB and shifts all SNRs that a block is tried at.
    """
    shape = (_BATCH, code.num_info_bits)
    bits = torch.randint(2, shape, generator=generator).float().to(code.device)
    sent = code.encode_versions(bits, versions)
    noise = torch.randn(sent.shape, generator=generator, dtype=torch.complex64).to(code.device)
    noise = noise / noise.abs().square().mean(1, keepdim=True).sqrt()
    dither = torch.rand(_BATCH, generator=generator, dtype=torch.float64) - 0.5
    probe = round(guess_db, 1) + _RESOLUTION_DB * dither
    lost = torch.full_like(probe, -torch.inf)
    decoded = torch.full_like(probe, torch.inf)
    stride = torch.full_like(probe, 2 * _RESOLUTION_DB)
    active = torch.arange(_BATCH)
    while len(active):
        no = 10 ** (-probe[active, None].float().to(code.device) / 10)
        received = sent[active] + noise[active] * no.sqrt()
        works = code.recovers(received, no.expand(received.shape), bits[active], versions).cpu()
        decoded[active[works]] = probe[active[works]]
        lost[active[~works]] = probe[active[~works]]
        probe = _next_probe(lost, decoded, stride)
        open_ended = ~(lost.isfinite() & decoded.isfinite())
        stride[open_ended] *= 2
        if screen:
            active, screen = active[~works], False
        active = active[(decoded - lost)[active] > 1.01 * _RESOLUTION_DB]
    return ((lost + decoded) / 2)[lost.isfinite()].tolist()


def _next_probe(lost: Tensor, decoded: Tensor, stride: Tensor) -> Tensor:
    """The middle of each bracket; beyond its known end while it has only one."""
    middle = (lost + decoded) / 2
    return torch.where(lost.isinf(), decoded - stride, torch.where(decoded.isinf(), lost + stride, middle))
