"""OFDM uplinks: resource grid, pilots, channel estimation and multiuser combining."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tokcom_phy.radio.channels import Channel, load_channel
from tokcom_phy.radio.estimation import PilotEstimator
from tokcom_phy.radio.link import Link, Request, combined_state, concatenate, merge
from tokcom_phy.radio.schema import OfdmConfig
from tokcom_phy.radio.seeding import BLOCK, blocks, complex_noise
from tokcom_phy.radio.state import ANONYMOUS, LinkState, check_users


@dataclass(frozen=True)
class Part:
    """Resource elements that some users share, and nobody else touches.

    Attributes
    ----------
    users : list of str
    subcarriers : slice
    slots : range
        Global numbers of the slots, of which the first symbols of a payload fill the first.
    """

    users: list[str]
    subcarriers: slice
    slots: range


class OfdmLink(Link):
    """A link of the OFDM family; see `OfdmConfig`."""

    config: OfdmConfig

    def __init__(self, name: str, config: OfdmConfig, device: str | None = None):
        super().__init__(name, config, device)
        self.channel: Channel = load_channel(config, self.device)
        num_users = len(config.users) if config.access == "mu-mimo" else 1
        num_subcarriers = config.num_subcarriers // (len(config.users) if config.access == "ofdma" else 1)
        self.estimator = PilotEstimator(config, num_users, num_subcarriers, self.channel)
        self.data_symbols = [t for t in range(config.num_ofdm_symbols) if t not in config.pilot_symbols]

    def check_users(self, users: list[str]) -> None:
        check_users(users, self.config.users)

    def _position(self, user: str) -> int:
        return 0 if user == ANONYMOUS else self.config.users.index(user)

    def _draw(self, request: Request) -> LinkState:
        parts = [self._draw_block(request.take(positions), block) for block, positions in blocks(request.indices)]
        order = [position for _, positions in blocks(request.indices) for position in positions]
        return concatenate(parts, order)

    def _draw_block(self, request: Request, block: int) -> LinkState:
        return merge(self._draw_part(request, block, part) for part in self.parts(request.num_symbols))

    def parts(self, num_symbols: Mapping[str, int]) -> list[Part]:
        """How the users share time and frequency, according to the access.

        Parameters
        ----------
        num_symbols : user → symbols to send
        """
        users = sorted(num_symbols, key=self._position)
        width = self.config.num_subcarriers
        if self.config.access == "mu-mimo":
            slots = self._num_slots(max(num_symbols.values()), width)
            return [Part(users, slice(0, width), range(slots))]
        if self.config.access == "tdma":
            return [
                Part([user], slice(0, width), range(turn, turn + slots * len(users), len(users)))
                for turn, user in enumerate(users)
                for slots in [self._num_slots(num_symbols[user], width)]
            ]
        width //= len(self.config.users)
        return [
            Part([user], slice(band * width, (band + 1) * width), range(self._num_slots(num_symbols[user], width)))
            for user in users
            for band in [self._position(user)]
        ]

    def _num_slots(self, num_symbols: int, num_subcarriers: int) -> int:
        return -(-num_symbols // (len(self.data_symbols) * num_subcarriers))

    def _draw_part(self, request: Request, block: int, part: Part) -> LinkState:
        config = self.config
        n = max(request.num_symbols[user] for user in part.users)
        num_subcarriers = part.subcarriers.stop - part.subcarriers.start
        pilot_symbols = sorted(config.pilot_symbols)
        # A payload of one slot may end early: what lies behind it is not drawn.
        data_symbols = self.data_symbols[: -(-n // num_subcarriers)] if len(part.slots) == 1 else self.data_symbols
        symbols = [slot * config.num_ofdm_symbols + t for slot in part.slots for t in pilot_symbols + data_symbols]
        grid = (len(part.slots), len(pilot_symbols) + len(data_symbols))
        positions = [self._position(user) for user in part.users]

        h = self.channel.response(request.seed, block, positions, symbols, part.subcarriers)
        amplitude = torch.stack([request.no[user] for user in part.users], dim=1).rsqrt()
        h = h[[index % BLOCK for index in request.indices]] * amplitude[:, None, :, None, None]
        h = h.unflatten(3, grid)
        keys = request.noise_keys(() if config.access == "mu-mimo" else part.users)
        noise = complex_noise((len(symbols), config.num_rx_ant, num_subcarriers), self.device, keys)
        noise = noise.transpose(1, 2).unflatten(2, grid)

        at_pilots, at_data = slice(None, len(pilot_symbols)), slice(len(pilot_symbols), None)
        h_data = h[..., at_data, :].flatten(3)[..., :n]
        noise_data = noise[..., at_data, :].flatten(2)[..., :n]
        if config.csi == "perfect":
            h_hat, err_var = h_data, torch.zeros(1, 1, 1, device=self.device)
        else:
            combs = positions if config.access == "mu-mimo" else [0]
            h_hat, err_var = self.estimator.estimate(
                h[..., at_pilots, :], noise[..., at_pilots, :], amplitude, combs, data_symbols
            )
            h_hat, err_var = h_hat.flatten(3)[..., :n], err_var.flatten(2)[..., :n]
        return combined_state(
            request, part.users, h_data, h_hat, noise_data, err_var, config.combining, config.unbiased
        )
