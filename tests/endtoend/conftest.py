"""A micro experiment, run once for all tests through the command line as a user runs it."""

import contextlib
import io
import os
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from filelock import FileLock
from transformers.utils import logging

from tests.endtoend.commands import ENVIRONMENT, Tokcom, start_tokcom
from tokcom_phy.cli import execute

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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is the same in all processes in which pytest runs tests at once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "endtoend"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def experiment(shared: Path) -> Path:
    path = shared / "micro.yaml"
    path.write_text(MICRO)
    return path


@pytest.fixture(scope="session")
def tokcom() -> Tokcom:
    """Run ``tokcom`` in this process: its imports take longer than most commands."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = list(map(str, arguments))
        logging.disable_progress_bar()  # as the environment does of a process that has not imported transformers yet
        with (
            contextlib.redirect_stdout(io.StringIO()) as stdout,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
            mock.patch.dict(os.environ, ENVIRONMENT),
        ):
            code = execute(words)
        logging.enable_progress_bar()
        return subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())

    return call


@pytest.fixture(scope="session")
def finished_run(experiment: Path, shared: Path) -> Path:
    """The experiment's run, made by the first process that asks for it."""
    run_dir = shared / "runs" / "micro"
    with FileLock(shared / "micro.lock"):
        if not (run_dir / "figures").is_dir():
            process = start_tokcom("run", experiment, "--out", run_dir, "--workers", "2")
            _, stderr = process.communicate()
            assert process.returncode == 0, stderr
    return run_dir
