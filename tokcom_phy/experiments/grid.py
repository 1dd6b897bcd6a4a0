"""A grid of settings: every combination of the values of some keys, of links or of training stages."""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

Cell = Mapping[str, Any]
"""key → its value in one combination."""

STAGES = ("stage1.", "stage2.")
"""Beginnings of keys that belong to training stages; all other keys belong to links."""


def cells(grid: Mapping[str, Sequence[Any]], of_stages: bool) -> list[Cell]:
    """Every combination of the values of the keys of links, or of stages; one empty cell where there are no keys."""
    keys = [key for key in grid if key.startswith(STAGES) == of_stages]
    return [dict(zip(keys, values, strict=True)) for values in product(*(grid[key] for key in keys))]


def cell_name(base: str, cell: Cell) -> str:
    """Name of a link or variant in a cell: ``ofdm-tdl-c-speed30-delay_spread3e-07``."""
    parts = [re.sub(r"[^\w-]+", "_", f"{key}{_short(value)}") for key, value in cell.items()]
    return "-".join([Path(base).stem if cell else base, *parts])


def nested(cell: Cell) -> dict[str, Any]:
    """Settings of a cell, a table for each part of a key: ``{"over.speed": 3}`` is ``{"over": {"speed": 3}}``."""
    settings: dict[str, Any] = {}
    for key, value in cell.items():
        *tables, last = key.split(".")
        inner = settings
        for table in tables:
            inner = inner.setdefault(table, {})
        inner[last] = value
    return settings


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float | int) and not isinstance(value, bool) else str(value)
    return text.replace("+", "")
