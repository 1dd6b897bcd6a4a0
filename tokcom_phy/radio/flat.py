"""Frequency-flat links: one complex gain per user, antenna and stretch of symbols."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.combining import combine, combined_state, output_gain, unequalized
from tokcom_phy.radio.cost import Budget, Load, single_carrier_cost
from tokcom_phy.radio.draw_request import DrawRequest, activity
from tokcom_phy.radio.flat_config import FlatConfig
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.panels import NUM_SYMBOLS, SEED, Panel, draw_distribution, draw_fades
from tokcom_phy.radio.seeding import BLOCK, blocks, entropy, sionna_seed
from tokcom_phy.radio.sionna import GenerateFlatFadingChannel, rand
from tokcom_phy.radio.state import ANONYMOUS, LinkState

_FADES = 16


class FlatLink(Link[FlatConfig]):
    """A link of the flat family; see `FlatConfig`. An amplifier acts on its symbols, not on a waveform."""

    memory_mend = "lower num_rx_ant, shorten the payload, or draw fewer examples at once"

    def __init__(self, name: str, config: FlatConfig, device: str | None = None):
        super().__init__(name, config, device)
        self.snr_offset_db = config.snr_offset_db
        self.users = config.users if config.access == "mu-mimo" else None
        self.symbol_rate = config.symbol_rate
        self._fading = GenerateFlatFadingChannel(1, config.num_rx_ant, device=self.device)

    def _draw(self, request: DrawRequest) -> LinkState:
        users = list(request.num_symbols)
        if self.config.access == "mu-mimo":
            return self._draw_together(request, users)
        return LinkState.merge(self._draw_together(request, [user]) for user in users)

    def _memory(self, request: DrawRequest) -> int:
        users = len(request.num_symbols) if self.config.access == "mu-mimo" else 1
        elements = len(request.indices) * max(request.num_symbols.values())
        in_draw = elements * (self.config.num_rx_ant * (3 * users + 2) + 6 * users**2)
        return 8 * in_draw + super()._memory(request)

    def _draw_together(self, request: DrawRequest, users: list[str]) -> LinkState:
        """Draw users that share all channel uses."""
        config = self.config
        if config.fading == "none":
            return self._draw_unfaded(request, users[0])
        n = max(request.num_symbols[user] for user in users)
        h = request.once(
            ("gains", request.seed, tuple(request.indices), n, tuple(users)),
            lambda: torch.stack([self.gains(request.seed, request.indices, n, user) for user in users], dim=2),
        )
        noise = request.noise((n, config.num_rx_ant), self.device, () if config.access == "mu-mimo" else users).mT
        if config.output == "raw":
            return combined_state(request, users, unequalized(h, noise, request.no[users[0]]))
        h = h * torch.stack([request.no[user] for user in users], dim=1).rsqrt()[:, None, :, None]
        no = torch.ones(1, 1, device=self.device)
        combined = combine(h, h, noise, no, activity(request, users, n), config.combining, config.output)
        return combined_state(request, users, combined)

    def _draw_unfaded(self, request: DrawRequest, user: str) -> LinkState:
        n, no = request.num_symbols[user], request.no[user]
        gain, noise = None, {}
        if self.config.noiseless:
            no = torch.zeros_like(no)
        else:
            scale = output_gain(no.double(), self.config.output)
            noise = {user: request.noise((n,), self.device, [user], no * scale.square())}
            gain = scale.to(torch.complex64)[:, None].expand(-1, n) if self.config.output == "mmse" else None
        var, sinr = no[:, None].expand(-1, n), (1 / no)[:, None].expand(-1, n)
        return LinkState({user: {user: gain}}, noise, {user: var}, {user: sinr}, request.masks([user]))

    def _cost(self, load: Load) -> Budget:
        return single_carrier_cost(load, self._symbol_rate, shared=self.config.access == "mu-mimo")

    def panels(self) -> list[Panel]:
        if self.config.fading == "none":
            return []
        few = self.gains(SEED, range(3), NUM_SYMBOLS)[:, 0]
        many = self.gains(SEED, range(256), NUM_SYMBOLS)[:, 0, :: self.config.coherence]
        return [lambda axes: draw_fades(axes, few), lambda axes: draw_distribution(axes, many, self.name)]

    def gains(self, seed: int, indices: Sequence[int], num_symbols: int, user: str = ANONYMOUS) -> Tensor:
        """Unit-power channel of one user, complex64 [b, num_rx_ant, num_symbols]."""
        config = self.config
        shape = (len(indices), config.num_rx_ant, num_symbols)
        if config.fading == "none":
            return torch.ones(shape, dtype=torch.complex64, device=self.device)
        num_fades = -(-num_symbols // config.coherence)
        num_draws = -(-num_fades // _FADES)
        h = torch.empty(shape[0], num_draws * _FADES, shape[1], dtype=torch.complex64, device=self.device)
        for block, positions in blocks(indices):
            rows = [indices[position] % BLOCK for position in positions]
            sight = self._steering(seed, block, user)
            with sionna_seed(self.device, seed, block, "fading", user):
                drawn = [self._fades(sight) for _ in range(num_draws)]
            h[positions] = torch.cat(drawn, dim=1)[rows]
        return h[:, :num_fades].repeat_interleave(min(config.coherence, num_symbols), dim=1)[:, :num_symbols].mT

    def _steering(self, seed: int, block: int, user: str) -> Tensor:
        """A user's line of sight at antennas in a row, half a wavelength apart: complex64 [BLOCK, num_rx_ant].

        Each example has a direction of its own, uniform over a sector of 120°.
        """
        direction = np.random.default_rng(entropy(seed, block, "direction", user)).uniform(-np.pi / 3, np.pi / 3, BLOCK)
        turn = torch.from_numpy(np.pi * np.sin(direction)).float().to(self.device)
        phase = turn[:, None] * torch.arange(self.config.num_rx_ant, device=self.device)
        return torch.polar(torch.ones_like(phase), phase)

    def _fades(self, sight: Tensor) -> Tensor:
        """`_FADES` fades of each example of a block, complex64 [BLOCK, _FADES, num_rx_ant], for its line of sight."""
        scattered = self._fading(BLOCK * _FADES).reshape(BLOCK, _FADES, -1)
        if self.config.fading == "rayleigh":
            return scattered
        k = 10 ** (self.config.k_factor_db / 10)
        phase = 2 * torch.pi * rand((BLOCK, _FADES, 1), device=self.device)
        return (k / (k + 1)) ** 0.5 * torch.exp(1j * phase) * sight[:, None] + (1 / (k + 1)) ** 0.5 * scattered
