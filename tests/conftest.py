"""Settings of all tests: one thread, and a marker for each tier."""

from pathlib import Path

import pytest
import torch

TIERS = ("unit", "physics", "endtoend")

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tier whose folder it lies in."""
    for item in items:
        tier = item.path.relative_to(Path(__file__).parent).parts[0]
        if tier in TIERS:
            item.add_marker(tier)
