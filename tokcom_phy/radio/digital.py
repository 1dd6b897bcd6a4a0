"""Digital links: tokens quantised, channel-coded and modulated, over any other link."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from tokcom_phy.radio.adaptation import Adaptation, payload_lengths
from tokcom_phy.radio.block_errors import block_error_rate
from tokcom_phy.radio.cost import Budget, Load, Spent
from tokcom_phy.radio.decoding import BitExactDecoder, Decoder, Layouts, MappedDecoder
from tokcom_phy.radio.digital_config import DigitalConfig
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.engine import engine
from tokcom_phy.radio.identifiers import check_bits
from tokcom_phy.radio.link import Link, Snr
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.panels import CACHED_BYTES, NUM_SYMBOLS, SEED, Panel, draw_block_errors
from tokcom_phy.radio.quantizer import LloydMaxQuantizer, Quantizer
from tokcom_phy.radio.seeding import entropy, uniform
from tokcom_phy.radio.segmentation import longest_block, num_blocks, num_info_bits, num_uses, segment
from tokcom_phy.radio.source_coding import SourceCoder
from tokcom_phy.radio.state import ANONYMOUS, LinkState
from tokcom_phy.utils.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEXT = "text"
_PICTURED = 16
_LONG = 2**20
"""Symbols of a payload that tells schemes of different channel uses apart; of a short one rounding may hide them."""


class DigitalLink(Link[DigitalConfig]):
    """A link of the digital family; see `DigitalConfig`.

    By default each complex symbol of the analog link, two values, becomes one QAM symbol: the channel uses are equal,
    and the code rate follows from them. The quantiser's range follows from the scale in the protected header, which
    also names the scheme of an adaptive link. Power normalisation is a setting of this link; that of the link below is
    ignored. An example's valid symbols are cut into code blocks of nearly equal length, as few as the code allows, each
    with a CRC. A block whose CRC fails is sent again if there is HARQ, and else lost: its values arrive as zeros.

    A realisation is one of the link below for each round, over which the QAM symbols are sent. In later rounds other
    users are taken to go on sending. Detection is not linear in the tokens; the gradient is the straight-through
    estimate: identity for delivered blocks, zero for lost ones.

    A user in ``identifiers`` sends bits in place of values: complex tokens of ±1, a symbol a bit, see
    `tokcom_phy.radio.identifiers`. They arrive as they are, or as zeros.

    Attributes
    ----------
    over : Link
        The link below, with unbiased output.
    schemes : list of Scheme
        Candidates; one where the link does not adapt.
    varies : bool
        Whether what a transmission takes depends on the realisation: with HARQ, or if schemes differ in channel uses.
    """

    analog = False

    def __init__(self, name: str, config: DigitalConfig, over: Link[Any]):
        for scheme in config.candidates:
            try:
                scheme.check_rate(num_info_bits(longest_block(scheme), scheme))
            except UserError as error:
                raise UserError(f"link '{name}': {error}") from error
        if engine() == "tensorflow" and config.decoding == "bit-exact" and config.sends_versions:
            raise UserError(
                f"link '{name}': Sionna 1 has no redundancy versions: use decoding mapped, combining chase, or Sionna 2"
            )
        if config.text == "identifiers" and over.users is not None and TEXT not in over.users:
            raise UserError(
                f"link '{name}': text: identifiers, but its users {', '.join(over.users)} have none, only text has: "
                "leave it out, or name text among the users of the link below"
            )
        super().__init__(name, config, over.device)
        self.memory_mend = over.memory_mend
        self.over = over
        self.snr_offset_db = over.snr_offset_db
        self.users = over.users
        self.identifiers = (TEXT,) if config.text == "identifiers" else ()
        self.amplifies_waveform = over.amplifies_waveform
        self.schemes = config.candidates
        kinds = {user in self.identifiers for user in over.users or (TEXT, ANONYMOUS)}
        self.varies = config.harq is not None or any(
            len({num_uses(_LONG, scheme, as_bits) for scheme in self.schemes}) > 1 for as_bits in kinds
        )
        named = config.schemes if isinstance(config.schemes, str) else " or ".join(map(str, self.schemes))
        self.sent_as = named if config.harq is None else f"{named}, first of {config.harq.rounds} rounds"
        quantizers = {scheme: self._quantizer(scheme.bits) for scheme in self.schemes}
        source = SourceCoder(quantizers, self.identifiers)
        combining = config.harq.combining if config.harq else None
        self._mapped = MappedDecoder(source, combining)
        self._bit_exact = BitExactDecoder(source, combining, self._amplify)
        self._adaptation = None
        if config.adaptation != "none":
            self._adaptation = Adaptation(
                list(quantizers.items()),
                self._draw_round,
                config.adaptation == "instantaneous",
                config.target_bler,
                self.identifiers,
                config.harq,
            )

    def _quantizer(self, bits: int) -> Quantizer:
        return Quantizer(bits, self.config.clip) if self.config.quantizer == "uniform" else LloydMaxQuantizer(bits)

    @property
    def _decoder(self) -> Decoder:
        return self._mapped if self.config.decoding == "mapped" else self._bit_exact

    def mapped(self) -> Self:
        """This link with mapped decoding; unchanged if it has an amplifier, whose distortion only bits show."""
        if self.config.amplifier_backoff_db is not None:
            return self
        twin = copy(self)
        twin.config = self.config.model_copy(update={"decoding": "mapped"})
        return twin

    def check_drawable(self) -> None:
        self.over.check_drawable()

    def mean_path_gain_db(self) -> float | None:
        return self.over.mean_path_gain_db()

    def _draw(self, request: DrawRequest) -> LinkState:
        below = self._draw_round(request)
        if self._adaptation is None:
            none = torch.zeros(len(request.indices), dtype=torch.long, device=self.device)
            scheme = dict.fromkeys(request.num_symbols, none)
        else:
            scheme = self._adaptation.choose(request, below)
        state = DigitalState.of(below, scheme, {user: self._chances(request, user) for user in request.num_symbols})
        if self.config.harq is None:
            return state
        layouts = self._layouts(payload_lengths(request), state)
        for round_number in range(1, self.config.harq.rounds):
            if self.config.decoding == "mapped" and not any(
                self._mapped.lost(state, user, blocks)[-1].any()
                for user, layout in layouts.items()
                for blocks in layout
            ):
                break
            seed = entropy(request.seed, "round", round_number) >> 1
            state = replace(state, later=(*state.later, self._draw_round(replace(request, seed=seed))))
        return state

    def _draw_round(self, request: DrawRequest) -> LinkState:
        """Draw the link below for payloads of this one."""
        on_air = self._on_air(request)
        return self.over._checked(self.over._draw(on_air), on_air)

    def _on_air(self, request: DrawRequest) -> DrawRequest:
        """The request to the link below: as many symbols as the scheme that takes most."""
        uses = {user: self._most_uses(n, user) for user, n in request.num_symbols.items()}
        if uses == request.num_symbols and not request.mask:
            return request
        lengths, mask = payload_lengths(request), {}
        for user in request.mask:
            sizes, which = lengths[user].unique(return_inverse=True)
            on_air = sizes.new_tensor([self._most_uses(n, user) for n in sizes.tolist()])[which]
            mask[user] = torch.arange(uses[user], device=self.device) < on_air[:, None]
        return replace(request, num_symbols=uses, mask=mask)

    def _most_uses(self, num_symbols: int, user: str) -> int:
        return max(num_uses(num_symbols, scheme, user in self.identifiers) for scheme in self.schemes)

    def _chances(self, request: DrawRequest, user: str) -> Tensor:
        """Uniform numbers of a user's blocks, float32 [b, blocks]; those of a shorter payload are the first ones."""
        most = max(num_blocks(request.num_symbols[user], s, user in self.identifiers) for s in self.schemes)
        key = ("block", request.seed, tuple(request.indices), user, most)
        return request.once(key, lambda: uniform(most, self.device, request.seed, request.indices, "block", user))

    def _memory(self, request: DrawRequest) -> int:
        rounds = self.config.harq.rounds if self.config.harq else 1
        return rounds * self.over._memory(self._on_air(request))

    def _cost(self, load: Load) -> Budget:
        return self.over._cost(load)

    def panels(self) -> list[Panel]:
        return [*self.over.panels(), self._draw_block_errors]

    def _draw_block_errors(self, axes: "Axes") -> None:
        """Draw the mean block error rate of each scheme in its first round, by link-to-system mapping."""
        snr_db = list(range(-10, 31))
        rates: dict[str, list[float]] = {str(scheme): [] for scheme in self.schemes}
        most = max(num_uses(NUM_SYMBOLS, scheme) for scheme in self.schemes)
        over = self.over.cached(CACHED_BYTES)
        for snr in snr_db:
            observation = Observation.of(over.draw(_PICTURED, most, float(snr), SEED), ANONYMOUS)
            for scheme in self.schemes:
                layout = segment(torch.full((_PICTURED,), NUM_SYMBOLS, device=self.device), [scheme])
                lost = [block_error_rate(observation.at(blocks.rows, blocks.uses), blocks.code) for blocks in layout]
                rates[str(scheme)].append(float(torch.cat(lost).mean()))
        draw_block_errors(axes, snr_db, rates)

    def _transmit_symbols(
        self, symbols: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: LinkState
    ) -> tuple[dict[str, Tensor], LinkState]:
        assert isinstance(state, DigitalState)
        lengths = {
            user: masks[user].sum(1) if user in masks else torch.full_like(state.scheme[user], x.shape[1])
            for user, x in symbols.items()
        }
        layouts = self._layouts(lengths, state)
        values = {user: x.detach().to(self.device) for user, x in symbols.items()}
        arrived = self._decoder.receive(values, state, layouts)
        received = {}
        for user, x in symbols.items():
            straight_through = arrived.symbols[user].to(x) + (x - x.detach())
            received[user] = straight_through.where(arrived.delivered[user].to(x.device), 0)
        return received, replace(state, spent=arrived.spent)

    def _transmit(
        self,
        tokens: Mapping[str, Tensor],
        snr_db: Snr | None,
        masks: Mapping[str, Tensor],
        seed: int | None,
        indices: Sequence[int] | Tensor | None,
    ) -> tuple[dict[str, Tensor], LinkState]:
        for user in self.identifiers:
            if user in tokens:
                check_bits(user, tokens[user])
        received, state = super()._transmit(tokens, snr_db, masks, seed, indices)
        if not self.varies:
            return received, state
        assert isinstance(state, DigitalState)
        sent = {
            user: masks[user].sum(1).tolist() if user in masks else [block.shape[1]] * len(block)
            for user, block in tokens.items()
        }
        headers = {user: torch.tensor([self._header_symbols(n, 1) for n in counts]) for user, counts in sent.items()}
        return received, replace(state, headers=headers)

    def spent(self, state: LinkState, symbol_energy: float | None = None) -> Spent | None:
        assert isinstance(state, DigitalState)
        if not self.varies:
            return None
        users = list(state.scheme)
        total = Spent(*torch.zeros(3, len(state.scheme[users[0]]), dtype=torch.float64))
        headers = torch.stack([state.headers[user] for user in users], dim=1)
        for of_users in state.spent:
            uses = torch.stack([of_users[user] for user in users], dim=1).cpu()
            loads, which = torch.cat([uses, headers], dim=1).unique(dim=0, return_inverse=True)
            costs = [
                self._spent(dict(zip(users, load[: len(users)], strict=True)), load[len(users) :], symbol_energy)
                for load in loads.tolist()
            ]
            own = torch.tensor(costs, dtype=torch.float64)[which]
            total = Spent(*(sum_ + part for sum_, part in zip(total, own.mT, strict=True)))
            headers = torch.zeros_like(headers)
        return total

    def _spent(
        self, uses: Mapping[str, int], headers: Sequence[int], symbol_energy: float | None
    ) -> tuple[float, float, float]:
        """Channel uses, time and energy of a round, with the headers of each user."""
        payload = {user: n for user, n in uses.items() if n}
        if not payload:
            return 0.0, 0.0, 0.0
        sent = {user: n + header for (user, n), header in zip(uses.items(), headers, strict=True) if n}
        cost = self.over._cost(self._load(payload, sent, symbol_energy))
        return cost.channel_uses, cost.latency, cost.energy

    def _layouts(self, lengths: Mapping[str, Tensor], state: DigitalState) -> Layouts:
        """The code blocks of each user."""
        return {
            user: segment(own.to(self.device), self.schemes, state.scheme[user], user in self.identifiers)
            for user, own in lengths.items()
        }
