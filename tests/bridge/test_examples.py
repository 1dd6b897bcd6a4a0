"""The examples run, and what they train gets better."""

import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_transceiver_learns_to_live_with_the_amplifier(tmp_path):
    ignorant_db, joint_db = load("amplifier").run(100, tmp_path / "figure.png")
    assert joint_db < ignorant_db - 2.0
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_keras_receiver_learns_to_equalise(tmp_path):
    before_db, after_db = load("neural_receiver").run(60, tmp_path / "figure.png")
    assert before_db > -1.0
    assert after_db < -6.0
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["amplifier", "neural_receiver"])
def test_gradients_reach_both_sides(name):
    """One step changes the transmitter's torch weights and every variable of the TensorFlow block."""
    example = load(name)
    if name == "amplifier":
        transceiver = example.Transceiver(example.TensorFlowModule(example.Amplifier()))
    else:
        transceiver = example.Transceiver("rayleigh-raw", example.keras_receiver())
    before = {key: value.clone() for key, value in transceiver.named_parameters()}
    losses = example.train(transceiver, 1, "one step")
    assert len(losses) == 1
    assert all((value != before[key]).any() for key, value in transceiver.named_parameters())
