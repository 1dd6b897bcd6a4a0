"""The base class of all links."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from tokcom_phy.radio.cache import RealisationCache
from tokcom_phy.radio.combining import Combined
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.power import noise_power, normalize_power, rapp, scale_symbols
from tokcom_phy.radio.sionna import default_device
from tokcom_phy.radio.state import ANONYMOUS, LinkState
from tokcom_phy.radio.symbols import from_symbols, symbol_mask, to_symbols
from tokcom_phy.utils.errors import UserError

Value = TypeVar("Value", float | Tensor, Tensor)


class Link(ABC):
    """A radio link between single-antenna users and a base station.

    SNR is the average received Es/N0 per user and receive antenna (`tokcom_phy.radio.power.noise_power`). Where users
    have different SNRs, the noise at the base station is common and their received powers differ: near and far users.

    Attributes
    ----------
    name : str
    config : pydantic model of the link's family
    description : str
        What the link is, in one line.
    device : str
        Torch device on which realisations are drawn; by default Sionna's.
    snr_offset_db : user → float
        Offset of a user's SNR from the SNR at which the link is used [dB].
    """

    def __init__(self, name: str, config: Any, device: str | None = None):
        self.name = name
        self.config = config
        self.description: str = config.description
        self.device = device or default_device()
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise UserError(
                f"link '{name}' cannot draw on device '{self.device}': name cpu, or a GPU that PyTorch sees, as cuda:0"
            ) from error
        self.snr_offset_db: Mapping[str, float] = {}
        self._cache: RealisationCache | None = None

    def cached(self, max_bytes: int) -> Self:
        """A copy of this link that caches its realisations, up to ``max_bytes`` bytes."""
        twin = copy(self)
        twin._cache = RealisationCache(max_bytes)
        return twin

    @abstractmethod
    def _draw(self, request: DrawRequest) -> LinkState:
        """Draw the requested realisations."""

    @abstractmethod
    def check_users(self, users: list[str]) -> None:
        """Raise a `UserError` if one of ``users`` is unknown to this link."""

    def check_drawable(self) -> None:  # noqa: B027  most links need nothing
        """Raise a `UserError` if this machine lacks what realisations of this link are drawn with."""

    @torch.no_grad()
    def draw(
        self,
        batch: int,
        num_symbols: int | Mapping[str, int],
        snr_db: float | Tensor | Mapping[str, float | Tensor],
        seed: int,
        indices: Sequence[int] | Tensor | None = None,
        mask: Tensor | Mapping[str, Tensor] | None = None,
    ) -> LinkState:
        """Draw one realisation of the radio for each example of a batch.

        Parameters
        ----------
        batch : int
        num_symbols : int, or user → int
            Complex symbols per example: of one anonymous user, or of each active user. Users of the link that are not
            named are idle and cause no interference.
        snr_db : float, float [batch], or user → either [dB]
        seed : int
            Not negative.
        indices : sequence of int [batch], optional
            Example i is realisation (seed, indices[i]), independent of the rest of the batch; by default 0…batch − 1.
        mask : bool [batch, num_symbols], or user → such, optional
            True for valid symbols. The combiner knows which users are active on a resource element.

        Returns
        -------
        LinkState

        Raises
        ------
        UserError
            If an SNR is not finite, a payload is empty, a user is unknown, or a mask holds an example without symbols.
        """
        lengths = dict(num_symbols) if isinstance(num_symbols, Mapping) else {ANONYMOUS: num_symbols}
        users = list(lengths)
        if users != [ANONYMOUS]:
            self.check_users(users)
        masks = dict(mask) if isinstance(mask, Mapping) else {} if mask is None else {ANONYMOUS: mask}
        masks = {user: masks[user].to(self.device) for user in users if user in masks}
        _check_payload(batch, lengths, masks)
        own_snr_db = {user: snr + self.snr_offset_db.get(user, 0.0) for user, snr in _per_user(snr_db, users).items()}
        no = {user: noise_power(snr).to(self.device).expand(batch) for user, snr in own_snr_db.items()}
        names = list(range(batch)) if indices is None else [int(index) for index in indices]
        if len(names) != batch or min(seed, *names) < 0:
            raise UserError(
                f"{len(names)} indices for a batch of {batch}, seed {seed}: give an index per example, no "
                "index or seed negative"
            )
        request = DrawRequest(int(seed), names, lengths, no, masks)
        return self._cache.draw(request, self._draw) if self._cache else self._draw(request)

    def transmit(
        self,
        tokens: Mapping[str, Tensor],
        snr_db: float | Tensor | Mapping[str, float | Tensor],
        masks: Mapping[str, Tensor] | None = None,
        *,
        seed: int,
        indices: Sequence[int] | Tensor | None = None,
    ) -> tuple[dict[str, Tensor], LinkState]:
        """Send tokens of every user: map (5), normalise the power, draw, apply (6), restore the scale, unmap (7).

        Power normalisation, amplifiers and the restoring of the scale are settings of the link: ``power``,
        ``amplifier_backoff_db`` and ``scale``.

        Parameters
        ----------
        tokens : user → float [b, s, d], d even
        snr_db, seed, indices
            As for `draw`.
        masks : user → bool [b, s], optional
            True for valid tokens. Padding, on either side, is not transmitted and is received as zero; the valid tokens
            of an example are sent back to back.

        Returns
        -------
        received : user → [b, s, d], shape and dtype of ``tokens``
        state : LinkState
            The realisation over which they were sent.

        Raises
        ------
        UserError
            As `draw` does, and if a width is odd.
        """
        masks = {user: mask for user, mask in (masks or {}).items() if user in tokens}
        order = {user: (~mask).byte().argsort(dim=1, stable=True) for user, mask in masks.items()}
        valid = {user: symbol_mask(mask.gather(1, order[user]), tokens[user].shape[2]) for user, mask in masks.items()}
        normalized, scale = {}, {}
        for user, block in tokens.items():
            packed = _reorder(block, order[user]) if user in order else block
            size = block.shape[2] // 2 if self.config.power == "token" else None
            normalized[user], scale[user] = normalize_power(to_symbols(packed), valid.get(user), symbols_per_token=size)
        batch = len(next(iter(normalized.values()))) if normalized else 0
        num_symbols = {user: x.shape[1] for user, x in normalized.items()}
        state = self.draw(batch, num_symbols, snr_db, seed, indices, valid)
        received = {}
        for user, y in self._transmit_symbols(normalized, valid, state).items():
            x = scale_symbols(y, scale[user]) if self.config.scale == "restored" else y
            block = from_symbols(x, tokens[user].shape[2]).to(tokens[user].dtype)
            received[user] = _reorder(block, order[user].argsort(dim=1)) if user in order else block
        return received, state

    def _transmit_symbols(
        self, symbols: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: LinkState
    ) -> Mapping[str, Tensor]:
        """Send the symbols of all users, complex [b, n] of mean power one, over a realisation."""
        return state.apply({user: self._amplify(x) for user, x in symbols.items()})

    def _amplify(self, symbols: Tensor) -> Tensor:
        backoff_db = self.config.amplifier_backoff_db
        return symbols if backoff_db is None else rapp(symbols, backoff_db)

    def __call__(
        self,
        tokens: Mapping[str, Tensor],
        snr_db: float | Tensor | Mapping[str, float | Tensor],
        masks: Mapping[str, Tensor] | None = None,
        *,
        seed: int,
        indices: Sequence[int] | Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Send tokens and return the received tokens; see `transmit`."""
        return self.transmit(tokens, snr_db, masks, seed=seed, indices=indices)[0]


def _reorder(tokens: Tensor, order: Tensor) -> Tensor:
    """Tokens [b, s, d] in the order of positions [b, s]."""
    return tokens.gather(1, order.unsqueeze(-1).expand_as(tokens))


def _per_user(value: Value | Mapping[str, Value], users: list[str]) -> dict[str, Value]:
    """The value of each user: its own from a mapping, or one for all."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(users, value)
    for user in users:
        if user not in value:
            raise UserError(f"no SNR for user '{user}', only for {', '.join(value)}: give one for every active user")
    return {user: value[user] for user in users}


def _check_payload(batch: int, num_symbols: Mapping[str, int], masks: Mapping[str, Tensor]) -> None:
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


def combined_state(request: DrawRequest, users: Sequence[str], combined: Combined) -> LinkState:
    """The realisation of users that share resource elements, each truncated to its payload length."""
    lengths = [request.num_symbols[user] for user in users]
    return LinkState(
        {
            user: {other: combined.gain[:, k, j, : min(lengths[k], lengths[j])] for j, other in enumerate(users)}
            for k, user in enumerate(users)
        },
        {user: combined.noise[:, k, : lengths[k]] for k, user in enumerate(users)},
        {user: combined.effective_noise_var[:, k, : lengths[k]] for k, user in enumerate(users)},
        {user: combined.sinr[:, k, : lengths[k]] for k, user in enumerate(users)},
        request.masks(users),
    )
