"""The waveform of an OFDM user: transform precoding, oversampled modulation, the amplifier, and the way back."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tokcom_phy.radio.power import rapp

OVERSAMPLING = 4
"""Samples of a waveform per subcarrier: peaks between samples are at most a few tenths of a decibel higher."""


def modulate(grid: Tensor, occupied: Tensor | int, oversampling: int = OVERSAMPLING) -> Tensor:
    """Samples of OFDM symbols, of mean power one where their subcarriers have power one.

    Parameters
    ----------
    grid : complex [..., subcarriers]
    occupied : int64 [...], or int
        Subcarriers in use: the amplifier is driven the same by a symbol that uses few of them.

    Returns
    -------
    complex [..., oversampling · subcarriers]
        Without the cyclic prefix, a copy of the end, which the receiver drops.
    """
    size = oversampling * grid.shape[-1]
    drive = torch.as_tensor(occupied, device=grid.device).clamp(min=1).sqrt()
    return torch.fft.ifft(grid, n=size, norm="forward") / drive[..., None]


def amplify(grid: Tensor, backoff_db: float, occupied: Tensor | int) -> Tensor:
    """What Rapp's amplifier makes of OFDM symbols, on their own subcarriers: complex of the shape of ``grid``.

    IFFT, amplifier, FFT. By Bussgang's theorem a Gaussian waveform becomes α·x + d with d uncorrelated with x; what
    falls beside the subcarriers is left out.

    Parameters
    ----------
    grid : complex [..., subcarriers]
    backoff_db : float
        Saturation over the mean power of the symbol [dB].
    occupied : int64 [...], or int
        Subcarriers in use.
    """
    drive = torch.as_tensor(occupied, device=grid.device).clamp(min=1).sqrt()
    samples = rapp(modulate(grid, occupied), backoff_db)
    return torch.fft.fft(samples, norm="forward")[..., : grid.shape[-1]] * drive[..., None]


@lru_cache
def mean_gain(backoff_db: float) -> float:
    """Bussgang gain α = E[x* g(x)] / E|x|² of Rapp's amplifier for a Gaussian waveform x.

    With x of power one and amplitude r, whose density is 2r·exp(−r²), α = ∫ r·g(r)·2r·exp(−r²) dr. Gaussian tokens make
    such a waveform exactly, however many subcarriers they take and precoded or not; QAM on many subcarriers nearly so.

    Parameters
    ----------
    backoff_db : float
        As for `amplify`.
    """
    r = torch.linspace(0, 8, 4001, dtype=torch.float64)
    bent = rapp(r, backoff_db)
    return float(torch.trapezoid(2 * r.square() * bent * torch.exp(-r.square()), r))


def peak_to_average_db(grid: Tensor, precoded: bool) -> Tensor:
    """Peak power of OFDM symbols over their mean power, from samples between samples [dB].

    Parameters
    ----------
    grid : complex [..., subcarriers]
        Symbols, all subcarriers in use.
    precoded : bool
        As for `Waveform`.

    Returns
    -------
    float [...]
    """
    sent = torch.fft.fft(grid, norm="ortho") if precoded else grid
    power = modulate(sent, grid.shape[-1], 2 * OVERSAMPLING).abs().square()
    return 10 * torch.log10(power.amax(-1) / power.mean(-1))


@dataclass(frozen=True)
class Waveform:
    """How the symbols of one user's payload become resource elements on the air, and back.

    Attributes
    ----------
    elements : int64 [n]
        Resource element of each symbol, counted over the data symbols of the user's slots, subcarriers first.
    width : int
        Subcarriers.
    backoff_db : float, optional
        Of Rapp's amplifier; None for an ideal one.
    precoded : bool
        Whether each OFDM symbol is precoded by a DFT over the subcarriers that it uses (DFT-s-OFDM, the transform
        precoding of TS 38.211, 6.3.1.4).
    """

    elements: Tensor
    width: int
    backoff_db: float | None
    precoded: bool

    def send(self, symbols: Tensor, mask: Tensor | None) -> Tensor:
        """Symbols [b, n] of mean power one to what is sent on their resource elements, complex [b, n]."""
        if self.precoded:
            symbols = self._transformed(symbols, mask, inverse=False)
        if self.backoff_db is None:
            return symbols
        elements = self.elements.to(symbols.device)
        num_symbols = int(elements.max()) // self.width + 1
        valid = torch.ones(1, symbols.shape[1], device=symbols.device) if mask is None else mask.to(symbols.device)
        occupied = torch.zeros(len(valid), num_symbols, dtype=torch.long, device=symbols.device)
        occupied.index_add_(1, elements // self.width, valid.long())
        grid = symbols.new_zeros(len(symbols), num_symbols * self.width).index_copy(1, elements, symbols)
        amplified = amplify(grid.unflatten(1, (num_symbols, self.width)), self.backoff_db, occupied)
        return amplified.flatten(1).gather(1, elements.expand(len(symbols), -1))

    def receive(self, symbols: Tensor, mask: Tensor | None) -> Tensor:
        """Received resource elements [b, n] back to symbols, complex [b, n]."""
        return self._transformed(symbols, mask, inverse=True) if self.precoded else symbols

    def mean(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Values [b, n] of resource elements as a precoded symbol meets them: their mean over its OFDM symbol."""
        if not self.precoded:
            return values
        valid = torch.ones_like(values.real) if mask is None else mask.to(values.real)
        symbol = self.elements.to(values.device) // self.width
        shape = (len(values), int(symbol.max()) + 1)
        count = torch.zeros(shape, device=values.device).index_add(1, symbol, valid).clamp(min=1)
        total = torch.zeros(shape, dtype=values.dtype, device=values.device).index_add(1, symbol, values * valid)
        return (total / count)[:, symbol]

    def _transformed(self, symbols: Tensor, mask: Tensor | None, inverse: bool) -> Tensor:
        """DFT over the used subcarriers of each OFDM symbol; examples with the same mask at once."""
        transform = torch.fft.ifft if inverse else torch.fft.fft
        if mask is None:
            mask = torch.ones(1, symbols.shape[1], dtype=torch.bool, device=symbols.device)
        distinct, which = mask.to(symbols.device).unique(dim=0, return_inverse=True)
        which = which.expand(len(symbols))
        found = torch.zeros_like(symbols)
        for number, valid in enumerate(distinct):
            rows = (which == number).nonzero()
            for columns in self._columns(valid):
                own = symbols[rows[:, :, None], columns]
                found[rows[:, :, None], columns] = transform(own, norm="ortho")
        return found

    def _columns(self, valid: Tensor) -> list[Tensor]:
        """Valid symbols by OFDM symbol, those of one size together: int64 [OFDM symbols, size], subcarriers rising."""
        chosen = valid.nonzero()[:, 0]
        elements = self.elements.to(valid.device)[chosen]
        chosen = chosen[elements.argsort()]
        sizes = (elements // self.width).bincount()
        starts = sizes.cumsum(0) - sizes
        return [
            chosen[starts[sizes == size][:, None] + torch.arange(size, device=valid.device)]
            for size in sizes.unique().tolist()
            if size
        ]


def precoded_quality(
    gain: Tensor, env: Tensor, sinr: Tensor, active: Tensor, symbol: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Quality of precoded symbols, which the DFT spreads over all subcarriers of their OFDM symbol.

    Subcarriers are weighted for least mean squared error; a symbol then has their mean gain ḡ, and the deviations from
    it become interference beside noise: SINR = |ḡ|² / (mean |g|² − |ḡ|² + mean |g|²/γ).

    Parameters
    ----------
    gain : complex64 [b, users, n]
        Of each user's own symbol on its resource element, under output 'mmse'.
    env : float32 [b, users, n]
        Effective noise variance on the resource elements, as the receiver knows it.
    sinr : float32 [b, users, n]
        True γ.
    active : bool [b, users, n]
    symbol : int64 [n]
        OFDM symbol of each resource element.

    Returns
    -------
    own_gain, env, sinr : float32 [b, users, n]
        Mean gain as the receiver knows it, and effective noise variance and SINR of the symbols.
    """
    weight = active.float().expand(gain.shape)
    count = _sums(weight, symbol).clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (_sums(values * weight, symbol) / count)[..., symbol]

    own_gain = mean(1 / (1 + env)).where(active, 1.0)
    power, received = gain.abs().square(), torch.complex(mean(gain.real), mean(gain.imag)).abs().square()
    rest = mean(power) - received + mean(power / sinr)
    true = (received / rest.clamp(min=torch.finfo(rest.dtype).tiny)).where(active, sinr)
    return own_gain, (1 - own_gain).where(active, env) / own_gain, true


def _sums(values: Tensor, symbol: Tensor) -> Tensor:
    """Sums of [b, users, n] over each OFDM symbol."""
    shape = (*values.shape[:2], int(symbol.max()) + 1)
    return torch.zeros(shape, dtype=values.dtype, device=values.device).index_add(2, symbol, values)
