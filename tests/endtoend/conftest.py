"""A micro experiment, run through the command line as a user runs it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MICRO = """\
# A micro run of everything, for tests.
name: micro
title: Micro
profile: tiny
data:
  synthetic: {captions: 24, train_clips: 24, test_clips: 12, train_questions: 48, test_questions: 40, seed: 5}
stage1: {steps: 3, batch: 8}
stage2: {steps: 3, batch: 8}
variants:
  aligned: {alignment: contrastive}
  blind: {alignment: none, modalities: []}
  aligned-on-air: {alignment: contrastive, question: on-air}
  hot: {stage1: {temperature: 0.5}, stage2: {snr_db: [0, 20]}}
links:
  video-far: {extends: awgn, snr_offset_db: {video: -20}}
evaluate:
  - {variants: [aligned, blind], links: [awgn, ofdm-tdl-c], snr_db: [0, 20]}
  - {variants: [aligned-on-air], links: [awgn], snr_db: [0, 20]}
  - {variants: [hot], links: [video-far], snr_db: [20]}
figures: [accuracy_vs_snr]
"""

Tokcom = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experiment") / "micro.yaml"
    path.write_text(MICRO)
    return path


@pytest.fixture(scope="session")
def tokcom() -> Tokcom:
    """Run ``tokcom`` in a process group of its own; with ``kill_after`` [s] the whole group gets SIGKILL."""

    def call(*arguments: str | Path, kill_after: float | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("tokcom")), *map(str, arguments)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "COLUMNS": "120"},
        )
        try:
            stdout, stderr = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    return call


@pytest.fixture(scope="session")
def finished_run(tokcom: Tokcom, experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "micro"
    done = tokcom("run", experiment, "--out", run_dir, "--workers", "2")
    assert done.returncode == 0, done.stderr
    return run_dir
