"""A micro experiment, run through the command line as a user runs it."""

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.endtoend.commands import Tokcom, start_tokcom

MICRO = """\
# A micro run of everything, for tests.
name: micro
title: Micro
profile: tiny
data:
  synthetic: {captions: 24, train_clips: 24, test_clips: 12, train_questions: 48, test_questions: 40, seed: 5}
keep_features: 2
stage1: {steps: 3, batch: 8, checkpoint_steps: 1}
stage2: {steps: 3, batch: 8, checkpoint_steps: 1}
variants:
  aligned: {alignment: contrastive}
  blind: {alignment: none, modalities: []}
  aligned-on-air: {alignment: contrastive, question: on-air}
  hot: {stage1: {temperature: 0.5}, stage2: {batch: 24, snr_db: [0, 20]}}
links:
  video-far: {extends: awgn, snr_offset_db: {video: -20}}
evaluate:
  - {variants: [aligned, blind], links: [awgn, ofdm-tdl-c], snr_db: [0, 20]}
  - {variants: [aligned-on-air], links: [awgn], snr_db: [0, 20]}
  - {variants: [hot], links: [video-far], snr_db: [20]}
figures: [accuracy_vs_snr]
"""


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experiment") / "micro.yaml"
    path.write_text(MICRO)
    return path


@pytest.fixture(scope="session")
def tokcom() -> Tokcom:
    """Run ``tokcom``; after ``kill_after`` [s], or when ``kill_when`` gets true, its process group gets SIGKILL."""

    def call(
        *arguments: str | Path, kill_after: float = math.inf, kill_when: Callable[[], bool] = lambda: False
    ) -> subprocess.CompletedProcess[str]:
        process = start_tokcom(*arguments)
        deadline = time.monotonic() + kill_after
        while True:
            try:
                stdout, stderr = process.communicate(timeout=0.05)
                return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline or kill_when():
                    os.killpg(process.pid, signal.SIGKILL)
                    deadline = math.inf

    return call


@pytest.fixture(scope="session")
def finished_run(tokcom: Tokcom, experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "micro"
    done = tokcom("run", experiment, "--out", run_dir, "--workers", "2")
    assert done.returncode == 0, done.stderr
    return run_dir
