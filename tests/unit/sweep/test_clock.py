"""What a run took is added up over its interruptions, and no damage to that file ends a run."""

import json
from pathlib import Path

import pytest

from tokcom_phy.sweep.clock import Clock


def test_seconds_add_up_over_interruptions(tmp_path: Path) -> None:
    Clock(tmp_path).add("evaluate", 2.0)
    clock = Clock(tmp_path)
    clock.add("evaluate", 3.0)
    assert clock.seconds == json.loads(clock.path.read_text()) == {"evaluate": 5.0}


@pytest.mark.parametrize("content", [b"", b'{"evaluate": 2', b"[]", b"null", b'{"evaluate": []}', b"\x80"])
def test_a_damaged_file_of_seconds_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "logs" / "seconds.json"
    path.parent.mkdir()
    path.write_bytes(content)
    Clock(tmp_path).add("evaluate", 3.0)
    assert json.loads(path.read_text()) == {"evaluate": 3.0}
