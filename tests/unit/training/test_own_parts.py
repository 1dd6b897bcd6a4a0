"""The examples' receiver and selector, trained through both stages for a few steps and loaded again."""

import sys

import pytest
import torch
import training_case

from tokcom_phy.model.components import Components
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.system_config import SystemConfig
from tokcom_phy.radio import load_link
from tokcom_phy.training.align import align
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.evaluate import Evaluator
from tokcom_phy.training.finetune import finetune
from tokcom_phy.training.settings import AlignmentSettings, FinetuningSettings
from tokcom_phy.training.trainer import LinkSampler
from tokcom_phy.utils.files import builtin_folder
from tokcom_phy.utils.instantiate import folder_on_path

EXAMPLES = builtin_folder("links").parent / "examples"

PARTS = {
    "transformer_receiver": {"receiver": {"_target_": "transformer_receiver.TransformerReceiver", "depth": 1}},
    "token_selector": {"selector": {"_target_": "token_selector.ScoreSelector"}},
}


@pytest.fixture
def examples(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("tokcom_phy.utils.instantiate._FOLDERS", [])
    folder_on_path(EXAMPLES)


@pytest.mark.parametrize("name", list(PARTS))
def test_an_example_trains_and_comes_back(examples, name, foundation_folder, tmp_path):
    foundation = Foundation.load(foundation_folder)
    lengths = {"audio": 2, "video": 3}
    torch.manual_seed(0)
    config = SystemConfig(training_case.WIDTHS, foundation.width, 16, "on-air", Components(**PARTS[name]), lengths)
    system = TokenCommSystem(config, foundation)
    before = {key: tensor.clone() for key, tensor in system.transceivers().items()}
    batcher = Batcher.of(system, training_case.batcher(foundation, tmp_path / "features").store, lengths)
    assert batcher.lengths == (dict.fromkeys(lengths, 4) if name == "token_selector" else lengths)
    sampler = LinkSampler(load_link("rayleigh"), (-5.0, 15.0), 0)
    stage1 = AlignmentSettings(steps=5, learn_text=True, **training_case.BATCH)
    align(system, training_case.captions(), batcher, sampler, stage1, "contrastive", 0)
    moved = {key for key, tensor in system.transceivers().items() if not torch.equal(tensor, before[key])}
    assert moved == set(before)
    foundation.add_lora()
    losses = finetune(
        system, training_case.questions(), batcher, sampler, FinetuningSettings(steps=8, **training_case.BATCH), 0
    )
    assert losses[-1] < losses[0]

    system.save_pretrained(tmp_path / "saved")
    again = TokenCommSystem.from_pretrained(tmp_path / "saved", foundation=Foundation.load(foundation_folder))
    answers = [
        Evaluator(s, training_case.questions(), batcher).evaluate(load_link("awgn"), 10.0, 0).answers
        for s in (system, again)
    ]
    assert answers[0] == answers[1]
