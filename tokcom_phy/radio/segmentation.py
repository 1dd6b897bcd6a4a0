"""Segmentation of a payload into code blocks."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.bler_table import CodeKey
from tokcom_phy.radio.blockcode import BITS_PER_SYMBOL, check_rate, symbols_per_block
from tokcom_phy.radio.scheme import Scheme


class Blocks(NamedTuple):
    """The code blocks of one scheme and length in a user's payload.

    Attributes
    ----------
    scheme : Scheme
    code : CodeKey
    rows : int64 [blocks, 1]
        Example that each block belongs to.
    columns : int64 [blocks, num_symbols]
        Positions of its symbols in the example's payload.
    numbers : int64 [blocks]
        Place of the block among those of its example, from zero.
    """

    scheme: Scheme
    code: CodeKey
    rows: Tensor
    columns: Tensor
    numbers: Tensor


def num_blocks(num_symbols: int, scheme: Scheme) -> int:
    """Code blocks of a payload, as few as the code allows."""
    return -(-num_symbols // symbols_per_block(scheme.bits))


def segment(lengths: Sequence[int], schemes: Sequence[Scheme], device: str) -> list[Blocks]:
    """Cut payloads into code blocks of nearly equal length.

    Parameters
    ----------
    lengths : sequence of int [b]
        Symbols of each example.
    schemes : sequence of Scheme [b]
        How each example is sent.
    device : str

    Raises
    ------
    UserError
        If the code does not support the rate of a block.
    """
    found: dict[tuple[Scheme, int], list[tuple[int, int, int]]] = defaultdict(list)
    for example, (length, scheme) in enumerate(zip(lengths, schemes, strict=True)):
        count = num_blocks(length, scheme)
        edges = [block * length // count for block in range(count + 1)]
        for number, (start, stop) in enumerate(pairwise(edges)):
            found[scheme, stop - start].append((example, start, number))
    layout = []
    for (scheme, size), places in found.items():
        check_rate(scheme.bits, scheme.modulation, size)
        rows, starts, numbers = torch.tensor(places, device=device).mT[..., None]
        columns = starts + torch.arange(size, device=device)
        code = CodeKey(2 * scheme.bits * size, size, BITS_PER_SYMBOL[scheme.modulation])
        layout.append(Blocks(scheme, code, rows, columns, numbers[:, 0]))
    return layout
