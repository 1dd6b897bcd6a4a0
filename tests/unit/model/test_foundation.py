import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional

from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.foundation_config import find_foundation
from tokcom_phy.utils.errors import UserError

QUESTIONS = ["Which instrument sounds first?", "How many?"]
ANSWERS = ["the cello", "two"]


def read(foundation, questions, answers):
    question = foundation.tokenize_questions(questions)
    return foundation.embed(question.ids), question.mask, foundation.tokenize_answers(answers)


def test_answer_loss_is_the_cross_entropy_of_every_answer_token_and_the_end(foundation):
    """Against the library's own loss on the plain, unpadded text."""
    prefix, mask, answer = read(foundation, QUESTIONS[:1], ANSWERS[:1])
    question_ids = foundation.tokenize_questions(QUESTIONS[:1]).ids
    whole = torch.cat([question_ids, answer.ids], dim=1)
    labels = whole.clone()
    labels[:, : question_ids.shape[1]] = -100
    expected = foundation.model(input_ids=whole, labels=labels).loss
    torch.testing.assert_close(foundation.answer_loss(prefix, mask, answer), expected)
    assert answer.ids[0, -1] == foundation.tokenizer.eos_token_id


def test_padding_does_not_change_the_loss(foundation):
    together = foundation.answer_loss(*read(foundation, QUESTIONS, ANSWERS))
    lengths = [foundation.tokenize_answers([a]).length for a in ANSWERS]
    alone = [foundation.answer_loss(*read(foundation, [q], [a])) for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    expected = sum(n * loss for n, loss in zip(lengths, alone, strict=True)) / sum(lengths)
    torch.testing.assert_close(together, expected)


def test_padding_between_tokens_and_question_does_not_change_the_answer(foundation):
    tokens = torch.randn(2, 5, foundation.width, generator=torch.Generator().manual_seed(0))
    question = foundation.tokenize_questions(QUESTIONS)
    prefix = torch.cat([tokens, foundation.embed(question.ids)], dim=1)
    prefix_mask = torch.cat([torch.ones(2, 5, dtype=torch.bool), question.mask], dim=1)
    together = foundation.generate(prefix, prefix_mask, 6)
    for i in range(2):
        keep = prefix_mask[i]
        alone = foundation.generate(prefix[i : i + 1, keep], prefix_mask[i : i + 1, keep], 6)
        assert foundation.decode(together[i : i + 1]) == foundation.decode(alone)


def test_generation_is_the_greedy_choice_step_by_step(foundation):
    question = foundation.tokenize_questions(QUESTIONS[:1])
    generated = foundation.generate(foundation.embed(question.ids), question.mask, 5)[0].tolist()
    sequence = question.ids
    expected = []
    while len(expected) < 5 and (not expected or expected[-1] != foundation.tokenizer.eos_token_id):
        expected.append(int(foundation.model(input_ids=sequence).logits[0, -1].argmax()))
        sequence = torch.cat([sequence, torch.tensor([[expected[-1]]])], dim=1)
    assert generated[: len(expected)] == expected


def test_the_head_reads_positions_of_the_answer_alone_in_one_piece(foundation):
    prefix, mask, answer = read(foundation, QUESTIONS, ANSWERS)
    seen = []
    foundation.model.lm_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    foundation.answer_loss(prefix, mask, answer)
    foundation.generate(prefix, mask, 2)
    assert seen[0].shape == (2, answer.length, foundation.width)
    assert seen[1].shape == (2, 1, foundation.width)
    assert all(hidden.is_contiguous() for hidden in seen)


def test_lora_starts_as_the_frozen_model_and_alone_is_trained(foundation):
    inputs = read(foundation, QUESTIONS, ANSWERS)
    before = foundation.answer_loss(*inputs)
    foundation.add_lora()
    foundation.eval()
    after = foundation.answer_loss(*inputs)
    torch.testing.assert_close(after, before)
    after.backward()
    trained = {name for name, p in foundation.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in trained)
    rank = {p.shape[0] for name, p in foundation.named_parameters() if "lora_A" in name}
    assert rank == {4}


def test_lora_is_what_the_settings_say(foundation):
    foundation.add_lora(r=2, alpha=6, dropout=0.0, targets=["o_proj"])
    adapted = {n: p for n, p in foundation.named_parameters() if p.requires_grad}
    assert all(".o_proj." in name for name in adapted)
    assert {p.shape[0] for name, p in adapted.items() if "lora_A" in name} == {2}
    layer = next(m for m in foundation.modules() if hasattr(m, "lora_A"))
    assert layer.scaling["default"] == pytest.approx(6 / 2)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_porj"], r"lora\.targets: .* has no module 'q_porj': did you mean 'q_proj'"),
        (["input_layernorm"], "lora: .* cannot be adapted"),
    ],
)
def test_lora_on_a_module_that_cannot_be_adapted_is_one_line(foundation, targets, message):
    with pytest.raises(UserError, match=message) as caught:
        foundation.add_lora(targets=targets)
    assert len(str(caught.value).splitlines()) == 1


def test_text_loss_reaches_the_tokens(foundation):
    prefix, mask, answer = read(foundation, QUESTIONS, ANSWERS)
    prefix = prefix.detach().requires_grad_()
    loss = foundation.answer_loss(prefix, mask, answer)
    loss.backward()
    assert (prefix.grad[mask].abs().sum(-1) > 0).all()
    assert (prefix.grad[~mask] == 0).all()
    assert torch.isfinite(functional.softplus(loss))


def test_a_missing_model_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"config\.json") as caught:
        Foundation.load(tmp_path / "nothing")
    assert "\n" not in str(caught.value)


def test_an_odd_width_is_refused_before_weights_are_loaded(foundation_folder, tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(foundation_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 33}))
    with pytest.raises(UserError, match="odd width 33"):
        find_foundation(folder)


def test_a_damaged_model_is_one_clear_line(foundation_folder, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(foundation_folder, folder)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="cannot load the foundation model") as caught:
        Foundation.load(folder)
    assert "\n" not in str(caught.value)


def test_threads_may_load_at_once():
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(Foundation.load, ["tiny/foundation"] * 8))
    assert {p.device.type for foundation in loaded for p in foundation.parameters()} == {"cpu"}
