"""What is asked of a link: how much is sent by whom, at what SNR, over which of its realisations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokcom_phy.radio.seeding import Key


@dataclass(frozen=True)
class Request:
    """What is to be drawn: checked, with one entry per user and example.

    Attributes
    ----------
    seed : int
    indices : list of int [b]
        Names of the realisations under ``seed``.
    num_symbols : user → symbols per example
    no : user → float32 [b]
        Noise power over the power received from this user.
    mask : user → bool [b, num_symbols], may be empty
    """

    seed: int
    indices: list[int]
    num_symbols: dict[str, int]
    no: dict[str, Tensor]
    mask: dict[str, Tensor]

    def noise_keys(self, users: Sequence[str] = ()) -> list[Key]:
        """Where the noise of each example comes from: a receiver of its own for ``users``, or one for all."""
        return [(self.seed, index, "noise", *users) for index in self.indices]

    def masks(self, users: Sequence[str]) -> dict[str, Tensor]:
        """The masks of some of the users."""
        return {user: self.mask[user] for user in users if user in self.mask}

    def take(self, positions: list[int]) -> "Request":
        """The request for some of the examples."""
        return Request(
            self.seed,
            [self.indices[position] for position in positions],
            self.num_symbols,
            {user: no[positions] for user, no in self.no.items()},
            {user: mask[positions] for user, mask in self.mask.items()},
        )


def activity(request: Request, users: Sequence[str], num_symbols: int) -> Tensor:
    """Who sends what where: bool [b, users, num_symbols], False behind the end of a payload and in its padding."""
    device = request.no[users[0]].device
    active = torch.zeros(len(request.indices), len(users), num_symbols, dtype=torch.bool, device=device)
    for position, user in enumerate(users):
        active[:, position, : request.num_symbols[user]] = request.mask.get(user, True)
    return active
