"""Small encoders and clips that tests of preparation stand on."""

from pathlib import Path

import pytest
from encoder_files import write_encoders
from media_files import write_clip


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index in range(4):
        write_clip(tmp_path / "clips" / f"clip{index}.mp4", seconds=1.6, frequency=300 + 100 * index)
    return tmp_path / "clips"
