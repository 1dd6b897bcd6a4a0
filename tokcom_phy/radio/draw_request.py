"""The request for a draw: users, payload lengths, SNRs, and which realisations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokcom_phy.radio.seeding import Key


@dataclass(frozen=True)
class DrawRequest:
    """A validated request for realisations, with one entry per user and example.

    Attributes
    ----------
    seed : int
    indices : list of int [b]
        Realisations of ``seed``, one per example.
    num_symbols : user → symbols per example
    no : user → float32 [b]
        Noise power over the received power of this user.
    mask : user → bool [b, num_symbols], may be empty
    """

    seed: int
    indices: list[int]
    num_symbols: dict[str, int]
    no: dict[str, Tensor]
    mask: dict[str, Tensor]

    def noise_keys(self, users: Sequence[str] = ()) -> list[Key]:
        """Seed keys of each example's noise, at a receiver for ``users`` alone or at one for all users."""
        return [(self.seed, index, "noise", *users) for index in self.indices]

    def masks(self, users: Sequence[str]) -> dict[str, Tensor]:
        """The masks of some of the users."""
        return {user: self.mask[user] for user in users if user in self.mask}

    def take(self, positions: list[int]) -> "DrawRequest":
        """The request for some of the examples."""
        return DrawRequest(
            self.seed,
            [self.indices[position] for position in positions],
            self.num_symbols,
            {user: no[positions] for user, no in self.no.items()},
            {user: mask[positions] for user, mask in self.mask.items()},
        )


def activity(request: DrawRequest, users: Sequence[str], num_symbols: int) -> Tensor:
    """Which user is active when: bool [b, users, num_symbols], False beyond the end of a payload and in its padding."""
    device = request.no[users[0]].device
    active = torch.zeros(len(request.indices), len(users), num_symbols, dtype=torch.bool, device=device)
    for position, user in enumerate(users):
        active[:, position, : request.num_symbols[user]] = request.mask.get(user, True)
    return active
