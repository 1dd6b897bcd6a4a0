"""The request for a draw: users, payload lengths, SNRs, and which realisations."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tokcom_phy.radio.cache import Drawn, RealisationCache
from tokcom_phy.radio.seeding import complex_normal, with_variance
from tokcom_phy.utils.errors import UserError


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
    cache : RealisationCache, optional
        Of what was drawn already.
    """

    seed: int
    indices: list[int]
    num_symbols: dict[str, int]
    no: dict[str, Tensor]
    mask: dict[str, Tensor]
    cache: RealisationCache | None = None

    @property
    def key(self) -> Hashable:
        """What the realisations of a link depend on."""
        no = tuple((user, _bytes(tensor)) for user, tensor in self.no.items())
        mask = tuple((user, _bytes(tensor)) for user, tensor in self.mask.items())
        return self.seed, tuple(self.indices), tuple(self.num_symbols.items()), no, mask

    def once(self, key: Hashable, draw: Callable[[], Drawn]) -> Drawn:
        """What the cache holds under ``key``, which must name all that it depends on; else the result of ``draw``."""
        return self.cache.get(key, draw) if self.cache else draw()

    def normal(self, shape: tuple[int, ...], device: str, *purpose: str) -> Tensor:
        """`tokcom_phy.radio.seeding.complex_normal` for each example, complex64 [b, *shape]; the same at every SNR."""
        key = ("normal", self.seed, tuple(self.indices), shape, purpose)
        return self.once(key, lambda: complex_normal(shape, device, self.seed, self.indices, *purpose))

    def noise(
        self, shape: tuple[int, ...], device: str, users: Sequence[str] = (), variance: float | Tensor = 1.0
    ) -> Tensor:
        """Noise at a receiver for ``users`` alone, or at one for all users: complex64 [b, *shape].

        Its variance is one for all, or float [b]. The cache holds what is the same at every SNR.
        """
        if self.cache is None:
            return complex_normal(shape, device, self.seed, self.indices, "noise", *users, variance=variance)
        return with_variance(self.normal(shape, device, "noise", *users), variance)

    def masks(self, users: Sequence[str]) -> dict[str, Tensor]:
        """The masks of some of the users."""
        return {user: self.mask[user] for user in users if user in self.mask}

    def take(self, positions: list[int]) -> "DrawRequest":
        """The request for some of the examples."""
        return replace(
            self,
            indices=[self.indices[position] for position in positions],
            no={user: no[positions] for user, no in self.no.items()},
            mask={user: mask[positions] for user, mask in self.mask.items()},
        )


def activity(request: DrawRequest, users: Sequence[str], num_symbols: int) -> Tensor:
    """Which user is active when: bool [b, users, num_symbols], False beyond the end of a payload and in its padding."""
    device = request.no[users[0]].device
    active = torch.zeros(len(request.indices), len(users), num_symbols, dtype=torch.bool, device=device)
    for position, user in enumerate(users):
        active[:, position, : request.num_symbols[user]] = request.mask.get(user, True)
    return active


def _bytes(tensor: Tensor) -> bytes:
    return tensor.cpu().numpy().tobytes()


def check_payload(batch: int, num_symbols: Mapping[str, int], masks: Mapping[str, Tensor]) -> None:
    """Check a payload: user → complex symbols per example, and user → mask, bool [batch, symbols].

    Raises
    ------
    UserError
        If it is empty, or a mask has another shape or holds an example without valid symbols.
    """
    if batch < 1 or not num_symbols:
        raise UserError("empty payload: give at least one example and one active user")
    for user, n in num_symbols.items():
        if n < 1:
            raise UserError(f"empty payload: '{user}' has {n} symbols to send, give at least one")
        if user in masks:
            if tuple(masks[user].shape) != (batch, n):
                raise UserError(f"mask of '{user}' has shape {tuple(masks[user].shape)}, its payload {(batch, n)}")
            if not masks[user].any(1).all():
                raise UserError(f"mask of '{user}' is all padding in some example: leave such examples out")
