"""Settings of all tests: one thread, a marker for each tier, and what the TensorFlow engine cannot do skipped."""

from pathlib import Path

import pytest
import torch

from tokcom_phy.radio.engine import engine

TIERS = ("unit", "physics", "endtoend")

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tier whose folder it lies in; skip those for Sionna 2 alone on the other engine."""
    for item in items:
        tier = item.path.relative_to(Path(__file__).parent).parts[0]
        if tier in TIERS:
            item.add_marker(tier)
        if item.get_closest_marker("versions") and engine() != "torch":
            item.add_marker(pytest.mark.skip(reason="Sionna 1 has no redundancy versions"))
