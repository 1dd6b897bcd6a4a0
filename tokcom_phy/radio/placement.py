"""Where in its slots a payload lies: the order of resource elements."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Placement:
    """The resource elements of a payload's symbols, in slots that it fills one after another.

    Where every payload fills its slots, symbols follow the grid: subcarriers first, then OFDM symbols. A payload that
    leaves room is spread over all data symbols of a slot in turn, so that a short one meets the same mean quality of
    channel estimates as a long one: symbol i is on data symbol i mod J, on the next subcarrier there. The first
    subcarrier hops from one data symbol to the next, in steps of the golden section.

    Attributes
    ----------
    num_data_symbols : int
        J, OFDM symbols of a slot that carry data.
    width : int
        Subcarriers.
    spread : bool
        Whether symbols are spread over the data symbols.
    """

    num_data_symbols: int
    width: int
    spread: bool

    @property
    def size(self) -> int:
        """Resource elements of a slot that carry data."""
        return self.num_data_symbols * self.width

    @cached_property
    def _order(self) -> Tensor:
        number = torch.arange(self.size)
        symbol = number % self.num_data_symbols
        first = (symbol * _GOLDEN % 1 * self.width).long()
        return symbol * self.width + (first + number // self.num_data_symbols) % self.width

    def elements(self, first: int, last: int, device: str = "cpu") -> slice | Tensor:
        """Resource elements of payload symbols ``first`` to ``last`` − 1, ``first`` at the start of a slot.

        Counted over the data symbols from the start of that slot, subcarriers first: a slice, or int64 [n].
        """
        return self.numbers(last - first, device) if self.spread else slice(0, last - first)

    def numbers(self, num_symbols: int, device: str = "cpu") -> Tensor:
        """Resource elements of the first symbols of a payload, int64 [num_symbols]; counted as in `elements`."""
        number = torch.arange(num_symbols)
        if self.spread:
            number = number // self.size * self.size + self._order[number % self.size]
        return number.to(device)
