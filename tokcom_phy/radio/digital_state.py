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
    """

    scheme: Mapping[str, Tensor] = field(default_factory=dict)
    chance: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, below: LinkState, scheme: Mapping[str, Tensor], chance: Mapping[str, Tensor]) -> "DigitalState":
        """A realisation of the link below with the two attributes."""
        own = {part.name: getattr(below, part.name) for part in fields(LinkState)}
        return cls(**own, scheme=scheme, chance=chance)

    def _tensors(self) -> Iterator[Tensor]:
        yield from super()._tensors()
        yield from self.scheme.values()
        yield from self.chance.values()
