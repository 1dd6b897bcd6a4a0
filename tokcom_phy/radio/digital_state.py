"""A realisation of a digital link."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from torch import Tensor

from tokcom_phy.radio.state import LinkState


@dataclass(frozen=True)
class DigitalState(LinkState):
    """A realisation of the link below, and what else the realisation decides on a digital link.

    Attributes
    ----------
    scheme : user → int64 [b]
        Which of the link's candidate schemes sends each example.
    chance : user → float32 [b, blocks]
        Uniform on [0, 1): with mapped decoding a block is lost if its error rate is above its number.
    later : tuple of LinkState
        Realisations of the link below in further rounds of HARQ; with mapped decoding as many as some block needs.
    spent : tuple of (user → int64 [b])
        Channel uses of each example in each round; empty until something is sent.
    headers : user → int64 [b]
        Symbols of the headers, which are sent once; empty until something is sent, and where what is spent is fixed.
    """

    scheme: Mapping[str, Tensor] = field(default_factory=dict)
    chance: Mapping[str, Tensor] = field(default_factory=dict)
    later: tuple[LinkState, ...] = ()
    spent: tuple[Mapping[str, Tensor], ...] = ()
    headers: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, below: LinkState, scheme: Mapping[str, Tensor], chance: Mapping[str, Tensor]) -> "DigitalState":
        """A realisation of the link below with two of the attributes."""
        own = {part.name: getattr(below, part.name) for part in fields(LinkState)}
        return cls(**own, scheme=scheme, chance=chance)

    @property
    def rounds(self) -> tuple[LinkState, ...]:
        """Realisations of the link below: of the first round, and of those that follow."""
        return self, *self.later

    def mistake(self, shapes: Mapping[str, tuple[int, int]]) -> str | None:
        """None: channel uses are not the payload's symbols, and the realisations of the link below were checked."""
        return None

    def _tensors(self) -> Iterator[Tensor]:
        yield from super()._tensors()
        yield from self.scheme.values()
        yield from self.chance.values()
        for state in self.later:
            yield from state._tensors()
