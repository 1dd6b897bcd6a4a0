"""The command line as a process, and what runs leave behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Tokcom = Callable[..., subprocess.CompletedProcess[str]]

ENVIRONMENT = {"COLUMNS": "120"}


def start_tokcom(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start ``tokcom`` in a process group of its own."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("tokcom")), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **ENVIRONMENT},
    )


def kill_tokcom(*arguments: str | Path, when: Callable[[], bool]) -> subprocess.CompletedProcess[str]:
    """Run ``tokcom`` in a process group that gets SIGKILL once ``when`` becomes true."""
    process = start_tokcom(*arguments)
    while True:
        try:
            stdout, stderr = process.communicate(timeout=0.05)
            return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
        except subprocess.TimeoutExpired:
            if when():
                os.killpg(process.pid, signal.SIGKILL)


def results_of(run_dir: Path) -> dict[str, bytes]:
    """All that two runs must have the same to the last bit: points, tables, and what was trained."""
    patterns = ("points/*", "results.csv", "checkpoints/*/*/losses.json", "checkpoints/*/*/*.safetensors")
    files = [path for pattern in patterns for path in run_dir.glob(pattern)]
    return {path.relative_to(run_dir).as_posix(): path.read_bytes() for path in files}
