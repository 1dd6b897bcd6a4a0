"""Channels of 3GPP TR 38.901, as Sionna makes them: a frequency response per user, antenna and resource element."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from sionna.phy.channel import cir_to_ofdm_channel, subcarrier_frequencies
from sionna.phy.channel.tr38901 import TDL
from sionna.phy.ofdm import tdl_freq_cov_mat, tdl_time_cov_mat
from torch import Tensor

from tokcom_phy.radio.schema import OfdmConfig
from tokcom_phy.radio.seeding import BLOCK, sionna_seed


class Channel(ABC):
    """A multiuser uplink channel with E|h|² = 1 per user and receive antenna.

    Parameters
    ----------
    config : OfdmConfig
    device : str
    """

    def __init__(self, config: OfdmConfig, device: str):
        self.config = config
        self.device = device
        self.frequencies = subcarrier_frequencies(config.num_subcarriers, config.subcarrier_spacing, device=device)
        self.symbol_duration = (1 + config.cyclic_prefix_length / config.num_subcarriers) / config.subcarrier_spacing

    @abstractmethod
    def response(
        self, seed: int, block: int, users: Sequence[int], symbols: Sequence[int], subcarriers: slice
    ) -> Tensor:
        """Frequency responses of one block of realisations, the same for any choice of users, symbols and subcarriers.

        Parameters
        ----------
        seed, block : int
        users : positions in ``config.users``
        symbols : OFDM symbols, counted from the start of the transmission
        subcarriers : slice

        Returns
        -------
        complex64 [BLOCK, num_rx_ant, users, symbols, subcarriers]
        """

    def covariances(self) -> tuple[Tensor, Tensor]:
        """Covariance over the subcarriers and over the OFDM symbols of a slot, for LMMSE interpolation.

        Estimated from realisations of the channel itself.

        Returns
        -------
        complex64 [num_subcarriers, num_subcarriers], complex64 [num_ofdm_symbols, num_ofdm_symbols]
        """
        users, symbols = range(len(self.config.users)), range(self.config.num_ofdm_symbols)
        h = torch.cat([self.response(0, block, users, symbols, slice(None)) for block in range(16)])
        over_time, over_frequency = h.movedim(3, -1).flatten(0, -2), h.flatten(0, -2)
        return _covariance(over_frequency), _covariance(over_time)


def _covariance(samples: Tensor) -> Tensor:
    """Sample covariance [n, n] of zero-mean samples [m, n]."""
    return samples.mT @ samples.conj() / len(samples)


class TdlChannel(Channel):
    """Tapped delay lines TDL-A…E: antennas and users fade independently, each user has its own realisation."""

    def __init__(self, config: OfdmConfig, device: str):
        super().__init__(config, device)
        self._model = TDL(
            config.channel[-1],
            config.delay_spread,
            config.carrier_frequency,
            min_speed=config.speed,
            num_rx_ant=config.num_rx_ant,
            device=device,
        )

    def response(
        self, seed: int, block: int, users: Sequence[int], symbols: Sequence[int], subcarriers: slice
    ) -> Tensor:
        responses = []
        for user in users:
            with sionna_seed(self.device, seed, block, "channel", user):
                a, tau = self._model(BLOCK, max(symbols) + 1, 1 / self.symbol_duration)
            # All realisations have the same delays: one set of steering phases serves them all.
            h = cir_to_ofdm_channel(self.frequencies[subcarriers], a[..., symbols], tau[:1])
            responses.append(h[:, 0, :, 0])
        return torch.cat(responses, dim=2)

    def covariances(self) -> tuple[Tensor, Tensor]:
        c = self.config
        model = c.channel[-1]
        over_frequency = tdl_freq_cov_mat(
            model, c.subcarrier_spacing, c.num_subcarriers, c.delay_spread, device=self.device
        )
        over_time = tdl_time_cov_mat(
            model, c.speed, c.carrier_frequency, self.symbol_duration, c.num_ofdm_symbols, device=self.device
        )
        return over_frequency, over_time


def load_channel(config: OfdmConfig, device: str) -> Channel:
    """The channel that a link's configuration names."""
    return TdlChannel(config, device)
