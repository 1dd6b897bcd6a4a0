"""Processes that train together: what fails in all leaves the next training alone, what fails in one ends all."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import distributed_case
import pytest


def launch(folder: Path, failing: int) -> list[subprocess.CompletedProcess[str]]:
    """Run the case on two processes, without a launcher that would end the second when the first does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, distributed_case.__file__, str(folder), str(failing)],
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    return [subprocess.CompletedProcess(p.args, p.returncode, *o) for p, o in zip(processes, outputs, strict=True)]


@pytest.mark.parametrize("failing", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_processes_agree_on_failures_or_end(tmp_path: Path, failing: int) -> None:
    done = launch(tmp_path, failing)
    assert done[0].stdout.splitlines() == ["everywhere ['mend it']", "nowhere []"]
    assert [process.returncode for process in done] == [1, 1]
    line = f"error: process {failing} of 2: RuntimeError: broken; the trace is in {tmp_path / 'logs'}"
    assert line in done[failing].stderr.splitlines()
    assert "another process has ended" in done[1 - failing].stderr
    assert "Traceback" in (tmp_path / "logs" / "align_alone_seed_0.txt").read_text()
