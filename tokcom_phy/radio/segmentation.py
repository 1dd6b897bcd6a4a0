"""Segmentation of a payload into code blocks."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.bler_table import CodeKey
from tokcom_phy.radio.blockcode import MAX_CODED_BITS
from tokcom_phy.radio.scheme import CRC_BITS, Scheme


class Blocks(NamedTuple):
    """The code blocks of one scheme and length in a user's payload.

    Attributes
    ----------
    scheme : Scheme
    code : CodeKey
    rows : int64 [blocks, 1]
        Example that each block belongs to.
    columns : int64 [blocks, n]
        Positions of what it carries in the example's payload.
    uses : int64 [blocks, num_symbols]
        Positions of its QAM symbols among the channel uses of the example.
    numbers : int64 [blocks]
        Place of the block among those of its example, from zero.
    """

    scheme: Scheme
    code: CodeKey
    rows: Tensor
    columns: Tensor
    uses: Tensor
    numbers: Tensor


BIT_GRID = 64
"""Blocks of a payload of bits are filled up to a multiple of this, so that few codes serve all lengths."""


def num_info_bits(size: int, scheme: Scheme, as_bits: bool = False) -> int:
    """Information bits of a block of ``size`` symbols of the payload."""
    return -(-size // BIT_GRID) * BIT_GRID if as_bits else size * bits_of_symbol(scheme, as_bits)


def bits_of_symbol(scheme: Scheme, as_bits: bool) -> int:
    """Information bits of a symbol of the payload: two values of the scheme's bits, or a single bit."""
    return 1 if as_bits else 2 * scheme.bits


def longest_block(scheme: Scheme, as_bits: bool = False) -> int:
    """Most symbols of the payload that a code block holds."""
    most = (MAX_CODED_BITS - CRC_BITS) // bits_of_symbol(scheme, as_bits)
    return most - most % BIT_GRID if as_bits else most


def cut(num_symbols: int, scheme: Scheme, as_bits: bool = False) -> list[int]:
    """Edges of the code blocks of a payload in its symbols: as few as the code allows, of nearly equal length."""
    count = num_blocks(num_symbols, scheme, as_bits)
    return [block * num_symbols // count for block in range(count + 1)]


def num_blocks(num_symbols: int, scheme: Scheme, as_bits: bool = False) -> int:
    """Code blocks of a payload."""
    return -(-num_symbols // longest_block(scheme, as_bits))


def num_uses(num_symbols: int, scheme: Scheme, as_bits: bool = False) -> int:
    """Channel uses of a payload."""
    count = num_blocks(num_symbols, scheme, as_bits)
    size, longer = divmod(num_symbols, count)
    uses = scheme.num_uses(num_info_bits(size, scheme, as_bits))
    return (count - longer) * uses + longer * scheme.num_uses(num_info_bits(size + 1, scheme, as_bits))


def carries(num_symbols: int, scheme: Scheme, as_bits: bool = False) -> bool:
    """Whether the code supports the rate of every block of a payload."""
    sizes = {stop - start for start, stop in pairwise(cut(num_symbols, scheme, as_bits))}
    return all(scheme.has_rate(num_info_bits(size, scheme, as_bits)) for size in sizes)


def segment(
    lengths: Tensor, schemes: Sequence[Scheme], chosen: Tensor | None = None, as_bits: bool = False
) -> list[Blocks]:
    """Cut payloads into code blocks of nearly equal length.

    Parameters
    ----------
    lengths : int64 [b]
        Symbols of each example.
    schemes : sequence of Scheme
    chosen : int64 [b], optional
        Which of the schemes sends each example; by default the first one.
    as_bits : bool
        Whether a symbol of the payload is a bit, instead of two values.

    Raises
    ------
    UserError
        If the code does not support the rate of a block.
    """
    chosen = torch.zeros_like(lengths) if chosen is None else chosen
    kinds, which = torch.stack([lengths, chosen]).unique(dim=1, return_inverse=True)
    found: dict[tuple[Scheme, int], list[Tensor]] = defaultdict(list)
    for kind, (length, position) in enumerate(kinds.mT.tolist()):
        rows, scheme = (which == kind).nonzero()[:, 0], schemes[position]
        places: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        first_use = 0
        for number, (start, stop) in enumerate(pairwise(cut(length, scheme, as_bits))):
            places[stop - start].append((start, first_use, number))
            first_use += scheme.num_uses(num_info_bits(stop - start, scheme, as_bits))
        for size, own in places.items():
            placed = torch.tensor(own, device=lengths.device).repeat(len(rows), 1)
            found[scheme, size].append(torch.cat([rows.repeat_interleave(len(own))[:, None], placed], dim=1))
    layout = []
    for (scheme, size), parts in found.items():
        carried = num_info_bits(size, scheme, as_bits)
        scheme.check_rate(carried, as_bits)
        rows, starts, first_uses, numbers = torch.cat(parts).mT[..., None]
        code = CodeKey(carried, scheme.num_uses(carried), scheme.bits_per_symbol)
        columns = starts + torch.arange(size, device=lengths.device)
        uses = first_uses + torch.arange(code.num_symbols, device=lengths.device)
        layout.append(Blocks(scheme, code, rows, columns, uses, numbers[:, 0]))
    return layout
