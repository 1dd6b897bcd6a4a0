"""What an OFDM receiver loses: paths beyond the cyclic prefix, and channels that move within a symbol.

Both take power from a subcarrier's own symbol and spread it over the other subcarriers and, beyond the prefix, over the
neighbouring OFDM symbol. That power is modelled as white Gaussian interference of the right variance (ISI and ICI).
"""

import math

import torch
from scipy.special import itj0y0, j1
from torch import Tensor

SPEED_OF_LIGHT = 299792458.0
"""[m/s]"""


def window_gain(tau: Tensor, prefix_duration: float, useful_duration: float) -> Tensor:
    """Amplitude at which the receiver's window sees paths at given delays.

    The window is T long and begins T_cp after the first path. Of a path that arrives later than T_cp, or before the
    OFDM symbol's own prefix, the share δ of the window holds the neighbouring symbol. What is left of the path is
    1 − δ; the rest of its power, 1 − (1 − δ)² = δ + δ(1 − δ), is interference between symbols and between subcarriers,
    an upper bound for paths less than a sample beyond: some of their interference falls beside the band.

    Parameters
    ----------
    tau : float, any shape
        Delays over the first path [s]; negative where the window begins too late.
    prefix_duration, useful_duration : float
        T_cp and T [s].

    Returns
    -------
    float, the shape of ``tau``
        From 0 to 1.
    """
    outside = (tau - prefix_duration).clamp(min=0) + (-tau).clamp(min=0)
    return (1 - outside / useful_duration).clamp(min=0)


def doppler_interference(speed: float, carrier_frequency: float, useful_duration: float) -> float:
    """Share of a moving user's power that becomes interference between subcarriers, by Clarke's spectrum.

    1 − 2∫₀¹ (1 − x) J0(z x) dx = 1 − 2 (∫₀^z J0 − J1(z)) / z with z = 2π f_D T; about z²/24 (Robertson and
    Kaiser, 1999).

    Parameters
    ----------
    speed : float
        [m/s]
    carrier_frequency : float
        [Hz]
    useful_duration : float
        T, the inverse of the subcarrier spacing [s].
    """
    z = 2 * math.pi * speed / SPEED_OF_LIGHT * carrier_frequency * useful_duration
    if z < 1e-2:
        return z**2 / 24
    return float(1 - 2 / z * (itj0y0(z)[0] - j1(z)))


def outside_power(a: Tensor, gain: Tensor) -> Tensor:
    """Power of paths outside the window, the mean over the antennas.

    Parameters
    ----------
    a : complex64 [b, num_rx_ant, users, paths, symbols]
    gain : float32 [b or 1, users, paths]
        Of `window_gain`.

    Returns
    -------
    float32 [b, users, symbols]
    """
    power = torch.view_as_real(a).square().sum(-1).mean(1)
    return (power * (1 - gain.square())[..., None]).sum(2)
