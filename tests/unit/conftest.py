"""Small real models that several unit tests stand on."""

from pathlib import Path

import pytest
from foundation_files import write_foundation

from tokcom_phy.model.foundation import Foundation


@pytest.fixture(scope="session")
def foundation_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Qwen2 with random weights and its tokenizer, saved as Hugging Face models are."""
    return write_foundation(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def foundation(foundation_folder: Path) -> Foundation:
    return Foundation.load(foundation_folder)
