"""An interrupt from the keyboard ends a sweep at once, but for the step of a training, which is kept."""

import os
import signal
import time
from pathlib import Path

import pytest
import yaml

from tests.endtoend.commands import start_tokcom

STEP_SECONDS = 3.0
"""More than a process that does not train is waited for."""

RECEIVER = f"""
import os
import time
from torch import nn


class SlowReceiver(nn.Linear):
    def __init__(self, token_width):
        super().__init__(token_width, token_width)

    def forward(self, tokens):
        if self.training:
            with open(os.environ["STEPS"], "a") as steps:
                steps.write("step\\n")
            time.sleep({STEP_SECONDS})
        return super().forward(tokens)
"""


@pytest.mark.long
def test_an_interrupt_loses_no_step_and_takes_no_longer_than_it(finished_run, experiment, tmp_path, monkeypatch):
    (tmp_path / "slow_receiver.py").write_text(RECEIVER)
    settings = yaml.safe_load(experiment.read_text()) | {
        "name": "slow",
        "stage2": {"steps": 100, "batch": 8, "checkpoint_steps": 100},
        "receiver": {"_target_": "slow_receiver.SlowReceiver"},
        "variants": {"deaf": {"alignment": "none", "modalities": ["video"]}},
        "evaluate": [{"variants": ["deaf"], "links": ["awgn"], "snr_db": [0]}],
    }
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(settings))
    steps, run_dir = tmp_path / "steps", finished_run.parent / "interrupted"
    monkeypatch.setenv("STEPS", str(steps))
    kept = signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where a shell runs tests behind `&`
    process = start_tokcom("run", tmp_path / "slow.yaml", "--out", run_dir, "--workers", "2")
    signal.signal(signal.SIGINT, kept)
    while not begun(steps) > 1:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    interrupted = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate()
    assert time.monotonic() - interrupted < STEP_SECONDS + 10  # 3 s on an idle machine
    assert process.returncode == 130, stderr
    assert stderr.splitlines() == [
        "'finetune deaf seed 0' saves its step; interrupt again to end at once",
        "interrupted: the same command continues where this one stopped",
    ]
    (checkpoint,) = run_dir.glob("checkpoints/deaf/.*.unfinished/checkpoint-*")
    assert checkpoint.name == f"checkpoint-{begun(steps)}"


def begun(steps: Path) -> int:
    """Training steps that have begun."""
    return steps.read_text().count("step") if steps.exists() else 0
