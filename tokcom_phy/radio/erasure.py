"""Erasure links: packets of symbols arrive intact or not at all, independently or in bursts."""

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.erasure_config import ErasureConfig
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.panels import SEED, Panel, draw_bursts, draw_losses
from tokcom_phy.radio.seeding import uniform
from tokcom_phy.radio.state import ANONYMOUS, LinkState


class ErasureLink(Link[ErasureConfig]):
    """A link of the erasure family; see `ErasureConfig`. There is no noise; the SNR has no effect.

    Losses follow the Gilbert–Elliott model: the channel is good (nothing is lost) or bad (everything is), and changes
    its state from packet to packet with fixed probabilities (E. Gilbert, 1960; E. Elliott, 1963).
    """

    def __init__(self, name: str, config: ErasureConfig, device: str | None = None):
        super().__init__(name, config, device)
        self.symbol_rate = config.symbol_rate

    def _draw(self, request: DrawRequest) -> LinkState:
        return LinkState.merge(self._draw_user(request, user) for user in request.num_symbols)

    def _draw_user(self, request: DrawRequest, user: str) -> LinkState:
        n = request.num_symbols[user]
        size = min(self.config.packet_symbols, n)
        lost = self.losses(request, user, -(-n // size)).repeat_interleave(size, dim=1)[:, :n]
        sinr = torch.where(lost, 0.0, torch.inf)
        return LinkState(
            {user: {user: (~lost).to(torch.complex64)}}, {}, {user: 1 / sinr}, {user: sinr}, request.masks([user])
        )

    def losses(self, request: DrawRequest, user: str, num_packets: int) -> Tensor:
        """Lost packets of a user, bool [b, num_packets]."""
        rate, burst = self.config.loss_rate, self.config.mean_burst
        stay_bad = rate if burst is None else 1 - 1 / burst
        turn_bad = 0.0 if rate == 0 else rate * (1 - stay_bad) / (1 - rate)
        chances = uniform(num_packets, self.device, request.seed, request.indices, "erasure", user, dtype=np.float64)
        bad = [chances[:, 0] < rate]
        for chance in chances[:, 1:].unbind(1):
            bad.append(torch.where(bad[-1], chance < stay_bad, chance < turn_bad))
        return torch.stack(bad, dim=1)

    def panels(self) -> list[Panel]:
        few, many = self._packets(16, 64), self._packets(64, 256)
        return [lambda axes: draw_losses(axes, few), lambda axes: draw_bursts(axes, many)]

    def _packets(self, batch: int, num_packets: int) -> Tensor:
        """Lost packets of an anonymous user, bool [batch, num_packets]."""
        return self.losses(DrawRequest(SEED, list(range(batch)), {}, {}, {}), ANONYMOUS, num_packets)
