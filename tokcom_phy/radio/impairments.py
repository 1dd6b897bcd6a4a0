"""Impairments of an OFDM uplink, as they act on a realisation.

What turns or scales a whole OFDM symbol is drawn; what couples subcarriers becomes interference of the right variance,
white over subcarriers. A symbol keeps the share |I|² of its power, I = (1/T)∫exp(jφ(t))dt for the phase φ(t) of its
user's oscillator; the rest, 1 − |I|², is interference between subcarriers. It comes from the user, so it arrives over
the user's own channel, with its fades, and antennas do not suppress it: x becomes I·(x + e). What the base station's
radios do is white over antennas. The receiver knows all variances.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.impairments_config import ImpairmentsConfig
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.seeding import complex_normal

_STEPS = 16
"""Steps of the phase in an OFDM symbol: its mean errs by 1/16² of the interference that it causes."""


@dataclass
class Impairments:
    """The impairments of some users in a draw.

    Attributes
    ----------
    config : ImpairmentsConfig
    request : DrawRequest
    users : list of str
    device : str
    spacing : float
        Subcarrier spacing, the inverse of a symbol's useful duration T [Hz].
    prefix : float
        Cyclic prefix over T.
    """

    config: ImpairmentsConfig
    request: DrawRequest
    users: list[str]
    device: str
    spacing: float
    prefix: float

    def _normal(self, num: int, purpose: str) -> Tensor:
        """Independent numbers of unit variance, float32 [b, users, 2 · num]; a prefix of those of a larger ``num``."""
        drawn = [self.request.normal((num,), self.device, purpose, user) for user in self.users]
        return torch.view_as_real(torch.stack(drawn, dim=1)).flatten(2)

    @cached_property
    def power(self) -> Tensor | None:
        """Received power of each user over its target, float32 [b, users]: Gaussian in decibels."""
        if not self.config.power_control_std_db:
            return None
        return 10 ** (self.config.power_control_std_db / 10 * self._normal(1, "power control")[..., 0])

    @cached_property
    def lateness(self) -> Tensor | None:
        """How late each user's signal is, float32 [b, users] [s]."""
        if not self.config.timing_offset:
            return None
        return torch.stack([self.late(self.request.seed, self.request.indices, user) for user in self.users], dim=1)

    def late(self, seed: int, indices: Sequence[int], user: str) -> Tensor:
        """How late a user's signal is in some realisations, float32 [indices] [s]: uniform, the phase of a Gaussian."""
        phase = complex_normal((1,), self.device, seed, indices, "timing", user)[:, 0].angle()
        return self.config.timing_offset * (phase / (2 * math.pi) + 0.5)

    def turn(self, num_symbols: int) -> Tensor | None:
        """I of every OFDM symbol from the start of the transmission, complex64 [b, users, num_symbols].

        A frequency offset of ε subcarriers turns symbol s by 2πε(1 + T_cp/T)s and leaves sinc(ε); a Wiener phase of
        linewidth β has increments of variance 2πβ·Δt, and E|I|² = 2(exp(−a) − 1 + a)/a² with a = πβT.
        """
        turn = None
        if self.config.frequency_offset:
            offset = self.config.frequency_offset * self._normal(1, "frequency")[..., :1]
            symbol = torch.arange(num_symbols, device=self.device)
            turn = torch.sinc(offset) * torch.exp(2j * math.pi * offset * (symbol * (1 + self.prefix) + 0.5))
        if self.config.phase_noise:
            steps = self._normal(num_symbols * _STEPS // 2, "phase noise").unflatten(2, (num_symbols, _STEPS))
            duration = torch.full((_STEPS,), 1 / _STEPS, device=self.device)
            duration[0] += self.prefix
            phase = (
                (steps * (2 * math.pi * self.config.phase_noise / self.spacing * duration).sqrt()).flatten(2).cumsum(2)
            )
            wandering = torch.polar(torch.ones_like(phase), phase).unflatten(2, (num_symbols, _STEPS)).mean(3)
            turn = wandering if turn is None else turn * wandering
        return turn

    def sent_beside(self, shape: tuple[int, ...]) -> Tensor:
        """e of unit variance, complex64 [b, users, *shape]."""
        drawn = [self.request.normal(shape, self.device, "between subcarriers", user) for user in self.users]
        return torch.stack(drawn, dim=1) / 2**0.5

    @property
    def receiver_noise(self) -> float:
        """Noise of the base station's receivers over the power that they receive.

        By converters of distortion ρ, ρ/(1 − ρ) (additive quantisation noise model), by IQ imbalance the image.
        """
        share = 0.0
        if self.config.adc_bits is not None:
            distortion = uniform_quantizer(self.config.adc_bits).distortion
            share += distortion / (1 - distortion)
        if self.config.image_rejection_db is not None:
            share += 10 ** (-self.config.image_rejection_db / 10)
        return share

    @property
    def other_cell(self) -> float:
        """Amplitude of the other cell's user over that of one's own."""
        contamination = self.config.pilot_contamination_db
        return 0.0 if contamination is None else 10 ** (contamination / 20)

    def sent_by_others(self, shape: tuple[int, ...]) -> Tensor:
        """Gaussian symbols of the other cell's users, of unit power, complex64 [b, users, *shape]."""
        drawn = [self.request.normal(shape, self.device, "other cell", user) for user in self.users]
        return torch.stack(drawn, dim=1) / 2**0.5


def phase_covariance(config: ImpairmentsConfig, num_symbols: int, spacing: float, prefix: float) -> Tensor:
    """Covariance E[I_s I_t*] of `Impairments.turn` over OFDM symbols, with ones on its diagonal: float64 [t, t].

    A Gaussian frequency offset of standard deviation σ leaves exp(−(2πσΔ)²/2) of it after Δ = (1 + T_cp/T)|s − t|, a
    Wiener phase e^{−aΔ}·2(cosh a − 1)/a² for s ≠ t, over E|I|² = 2(e^{−a} − 1 + a)/a², with a = πβT.

    Parameters
    ----------
    config : ImpairmentsConfig
    num_symbols : int
    spacing, prefix : float
        As for `Impairments`.
    """
    symbol = torch.arange(num_symbols, dtype=torch.float64)
    lag = (1 + prefix) * (symbol[:, None] - symbol).abs()
    covariance = torch.exp(-((2 * math.pi * config.frequency_offset * lag) ** 2) / 2)
    a = math.pi * config.phase_noise / spacing
    if a > 1e-6:
        covariance = covariance * torch.exp(-a * lag) * (math.cosh(a) - 1) / (math.exp(-a) - 1 + a)
    return covariance.fill_diagonal_(1.0)


def delay_covariance(config: ImpairmentsConfig, frequencies: Tensor) -> Tensor:
    """Covariance over subcarriers of what lateness turns, uniform to D: e^{−jπΔfD}·sinc(ΔfD), complex128 [f, f]."""
    apart = config.timing_offset * (frequencies.double()[:, None] - frequencies.double())
    return torch.polar(torch.ones_like(apart), -math.pi * apart) * torch.sinc(apart)


@lru_cache
def uniform_quantizer(bits: int) -> Quantizer:
    """The uniform quantiser of least mean squared error for Gaussian values of unit variance."""

    def distortion(logarithm: float) -> float:
        return Quantizer(bits, math.exp(logarithm)).distortion

    return Quantizer(bits, math.exp(minimize_scalar(distortion, bounds=(0.0, 2.5), method="bounded").x))


def quantized(values: Tensor, power: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Complex values with their real and imaginary parts quantised.

    Parameters
    ----------
    values : complex64, any shape
    power : float32, broadcastable to it
        Mean power of the values, by which the quantiser is scaled.
    bits : int

    Returns
    -------
    values : complex64, the same shape
    error : float32, the shape of ``power``
        Variance of the error.
    """
    quantizer = uniform_quantizer(bits)
    scale = (power / 2).sqrt()[..., None]
    levels = quantizer.nearest(torch.view_as_real(values) / scale)
    return torch.view_as_complex((levels * scale).contiguous()), quantizer.distortion * power
