"""Channel estimation from pilots: least squares on orthogonal combs, interpolated over the slot.

Every interpolation is linear in the pilots, so its weights are computed once: those of nearest and linear interpolation
by Sionna's interpolators, those of LMMSE interpolation for all noise powers at once (`tokcom_phy.radio.wiener`).
"""

from functools import cached_property

import torch
from torch import Tensor

from tokcom_phy.radio.channels import Channel
from tokcom_phy.radio.impairments import delay_covariance, phase_covariance, quantized
from tokcom_phy.radio.interpolation_error import InterpolationError, SecondOrder, second_order, turn_statistics
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.pilots import PILOTS
from tokcom_phy.radio.seeding import sionna_seed
from tokcom_phy.radio.sionna import (
    LinearInterpolator,
    NearestNeighborInterpolator,
    ResourceGrid,
)
from tokcom_phy.radio.waveform import amplify, mean_gain
from tokcom_phy.radio.wiener import WienerFilter

_PROBES = 4
"""One pilot in so many is probed at a time."""


class PilotEstimator:
    """Least-squares estimation and interpolation in one slot, for users that share its resource elements.

    Parameters
    ----------
    config : OfdmConfig
    num_users : int
        Users on orthogonal pilot combs.
    num_subcarriers : int
        Subcarriers that these users share.
    channel : Channel
        Its covariances give the LMMSE filters.

    Attributes
    ----------
    grid : sionna.phy.ofdm.ResourceGrid
        With Kronecker pilots of mean power one per user, hence of power ``num_users`` on the user's own comb.
    pilots : complex64 [num_users, num_pilot_symbols, num_subcarriers]
        Zero off the user's comb.
    sent : complex64, the same shape
        What amplifiers make of them; they stay on their combs.
    mean_gain : float
        Mean gain of these amplifiers for data.
    over_pilots : float
        The same over their mean gain for the pilots, whose peaks may be lower: the receiver knows how much less data
        are compressed, and scales what it finds at pilots by it.
    """

    def __init__(self, config: OfdmConfig, num_users: int, num_subcarriers: int, channel: Channel):
        self.config = config
        self.num_users = num_users
        self.grid = self._grid(config.num_ofdm_symbols, num_subcarriers, sorted(config.pilot_symbols), channel.device)
        self.pilots = self.grid.pilot_pattern.pilots[:, 0].unflatten(-1, (-1, num_subcarriers))
        self.sent, self.mean_gain, self.over_pilots = self.pilots, 1.0, 1.0
        if config.amplifier_backoff_db is not None:
            self.sent = amplify(self.pilots, config.amplifier_backoff_db, num_subcarriers)
            self.mean_gain = mean_gain(config.amplifier_backoff_db)
            compressed = (self.sent * self.pilots.conj()).sum().real / self.pilots.abs().square().sum()
            self.over_pilots = self.mean_gain / float(compressed)
        self._channel = channel
        if config.csi == "ls" and not self._knows_covariances:
            one_symbol = self._grid(1, num_subcarriers, [0], channel.device)
            one_comb = self._grid(config.num_ofdm_symbols, num_users, sorted(config.pilot_symbols), channel.device)
            combs = [torch.arange(user, num_subcarriers, num_users) for user in range(num_users)]
            subcarriers, moments = torch.arange(num_subcarriers), torch.arange(config.num_ofdm_symbols)
            of_users = [self._weights(one_symbol, user, comb, subcarriers) for user, comb in enumerate(combs)]
            self._over_frequency = torch.stack(of_users)
            self._over_time = self._weights(one_comb, 0, torch.tensor(sorted(config.pilot_symbols)), moments)
            self.error = InterpolationError(self._over_frequency, self._over_time)

    @property
    def _knows_covariances(self) -> bool:
        return self.config.interpolation in ("lmmse", "wiener")

    @cached_property
    def filters(self) -> list[WienerFilter]:
        """The LMMSE filter of each comb; on first use, since covariances may take draws of the channel."""
        over_frequency, over_time = self._channel.covariances()
        config, prefix = self.config, self.config.cyclic_prefix_length / self.config.num_subcarriers
        turns = phase_covariance(config.impairments, len(over_time), config.subcarrier_spacing, prefix)
        over_time = over_time * turns.to(over_time.device)
        over_frequency = over_frequency * delay_covariance(config.impairments, self._channel.frequencies)
        num_subcarriers = self.pilots.shape[-1]
        return [
            WienerFilter(
                over_frequency[:num_subcarriers, :num_subcarriers],
                over_time,
                range(comb, num_subcarriers, self.num_users),
                sorted(self.config.pilot_symbols),
                two_dimensional=self.config.interpolation == "wiener",
            )
            for comb in range(self.num_users)
        ]

    @cached_property
    def floor(self) -> Tensor:
        """Mean squared error of interpolation without noise [num_users, num_ofdm_symbols, num_subcarriers]."""
        delay = self.config.impairments.csi_delay
        moments = [delay + t for t in range(self.config.num_ofdm_symbols)]
        statistics = second_order(self._channel, moments[-1] + 1)
        return self.error.floor(statistics, sorted(self.config.pilot_symbols), moments, self.num_users)

    @cached_property
    def turned(self) -> Tensor | None:
        """Mean squared relative error of estimates by what oscillators and lateness turn, as `floor`; None for nothing.

        LMMSE filters count it in the error of their estimates.
        """
        impairments, delay = self.config.impairments, self.config.impairments.csi_delay
        turning = impairments.frequency_offset or impairments.phase_noise or impairments.timing_offset
        if not turning or (not delay if self.config.csi == "perfect" else self._knows_covariances):
            return None
        moments = [delay + t for t in range(self.config.num_ofdm_symbols)]
        statistics = turn_statistics(self._channel, moments[-1] + 1)
        if self.config.csi == "perfect":
            since = self._since(statistics).float().to(self.pilots.device)
            return since.expand(self.num_users, len(moments), self.pilots.shape[-1])
        return self.error.floor(statistics, sorted(self.config.pilot_symbols), moments, self.num_users)

    @cached_property
    def age(self) -> float:
        """Mean squared error of a channel known `csi_delay` ago, over E|h|²: 2(1 − Re E[h(t + delay) h*(t)])."""
        return float(self._since(second_order(self._channel, self.config.impairments.csi_delay + 1)))

    def _since(self, statistics: SecondOrder) -> Tensor:
        return 2 - 2 * statistics.over_time[self.config.impairments.csi_delay, 0].real

    def _grid(self, num_ofdm_symbols: int, num_subcarriers: int, pilot_symbols: list[int], device: str) -> ResourceGrid:
        with sionna_seed(device, "pilots"):
            grid = ResourceGrid(
                num_ofdm_symbols,
                num_subcarriers,
                self.config.subcarrier_spacing,
                num_tx=self.num_users,
                pilot_pattern="kronecker",
                pilot_ofdm_symbol_indices=pilot_symbols,
                device=device,
            )
        combs = grid.pilot_pattern.pilots.unflatten(-1, (len(pilot_symbols), num_subcarriers)) != 0
        grid.pilot_pattern.pilots = PILOTS[self.config.pilots](combs).flatten(-2)
        return grid

    def _weights(self, grid: ResourceGrid, user: int, places: Tensor, targets: Tensor) -> Tensor:
        """Interpolation weights of each pilot of a user, from Sionna: [pilots, targets].

        Parameters
        ----------
        grid : ResourceGrid
            Of one OFDM symbol, or of one comb.
        user : int
        places, targets : int64
            Subcarriers or OFDM symbols of the user's pilots, ascending, and those that are interpolated.
        """
        interpolators = {"nearest": NearestNeighborInterpolator, "linear": LinearInterpolator}
        interpolate = interpolators[self.config.interpolation](grid.pilot_pattern, device=grid.device)
        pilots = grid.pilot_pattern.pilots[:, 0]
        own = pilots[user].nonzero()[:, 0]
        weights = torch.zeros(len(own), len(targets), dtype=pilots.dtype, device=pilots.device)
        after = torch.searchsorted(places, targets).clamp(1, max(len(places) - 1, 1))
        # What is interpolated depends on the pilots next to it, two at most: each fourth one is probed at once.
        for first in range(min(_PROBES, len(own))):
            unit = torch.zeros(1, 1, 1, self.num_users, 1, pilots.shape[1], dtype=pilots.dtype, device=pilots.device)
            unit[..., own[first::_PROBES]] = 1
            h_hat = interpolate(unit, unit.real)[0][0, 0, 0, user, 0]
            answers = h_hat[0] if len(h_hat) == 1 else h_hat[:, 0]
            for pilot in (after - 1, after):
                mine = (pilot % _PROBES == first) & (pilot < len(own))
                weights[pilot[mine], targets[mine]] = answers[mine]
        return weights

    def estimate(
        self,
        h: Tensor,
        noise: Tensor,
        amplitude: Tensor,
        users: list[int],
        symbols: list[int],
        noise_var: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Estimate the channel of each user on some OFDM symbols of each slot.

        Parameters
        ----------
        h : complex64 [b, num_rx_ant, users, slots, _, num_subcarriers]
            Channel at the pilots, scaled by the received amplitude.
        noise : complex64 [b, num_rx_ant, slots, _, num_subcarriers]
        amplitude : float32 [b, users]
            Scale of ``h``: the square root of the SNR.
        users : list of int
            Pilot combs of the users.
        symbols : list of int
            OFDM symbols of the slot at which the channel is estimated.
        noise_var : float32 [b, slots], optional
            Mean variance of ``noise``; by default one.

        Returns
        -------
        h_hat : complex64 [b, num_rx_ant, users, slots, symbols, num_subcarriers]
        err_var : float32, broadcastable to [b, users, slots, symbols, num_subcarriers]
        """
        if noise_var is None:
            noise_var = torch.ones(1, 1, device=h.device)
        at_pilots = []
        for position, user in enumerate(users):
            comb = slice(user, None, self.num_users)
            known = self.pilots[user, :, comb] / self.over_pilots
            received = h[:, :, position, ..., comb]
            if self.config.amplifier_backoff_db is not None:
                received = received * (self.sent[user, :, comb] / known)
            at_pilots.append(received + noise[..., comb] / known)
        noise_var, amplitude = noise_var * self.over_pilots**2, amplitude * self.mean_gain
        bits = self.config.impairments.csi_bits
        if bits is not None:
            noise_var = noise_var.expand(len(h), -1)
            power = amplitude.square()[:, :, None] + noise_var[:, None] / self.num_users
            found = [
                quantized(values, power[:, position, None, :, None, None], bits)
                for position, values in enumerate(at_pilots)
            ]
            at_pilots = [values for values, _ in found]
            loss = torch.stack([error for _, error in found]).mean(0)
            noise_var = noise_var + self.num_users * loss[:, 0, :, 0, 0]
        if self._knows_covariances:
            return self._filter(at_pilots, noise_var, amplitude, users, symbols)
        at_pilots = [values @ self._over_frequency[user] for user, values in zip(users, at_pilots, strict=True)]
        first, *others = torch.stack(at_pilots, dim=2)[..., None, :].unbind(-3)
        weight, *weights = self._over_time[:, symbols, None]
        h_hat = weight * first
        for weight, values in zip(weights, others, strict=True):
            h_hat.addcmul_(weight, values)
        return h_hat, self._error_variance(noise_var, amplitude, users, symbols)

    def _error_variance(self, noise_var: Tensor, amplitude: Tensor, users: list[int], symbols: list[int]) -> Tensor:
        at_pilots = noise_var[:, None, :, None, None] / self.num_users
        if self.config.error_variance == "pilots":
            return at_pilots
        noise = at_pilots * self.error.noise_gain[users][:, None, symbols]
        return noise + amplitude.square()[:, :, None, None, None] * self.floor[users][:, None, symbols]

    def _filter(
        self, at_pilots: list[Tensor], noise_var: Tensor, amplitude: Tensor, users: list[int], symbols: list[int]
    ) -> tuple[Tensor, Tensor]:
        """LMMSE estimates; the filters expect a channel of unit power, and the noise that this leaves at the pilots."""
        power = amplitude.square()
        estimates, err_vars = [], []
        for position, user in enumerate(users):
            no = noise_var.mean(1) / (power[:, position] * self.num_users)
            h_hat, err_var = self.filters[user](at_pilots[position], no, symbols)
            estimates.append(h_hat)
            err_vars.append(err_var * power[:, position, None, None])
        h_hat, slots = torch.stack(estimates, dim=2), at_pilots[0].shape[2]
        return h_hat, torch.stack(err_vars, dim=1).unsqueeze(2).expand(-1, -1, slots, -1, -1)
