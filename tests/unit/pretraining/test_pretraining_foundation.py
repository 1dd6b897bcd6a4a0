"""The tiny language model and its tokenizer: what a few steps of pretraining already show."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tokcom_phy.model.prompt import END_TOKEN, completion, prompt
from tokcom_phy.pretraining.contexts import Corpus
from tokcom_phy.pretraining.language_model import (
    blur,
    embed,
    evaluate,
    losses,
    new_model,
    new_tokenizer,
    pretrain_foundation,
)
from tokcom_phy.pretraining.packing import collate
from tokcom_phy.synthetic.scene import sample_scene


@pytest.fixture(scope="module")
def tokenizer():
    return new_tokenizer(seed=0, scenes=300)


@pytest.fixture(scope="module")
def corpus(tokenizer):
    return Corpus(tokenizer, seed=0)


@pytest.mark.parametrize("text", ["Is there a cello sound?", "naïve 你好 – 🎷\n\t", " ", "zzz<|>"])
def test_tokenizer_spells_any_text(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_words_and_end_are_single_tokens(tokenizer):
    assert [tokenizer.decode(i) for i in tokenizer(completion("acoustic_guitar"))["input_ids"]] == [
        " acoustic", "_", "guitar", END_TOKEN,
    ]  # fmt: skip
    assert len(tokenizer(completion("cello"))["input_ids"]) == 2
    assert tokenizer.eos_token == END_TOKEN != tokenizer.pad_token


def test_prompt_and_completion_tokenize_apart_as_together(tokenizer):
    question, answer = prompt(" Where is the performance? "), completion("indoor")
    apart = tokenizer(question)["input_ids"] + tokenizer(answer)["input_ids"]
    assert apart == tokenizer(question + answer)["input_ids"]


def test_timeline_has_the_asked_number_of_tokens(corpus):
    scene = sample_scene(np.random.default_rng(3))
    for encoder_order in (True, False):
        context = corpus.context(scene, "timeline", audio_length=4, video_length=32, encoder_order=encoder_order)
        assert len(context) == 36
        assert all(sum(weight for _, weight in bag) == pytest.approx(1.0) for bag in context)


def test_a_question_sees_its_context_and_itself_only(tokenizer, corpus):
    """A row of many questions gives each the loss that it has alone."""
    torch.manual_seed(0)
    model = new_model(tokenizer).eval()
    rng = np.random.default_rng(1)
    sample = corpus.sample(rng)
    together = collate([sample, corpus.sample(rng)])
    alone = [collate([type(sample)(sample.context, sample.soft, [pair])]) for pair in sample.pairs]

    def answer_losses(batch):
        hidden = model.model(
            inputs_embeds=embed(model, batch), attention_mask=batch.mask, position_ids=batch.positions
        ).last_hidden_state[0]
        answers = batch.answers[0]
        return torch.nn.functional.cross_entropy(
            model.lm_head(hidden[answers]), batch.targets[0][answers], reduction="none"
        )

    with torch.no_grad():
        torch.testing.assert_close(answer_losses(together), torch.cat([answer_losses(batch) for batch in alone]))


def test_blur_leaves_words_alone(tokenizer, corpus):
    torch.manual_seed(0)
    model = new_model(tokenizer)
    rng = np.random.default_rng(2)
    batch = collate([corpus.sample(rng) for _ in range(12)])
    clean = embed(model, batch)
    blurred = blur(clean, batch.soft, torch.Generator().manual_seed(0))
    assert batch.soft.any()
    assert torch.equal(blurred[~batch.soft], clean[~batch.soft])
    assert not torch.isclose(blurred[batch.soft], clean[batch.soft]).all(-1).any()


def test_loss_falls(tokenizer, corpus):
    torch.manual_seed(0)
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    history = []
    for _ in range(30):
        batch = collate([corpus.sample(rng) for _ in range(4)])
        loss, _, _ = losses(model, batch, embed(model, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-5:]) < 0.6 * np.mean(history[:3])


def test_pretraining_is_deterministic_and_loads_back(tmp_path):
    metrics = [pretrain_foundation(tmp_path / name, steps=2, seed=5, count=24) for name in "ab"]
    assert metrics[0] == metrics[1]
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert first == second
    assert {p.name for p in (tmp_path / "a").iterdir()} >= {"config.json", "tokenizer.json", "README.md"}
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "a", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert evaluate(model, tokenizer, seed=5, count=24, contexts=("text",))["text"]["all"] <= 1.0
    assert model.config.eos_token_id == tokenizer.eos_token_id
