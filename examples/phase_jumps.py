"""A link family of your own: white Gaussian noise, and a carrier phase that jumps at random and is not tracked.

With probability p a symbol begins with a phase jump of standard deviation σ, so that n symbols on the mean gain is
E[exp(jφ)] = (1 − p + p·exp(−σ²/2))^n. Name the family in a YAML file: ``_target_: phase_jumps.PhaseJumps``.
"""

import torch
from pydantic import Field

from tokcom_phy.radio import DrawRequest, Link, LinkFamilyConfig, LinkState
from tokcom_phy.radio.seeding import generator_for


class PhaseJumpsConfig(LinkFamilyConfig):
    probability: float = Field(default=0.01, ge=0, le=1)
    """Probability of a phase jump before a symbol."""

    std_deg: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    """Standard deviation of a jump [degrees]."""


class PhaseJumps(Link[PhaseJumpsConfig]):
    def _draw(self, request: DrawRequest) -> LinkState:
        return LinkState.merge(self._draw_user(request, user) for user in request.num_symbols)

    def _draw_user(self, request: DrawRequest, user: str) -> LinkState:
        n, no = request.num_symbols[user], request.no[user]
        draws = []
        for index in request.indices:
            generator = generator_for(self.device, request.seed, index, "phase", user)
            jumps = torch.rand(n, generator=generator, device=self.device) < self.config.probability
            draws.append(jumps * torch.randn(n, generator=generator, device=self.device))
        phase = torch.stack(draws).cumsum(1) * self.config.std_deg * torch.pi / 180
        noise = request.noise((n,), self.device, [user], no)
        var = no[:, None].expand(-1, n)
        gain = torch.polar(torch.ones_like(phase), phase)
        return LinkState({user: {user: gain}}, {user: noise}, {user: var}, {user: 1 / var}, request.masks([user]))
