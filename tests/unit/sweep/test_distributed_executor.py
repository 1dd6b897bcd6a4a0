"""Processes that train together: what fails in all leaves the next training alone, what fails in one ends all."""

from pathlib import Path

import distributed_case
import pytest
from two_processes import run_on_two


@pytest.mark.parametrize("failing", [pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)])
def test_processes_agree_on_failures_or_end(tmp_path: Path, failing: int) -> None:
    done = run_on_two(distributed_case.__file__, tmp_path, str(failing))
    assert done[0].stdout.splitlines() == ["everywhere ['mend it']", "nowhere []"]
    assert [process.returncode for process in done] == [1, 1]
    line = f"error: process {failing} of 2: RuntimeError: broken; the trace is in {tmp_path / 'logs'}"
    assert line in done[failing].stderr.splitlines()
    assert "another process has ended" in done[1 - failing].stderr
    assert "Traceback" in (tmp_path / "logs" / "align_alone_seed_0.txt").read_text()
