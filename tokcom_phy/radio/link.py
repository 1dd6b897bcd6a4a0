"""The base class of all links."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin, overload

import torch
from torch import Tensor, nn

from tokcom_phy.radio.arguments import check_device, check_token_mask
from tokcom_phy.radio.budgeted import BudgetedLink, Snr
from tokcom_phy.radio.cache import RealisationCache
from tokcom_phy.radio.cost import HEADER_SYMBOLS, Budget, Load, Spent, single_carrier_cost
from tokcom_phy.radio.draw_request import DrawRequest, check_payload
from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.panels import Panel
from tokcom_phy.radio.power import noise_power, normalize_power, rapp, scale_symbols
from tokcom_phy.radio.repetition import combined_uses, num_uses, repeated
from tokcom_phy.radio.scheme import USES_PER_VALUE
from tokcom_phy.radio.sionna import default_device
from tokcom_phy.radio.state import ANONYMOUS, LinkState, check_users
from tokcom_phy.radio.symbols import check_tokens, like_tokens, reorder, symbol_mask, symbols_per_token, to_symbols
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.memory import check_memory

Config = TypeVar("Config", bound=LinkFamilyConfig)


class Link(nn.Module, BudgetedLink, ABC, Generic[Config]):
    """A radio link between single-antenna users and a base station.

    SNR is the average received Es/N0 per user and receive antenna (`tokcom_phy.radio.power.noise_power`). Where users
    have different SNRs, the noise at the base station is common and their received powers differ: near and far users.

    A link is a layer that can stand in an `nn.Sequential`; see `at`. It has no parameters, no state to save, and its
    own device, which ``to`` does not change.

    A link family is a subclass ``class MyLink(Link[MyConfig])`` with a method `_draw`. It may define more: the users it
    admits, its symbol rate or `_cost`, and the `panels` of its figure.

    Attributes
    ----------
    name : str
    config : pydantic model of the link's family
    description : str
        What the link is, in one line.
    device : str
        Torch device on which realisations are drawn; by default Sionna's.
    users : sequence of str, or None
        Users that the link admits; None if it admits any.
    snr_offset_db : user → float
        Offset of a user's SNR from the SNR at which the link is used [dB].
    symbol_rate : float
        Channel uses per second of a single carrier [Hz], for the budget.
    analog : bool
        Whether tokens are sent as analog symbols.
    sent_as : str
        Form in which tokens are sent, in words.
    identifiers : sequence of str
        Users whose tokens are bits of identifiers, see `tokcom_phy.radio.identifiers`.
    """

    config_class: ClassVar[type[LinkFamilyConfig]] = LinkFamilyConfig
    config: Config
    users: Sequence[str] | None = None
    symbol_rate: float = 1e6
    analog: ClassVar[bool] = True
    sent_as: str = "tokens"
    amplifies_waveform: bool = False
    """Whether the amplifier acts on the waveform of a realisation instead of on symbols."""
    identifiers: Sequence[str] = ()
    memory_mend: str = "shorten the payload, or draw fewer examples at once"
    """What to lower where a draw needs more memory than is free."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Link:
                (cls.config_class,) = get_args(base)

    def __init__(self, name: str, config: Config, device: str | None = None):
        super().__init__()
        self.name = name
        self.config = config
        self.description: str = config.description
        self.device = device or default_device()
        check_device(name, self.device)
        self.snr_offset_db: Mapping[str, float] = {}
        self._uses_per_symbol = 1.0
        if self.analog and config.uses_per_value is not None:
            self._uses_per_symbol = config.uses_per_value / USES_PER_VALUE
            self.sent_as = f"tokens, {config.uses_per_value:g} uses a value"
        self._snr_db: Snr | None = None
        self._cache: RealisationCache | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a plain attribute: Sionna's blocks in a link are no layers of the network that the link stands in."""
        object.__setattr__(self, name, value)

    def extra_repr(self) -> str:
        return repr(self.name)

    def cached(self, max_bytes: int) -> Self:
        """A copy of this link that caches realisations, and channels and noise for other SNRs, up to ``max_bytes``."""
        twin = copy(self)
        twin._cache = RealisationCache(max_bytes)
        return twin

    def at(self, snr_db: Snr) -> Self:
        """A copy of this link with a default SNR [dB].

        Examples
        --------
        >>> nn.Sequential(encoder, load_link("awgn").at(snr_db=10.0), decoder)
        """
        twin = copy(self)
        twin._snr_db = snr_db
        return twin

    @abstractmethod
    def _draw(self, request: DrawRequest) -> LinkState:
        """Draw the requested realisations."""

    def _memory(self, request: DrawRequest) -> int:
        """Estimate of the memory that a draw takes at its peak [bytes]; by default that of the realisation."""
        users = len(request.num_symbols)
        return len(request.indices) * sum(request.num_symbols.values()) * 8 * (users + 2)

    def check_users(self, users: Sequence[str]) -> None:
        """Raise a `UserError` if one of ``users`` is unknown to this link, or to its budget."""
        if self.users is not None:
            check_users(users, list(self.users))
        if self.config.uplink.budget is not None:
            for user in users:
                self.budget_of(user)

    def check_drawable(self) -> None:
        """Raise a `UserError` if this machine lacks what realisations of this link are drawn with."""

    @torch.no_grad()
    def draw(
        self,
        batch: int,
        num_symbols: int | Mapping[str, int],
        snr_db: Snr | None = None,
        seed: int | None = None,
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
        snr_db : float, float [batch], or user → either [dB], optional
            By default that of `at`, else that of the link budget; users are offset from one value as the budget says.
        seed : int, optional
            Not negative; by default a fresh one from torch's default generator.
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
            If an SNR is missing or not finite, a payload is empty, a user is unknown, or a mask holds an example
            without symbols.
        """
        lengths = dict(num_symbols) if isinstance(num_symbols, Mapping) else {ANONYMOUS: num_symbols}
        users = list(lengths)
        if users != [ANONYMOUS]:
            self.check_users(users)
        masks = dict(mask) if isinstance(mask, Mapping) else {} if mask is None else {ANONYMOUS: mask}
        masks = {user: masks[user].to(self.device) for user in users if user in masks}
        check_payload(batch, lengths, masks)
        snr_db = self._snr_db if snr_db is None else snr_db
        snr_db = self.budget_snr_db if snr_db is None else snr_db
        if snr_db is None:
            raise UserError(f"link '{self.name}' has no SNR: pass snr_db, such as 10.0, or use link.at(snr_db=10.0)")
        seed = int(torch.randint(2**62, ())) if seed is None else int(seed)
        if isinstance(indices, Tensor):
            indices = indices.tolist()
        names = list(range(batch)) if indices is None else [int(index) for index in indices]
        if len(names) != batch or min(seed, *names) < 0:
            given = f"{len(names)} indices for a batch of {batch}, seed {seed}"
            raise UserError(f"{given}: give an index per example, no index or seed negative")
        own_snr_db = self._own_snr_db(snr_db, users, seed, names)
        no = {user: noise_power(snr).to(self.device).expand(batch) for user, snr in own_snr_db.items()}
        request = DrawRequest(seed, names, lengths, no, masks, self._cache)
        return request.once(request.key, lambda: self._draw_checked(request))

    def _draw_checked(self, request: DrawRequest) -> LinkState:
        on_air = request if self._uses_per_symbol == 1 else repeated(request, self._uses_per_symbol)
        payload = f"{len(on_air.indices)} examples of {max(on_air.num_symbols.values())} symbols"
        check_memory(f"link '{self.name}' draws {payload}", self._memory(on_air), self.device, self.memory_mend)
        state, mmse = self._checked(self._draw(on_air), on_air), getattr(self.config, "output", None) == "mmse"
        return state if on_air is request else combined_uses(state, request, self._uses_per_symbol, mmse)

    def _checked(self, state: LinkState, request: DrawRequest) -> LinkState:
        """A realisation that `_draw` returned, or a `UserError` if it is not of the requested shape."""
        if isinstance(state, LinkState):
            batch = len(request.indices)
            mistake = state.mistake({user: (batch, n) for user, n in request.num_symbols.items()})
        else:
            mistake = f"no LinkState but an object of type {type(state).__name__}"
        if mistake:
            raise UserError(f"link '{self.name}': {type(self).__name__}._draw returned {mistake}")
        return state

    @overload
    def transmit(
        self,
        tokens: Tensor,
        snr_db: Snr | None = None,
        masks: Tensor | None = None,
        *,
        seed: int | None = None,
        indices: Sequence[int] | Tensor | None = None,
    ) -> tuple[Tensor, LinkState]: ...

    @overload
    def transmit(
        self,
        tokens: Mapping[str, Tensor],
        snr_db: Snr | None = None,
        masks: Mapping[str, Tensor] | None = None,
        *,
        seed: int | None = None,
        indices: Sequence[int] | Tensor | None = None,
    ) -> tuple[dict[str, Tensor], LinkState]: ...

    def transmit(
        self,
        tokens: Tensor | Mapping[str, Tensor],
        snr_db: Snr | None = None,
        masks: Tensor | Mapping[str, Tensor] | None = None,
        *,
        seed: int | None = None,
        indices: Sequence[int] | Tensor | None = None,
    ) -> tuple[Tensor | dict[str, Tensor], LinkState]:
        """Send tokens of every user: map (5), normalise the power, draw, apply (6), restore the scale, unmap (7).

        Power normalisation, amplifiers and the restoring of the scale are settings of the link: ``power``,
        ``amplifier_backoff_db`` and ``scale``.

        Parameters
        ----------
        tokens : float or complex [b, s, d], or user → such
            A tensor is the payload of one anonymous user. Two values of a real token, whose width d is even, make a
            complex symbol; a complex token is d symbols.
        snr_db, seed, indices
            As for `draw`.
        masks : bool [b, s], or user → such, like ``tokens``, optional
            True for valid tokens. Padding, on either side, is not transmitted and is received as zero; the valid tokens
            of an example are sent back to back.

        Returns
        -------
        received : [b, s, d], or user → such, structure, shape and dtype of ``tokens``
        state : LinkState
            The realisation over which they were sent.

        Raises
        ------
        UserError
            As `draw` does, and if tokens or masks have another shape or dtype.
        """
        if isinstance(tokens, Mapping):
            if isinstance(masks, Tensor):
                raise UserError("masks are a tensor, tokens a mapping: give masks by user too")
            return self._transmit(tokens, snr_db, masks or {}, seed, indices)
        if isinstance(masks, Mapping):
            raise UserError("masks are a mapping, tokens are not: give one mask [batch, tokens]")
        own_masks = {} if masks is None else {ANONYMOUS: masks}
        received, state = self._transmit({ANONYMOUS: tokens}, snr_db, own_masks, seed, indices)
        return received[ANONYMOUS], state

    def _transmit(
        self,
        tokens: Mapping[str, Tensor],
        snr_db: Snr | None,
        masks: Mapping[str, Tensor],
        seed: int | None,
        indices: Sequence[int] | Tensor | None,
    ) -> tuple[dict[str, Tensor], LinkState]:
        masks = {user: mask for user, mask in masks.items() if user in tokens}
        for user, block in tokens.items():
            check_tokens(user, block)
            check_token_mask(user, block, masks.get(user))
        size = {user: symbols_per_token(block) for user, block in tokens.items()}
        order = {user: (~mask).byte().argsort(dim=1, stable=True) for user, mask in masks.items()}
        valid = {user: symbol_mask(mask.gather(1, order[user]), size[user]) for user, mask in masks.items()}
        normalized, scale = {}, {}
        for user, block in tokens.items():
            packed = reorder(block, order[user]) if user in order else block
            per_token = size[user] if self.config.power == "token" else None
            normalized[user], scale[user] = normalize_power(
                to_symbols(packed), valid.get(user), symbols_per_token=per_token
            )
        batch = len(next(iter(normalized.values()))) if normalized else 0
        num_symbols = {user: x.shape[1] for user, x in normalized.items()}
        state = self.draw(batch, num_symbols, snr_db, seed, indices, valid)
        arrived, state = self._transmit_symbols(normalized, valid, state)
        received = {}
        for user, y in arrived.items():
            x = scale_symbols(y, scale[user]) if self.config.scale == "restored" else y
            block = like_tokens(x, tokens[user])
            received[user] = reorder(block, order[user].argsort(dim=1)) if user in order else block
        return received, state

    def _transmit_symbols(
        self, symbols: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: LinkState
    ) -> tuple[Mapping[str, Tensor], LinkState]:
        """Send the symbols of all users, complex [b, n] of mean power one, over a realisation; it is returned too, with
        what only sending shows."""
        return state.apply({user: self._amplify(x) for user, x in symbols.items()}), state

    def _amplify(self, symbols: Tensor) -> Tensor:
        backoff_db = self.config.amplifier_backoff_db
        return symbols if backoff_db is None or self.amplifies_waveform else rapp(symbols, backoff_db)

    def forward(
        self,
        tokens: Any,
        snr_db: Snr | None = None,
        masks: Any = None,
        *,
        seed: int | None = None,
        indices: Sequence[int] | Tensor | None = None,
    ) -> Any:
        """Send tokens and return the received tokens; see `transmit`."""
        return self.transmit(tokens, snr_db, masks, seed=seed, indices=indices)[0]

    def cost(
        self,
        num_symbols: Mapping[str, int],
        symbol_energy: float | None = None,
        *,
        symbols_per_token: int | None = None,
        as_tokens: bool = True,
    ) -> Budget:
        """The cost of sending a payload over this link.

        Parameters
        ----------
        num_symbols : user → payload symbols
            See `tokcom_phy.radio.cost.symbols_of_tokens` and `symbols_of_bits`.
        symbol_energy : float
            Transmit energy of a symbol [J]. By default what a link budget says, P/B of each user; without one 0.2 µJ,
            the same on every link: 23 dBm over 1 MHz.
        symbols_per_token : int, optional
            Symbols of an analog token: on a link with ``power: token`` each token has its own header. By default a
            user's payload is one block with one header. A link with ``scale: withheld`` sends no headers.
        as_tokens : bool
            Whether the payload is what the link sends of tokens, at its ``uses_per_value``; else a symbol takes one
            channel use.

        Raises
        ------
        UserError
            If the payload is empty, or a user is unknown to the link.
        """
        self.check_users(list(num_symbols))
        if not num_symbols or min(num_symbols.values()) < 1:
            raise UserError("empty payload: give every active user at least one symbol")
        uses = {user: self._most_uses(n, user) if as_tokens else n for user, n in num_symbols.items()}
        sent = {user: uses[user] + self._header_symbols(n, symbols_per_token) for user, n in num_symbols.items()}
        return self._cost(self._load(uses, sent, symbol_energy))

    def _most_uses(self, num_symbols: int, user: str) -> int:
        """Most channel uses that a payload takes."""
        return num_uses(num_symbols, self._uses_per_symbol)

    def spent(self, state: LinkState, symbol_energy: float | None = None) -> Spent | None:
        """What each example of a transmission took, from its realisation as `transmit` returns it.

        None where that is the same for all, and `cost` says it.
        """
        return None

    def _header_symbols(self, num_symbols: int, symbols_per_token: int | None) -> int:
        """Symbols of the headers that carry a user's scales."""
        if self.config.scale == "withheld":
            return 0
        if self.config.power == "block" or symbols_per_token is None:
            return HEADER_SYMBOLS
        return HEADER_SYMBOLS * -(-num_symbols // symbols_per_token)

    def _cost(self, load: Load) -> Budget:
        """The cost of a load; by default on a single carrier, where each user has its own channel uses."""
        return single_carrier_cost(load, self._symbol_rate)

    def panels(self) -> list[Panel]:
        """Panels of the link's figure that show its channel, before constellation and token NMSE; by default none."""
        return []
