"""Decoding of a digital link's code blocks: bit by bit, or by link-to-system mapping."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.blockcode import BlockCode, block_code
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.harq import error_rates
from tokcom_phy.radio.harq_config import Combining
from tokcom_phy.radio.observation import Observation, combine_symbols
from tokcom_phy.radio.redundancy import redundancy_version, redundancy_versions
from tokcom_phy.radio.segmentation import Blocks
from tokcom_phy.radio.source_coding import SourceCoder

Layouts = Mapping[str, list[Blocks]]
"""The code blocks of each user."""


class Reception(NamedTuple):
    """What arrives of every user's payload.

    Attributes
    ----------
    symbols : user → complex64 [b, n]
        After quantisation, of mean power one.
    delivered : user → bool [b, n]
        Whether the block of each symbol was decoded.
    spent : tuple of (user → int64 [b])
        Channel uses of each example in each round.
    """

    symbols: dict[str, Tensor]
    delivered: dict[str, Tensor]
    spent: tuple[dict[str, Tensor], ...]

    @classmethod
    def nothing(cls, values: Mapping[str, Tensor], state: DigitalState) -> "Reception":
        """Before anything is sent."""
        return cls(
            {user: torch.zeros_like(x, dtype=torch.complex64) for user, x in values.items()},
            {user: torch.zeros_like(x, dtype=torch.bool) for user, x in values.items()},
            tuple({user: torch.zeros_like(scheme) for user, scheme in state.scheme.items()} for _ in state.rounds),
        )


class Decoder(ABC):
    """What becomes of a payload's symbols on a realisation.

    Parameters
    ----------
    source : SourceCoder
    combining : 'incremental-redundancy', 'chase' or None
        What a receiver does with further rounds of HARQ, if there are any.
    """

    def __init__(self, source: SourceCoder, combining: Combining | None):
        self.source = source
        self.combining = combining

    @abstractmethod
    def receive(self, values: Mapping[str, Tensor], state: DigitalState, layouts: Layouts) -> Reception:
        """Send symbols of mean power one, user → complex [b, n], and decode them."""


class MappedDecoder(Decoder):
    """Loses a block if its number, uniform on [0, 1), is below the error rate that its mutual information gives."""

    def receive(self, values: Mapping[str, Tensor], state: DigitalState, layouts: Layouts) -> Reception:
        received = Reception.nothing(values, state)
        for user, x in values.items():
            for blocks in layouts[user]:
                own = blocks.rows, blocks.columns
                lost = self.lost(state, user, blocks)
                received.symbols[user][own] = self.source.nearest(x[own], blocks, user).to(torch.complex64)
                received.delivered[user][own] = ~lost[-1, :, None]
                tried = torch.cat([torch.ones_like(lost[:1]), lost[:-1]])
                for uses, sends in zip(received.spent, tried, strict=True):
                    uses[user].index_add_(0, blocks.rows[:, 0], sends * blocks.code.num_symbols)
        return received

    def lost(self, state: DigitalState, user: str, blocks: Blocks) -> Tensor:
        """Which blocks are lost after each round, bool [rounds, blocks]."""
        rounds = [Observation.of(one, user) for one in state.rounds]
        chance = state.chance[user][blocks.rows[:, 0], blocks.numbers]
        return chance < error_rates(rounds, blocks, self.combining or "chase")


class BitExactDecoder(Decoder):
    """Encodes every block, sends its QAM symbols over the link below, demaps and decodes them, round by round.

    Parameters
    ----------
    source, combining
        As for `Decoder`.
    amplify : complex [b, n] → complex [b, n]
        The transmitter's amplifier.
    """

    def __init__(self, source: SourceCoder, combining: Combining | None, amplify: Callable[[Tensor], Tensor]):
        super().__init__(source, combining)
        self._amplify = amplify

    @torch.no_grad()
    def receive(self, values: Mapping[str, Tensor], state: DigitalState, layouts: Layouts) -> Reception:
        bits = {
            user: [self.source.encode(x[blocks.rows, blocks.columns], blocks, user) for blocks in layouts[user]]
            for user, x in values.items()
        }
        received = Reception.nothing(values, state)
        arrived: list[Mapping[str, Tensor]] = []
        for round_number, (realisation, uses) in enumerate(zip(state.rounds, received.spent, strict=True)):
            sent = {
                user: self._encode(bits[user], layouts[user], realisation.effective_noise_var[user], round_number)
                for user in values
            }
            arrived.append(realisation.apply(sent))
            for user, delivered in received.delivered.items():
                for blocks in layouts[user]:
                    left = ~delivered[blocks.rows[:, 0], blocks.columns[:, 0]]
                    uses[user].index_add_(0, blocks.rows[:, 0], left * blocks.code.num_symbols)
                    if not left.any():
                        continue
                    rows, columns = blocks.rows[left], blocks.columns[left]
                    own = [
                        (y[user][rows, blocks.uses[left]], one.effective_noise_var[user][rows, blocks.uses[left]])
                        for y, one in zip(arrived, state.rounds, strict=False)
                    ]
                    decoded, intact = self._decode(block_code(*blocks.code, str(rows.device)), own)
                    received.symbols[user][rows, columns] = self.source.decode(decoded, blocks, user)
                    delivered[rows, columns] = intact[:, None]
        return received

    def _encode(self, bits: list[Tensor], layout: list[Blocks], like: Tensor, round_number: int) -> Tensor:
        """The QAM symbols of a user's blocks in a round, complex64 of the shape of ``like``."""
        sends_versions = self.combining == "incremental-redundancy"
        version = redundancy_version(round_number) if sends_versions and round_number else None
        sent = torch.zeros_like(like, dtype=torch.complex64)
        for own, blocks in zip(bits, layout, strict=True):
            sent[blocks.rows, blocks.uses] = block_code(*blocks.code, str(like.device)).encode(own, version)
        return self._amplify(sent)

    def _decode(self, code: BlockCode, rounds: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Bits of blocks, and whether they are intact, from the symbols and their noise variances in each round."""
        if len(rounds) > 1 and self.combining == "incremental-redundancy":
            return code.decode_versions([code.demap(*own) for own in rounds], redundancy_versions(len(rounds)))
        symbols, no = rounds[0] if len(rounds) == 1 else combine_symbols(*zip(*rounds, strict=True))
        return code.decode(symbols, no)
