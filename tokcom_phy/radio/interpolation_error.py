"""Error of interpolated least-squares estimates: what becomes of the noise, and where interpolation misses the channel.

An estimate is linear in the pilots, ĥ = Σ_p w_p (h_p + n_p). Its error has the variance

    E|ĥ − h|² = Σ_p |w_p|² σ²  +  E|h|² − 2 Re E[ĥ₀ h*] + E|ĥ₀|²,        ĥ₀ = Σ_p w_p h_p,

with the noise variance σ² at the pilots. The first term is the noise; the rest, the mean squared error of interpolation
without noise, does not fall with the SNR: it is the floor of what the receiver believes. The covariance is taken as
separable: that over the subcarriers follows from the mean power-delay profile, that over the OFDM symbols from the
speed.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import j0
from torch import Tensor

from tokcom_phy.radio.channels import Channel, PathChannel, TdlChannel
from tokcom_phy.radio.impairments import phase_covariance
from tokcom_phy.radio.prefix import SPEED_OF_LIGHT, window_gain
from tokcom_phy.radio.recorded import FileChannel
from tokcom_phy.radio.sionna import tdl_time_cov_mat, unwrapped

_MAX_SAMPLES, _LATE = 1024, 16
"""Most recorded responses that statistics are taken from, and steps of a user's lateness."""


class SecondOrder(NamedTuple):
    """Second-order statistics of a channel of unit mean power.

    Attributes
    ----------
    modes : complex128 [k, num_subcarriers]
        The covariance over the subcarriers is Σ_k modes_k · modes_k^H: a mode is a path with its mean amplitude, or a
        recorded response.
    over_time : complex128 [t, t]
        Covariance E[h(t) h*(t')] over OFDM symbols, with ones on its diagonal.
    """

    modes: Tensor
    over_time: Tensor


def second_order(channel: Channel, num_symbols: int) -> SecondOrder:
    """The statistics that a receiver knows of its channel.

    TDL: the model's own. CDL, UMi, UMa, RMa and ray-traced: the mean power-delay profile of one block of realisations
    of all users, and Clarke's Doppler spectrum at the users' speed. Recorded channels: those of the file.

    Parameters
    ----------
    channel : Channel
    num_symbols : int
        Consecutive OFDM symbols.
    """
    if isinstance(channel, FileChannel):
        return _recorded(channel, num_symbols)
    assert isinstance(channel, PathChannel)
    config = channel.config
    if isinstance(channel, TdlChannel):
        model = unwrapped(channel.model)
        tau, power = (torch.from_numpy(values.cpu().numpy()).double() for values in (model.delays, model.mean_powers))
        time = (config.speed, config.carrier_frequency, channel.symbol_duration, num_symbols)
        over_time = tdl_time_cov_mat(config.channel[-1], *time, device="cpu").to(torch.complex128)
    else:
        a, tau = channel.paths(0, 0, range(len(config.users)), 1)
        power = a[:, 0, :, :, 0, :, 0].abs().square().mean(1).double().cpu()
        tau, power = tau[:, 0].double().cpu().expand_as(power).flatten(), power.flatten()
        lags = torch.arange(num_symbols, dtype=torch.float64)
        turn = 2 * np.pi * config.speed / SPEED_OF_LIGHT * config.carrier_frequency * channel.symbol_duration
        over_time = torch.from_numpy(j0(turn * (lags[:, None] - lags).numpy())).to(torch.complex128)
    phase = torch.outer(tau, channel.frequencies.double().cpu())
    amplitude = (power / power.sum()).sqrt() * window_gain(tau, channel.prefix_duration, channel.useful_duration)
    return SecondOrder(amplitude[:, None] * torch.exp(-2j * np.pi * phase), over_time)


def turn_statistics(channel: Channel, num_symbols: int) -> SecondOrder:
    """Those of what users' oscillators and lateness turn, as of a channel that is nothing else.

    It is the same at all antennas: an estimate that misses it keeps the direction of the channel.
    """
    config = channel.config
    late = config.impairments.timing_offset * (torch.arange(_LATE, dtype=torch.float64) + 0.5) / _LATE
    turns = torch.exp(-2j * np.pi * torch.outer(late, channel.frequencies.double().cpu())) / _LATE**0.5
    prefix = channel.prefix_duration / channel.useful_duration
    phase = phase_covariance(config.impairments, num_symbols, config.subcarrier_spacing, prefix)
    return SecondOrder(turns, phase.to(torch.complex128))


def _recorded(channel: FileChannel, num_symbols: int) -> SecondOrder:
    recorded = channel.recorded
    step = -(-len(recorded) * recorded.shape[1] * recorded.shape[2] // _MAX_SAMPLES)
    moments = np.minimum(np.arange(num_symbols), recorded.shape[3] - 1)
    samples = torch.from_numpy(np.array(recorded[::step][:, :, :, moments], dtype=np.complex128))
    samples = samples / samples.abs().square().mean((0, 1, 3, 4), keepdim=True).sqrt()
    modes = samples[:, :, :, 0].flatten(0, -2)
    moving = samples.movedim(3, -1).flatten(0, -2)
    covariance = moving.mT @ moving.conj()
    power = covariance.diagonal().real.sqrt()
    return SecondOrder(modes / len(modes) ** 0.5, covariance / torch.outer(power, power))


class InterpolationError:
    """Error of an estimate that is interpolated over the subcarriers, then over the OFDM symbols.

    Parameters
    ----------
    over_frequency : [num_users, pilots of a symbol, num_subcarriers]
        Weights of each comb's pilots.
    over_time : [pilot symbols, num_ofdm_symbols]
        Weights of the pilot symbols.

    Attributes
    ----------
    noise_gain : float32 [num_users, num_ofdm_symbols, num_subcarriers]
        Noise of the estimate over that at the pilots, Σ|w|².
    """

    def __init__(self, over_frequency: Tensor, over_time: Tensor):
        self._over_frequency, self._over_time = over_frequency, over_time
        in_frequency = over_frequency.abs().square().sum(1)
        self.noise_gain = over_time.abs().square().sum(0)[:, None] * in_frequency[:, None]

    def floor(self, statistics: SecondOrder, pilot_symbols: list[int], moments: list[int], num_users: int) -> Tensor:
        """Mean squared error of interpolation without noise, over E|h|².

        Parameters
        ----------
        statistics : SecondOrder
        pilot_symbols : list of int
            OFDM symbols of the pilots.
        moments : list of int
            OFDM symbols of the estimates: one for each column of the weights over time.
        num_users : int
            Users on orthogonal combs: user k has subcarriers k, k + num_users, …

        Returns
        -------
        float32 [num_users, num_ofdm_symbols, num_subcarriers]
        """
        weights, covariance = self._over_time.cpu().to(torch.complex128), statistics.over_time
        cross_time = (weights * covariance[pilot_symbols][:, moments]).sum(0)
        square_time = ((covariance[pilot_symbols][:, pilot_symbols].mT @ weights.conj()) * weights).sum(0).real
        num_subcarriers = self._over_frequency.shape[2]
        modes = statistics.modes[:, :num_subcarriers]
        power = modes.abs().square().sum(0)
        floors = []
        for user, over_frequency in enumerate(self._over_frequency.cpu().to(torch.complex128)):
            interpolated = modes[:, user::num_users] @ over_frequency
            cross = (interpolated * modes.conj()).sum(0)
            square = interpolated.abs().square().sum(0)
            floors.append(power - 2 * (cross_time[:, None] * cross).real + square_time[:, None] * square)
        return torch.stack(floors).clamp(min=0).float().to(self._over_time.device)
