"""The tiny language model and its tokenizer: what a few steps of pretraining already show."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tokcom_phy.model.prompt import END_TOKEN, completion, prompt
from tokcom_phy.pretraining import audio, contexts, language_model, video
from tokcom_phy.pretraining.contexts import Corpus, stage_at
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
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Player, Scene, sample_scene
from tokcom_phy.utils.errors import UserError


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
    context = corpus.context(scene, "timeline", 8, 64)
    assert len(context) == 72
    assert all(sum(weight for _, weight in bag) == pytest.approx(1.0) for bag in context)


def test_timeline_tells_of_the_moment_that_the_encoder_token_stands_for(tokenizer, corpus):
    """Of slot i, around (i + 1) · 0.16 s, and of frame i, at i · 0.512 s."""
    scene = Scene((Player("cello", "middle", (5.0, CLIP_SECONDS), ((6.0, 6.5),), True),), "indoor", voice=None, seed=0)
    cello = tokenizer(" cello")["input_ids"][0]
    context = corpus.context(scene, "timeline", 65, 121)
    having = [place for place, bag in enumerate(context) if cello in [token for token, _ in bag]]
    slots = [place - 2 for place in having if place < 65]
    cells = [divmod(place - 65 - 1, 3) for place in having if place >= 65]
    assert slots == [i for i in range(63) if 6.0 <= (i + 1) * 0.16 < 6.5]
    assert cells == [(2 * i + row, 1) for i in range(20) if i * 0.512 >= 5.0 for row in range(2)]


def test_timelines_order_tokens_as_the_tiny_encoders_do():
    assert (contexts.AST_TIMES, contexts.AST_SLOT_SECONDS) == (audio.SLOTS, audio.SLOT_SECONDS)
    tubelets = (contexts.VIVIT_TIMES, contexts.VIVIT_ROWS, contexts.VIVIT_COLUMNS)
    assert tubelets == (video.SAMPLED_FRAMES, video.ROWS, video.COLUMNS)
    assert contexts.TIME_STEPS == audio.SIXTEENTHS == video.SIXTEENTHS


def test_a_question_sees_its_context_and_itself_only(tokenizer, corpus):
    """A row of many questions gives each the loss that it has alone."""
    torch.manual_seed(0)
    model = new_model(tokenizer).eval()
    rng = np.random.default_rng(1)
    sample = corpus.sample(rng, stage_at(0.6))
    together = collate([sample, corpus.sample(rng, stage_at(0.6))])
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
    batch = collate([corpus.sample(rng, stage_at(0.6)) for _ in range(12)])
    clean = embed(model, batch)
    blurred = blur(clean, batch.soft, torch.Generator().manual_seed(0))
    assert batch.soft.any()
    assert torch.equal(blurred[~batch.soft], clean[~batch.soft])
    assert not torch.isclose(blurred[batch.soft], clean[batch.soft]).all(-1).any()


@pytest.mark.long
def test_loss_falls(tokenizer, corpus):
    torch.manual_seed(0)
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    history = []
    for _ in range(30):
        batch = collate([corpus.sample(rng, stage_at(0.6)) for _ in range(4)])
        loss, _, _ = losses(model, batch, embed(model, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-5:]) < 0.6 * np.mean(history[:3])


@pytest.mark.long
def test_pretraining_is_deterministic_and_loads_back(tmp_path):
    metrics = [pretrain_foundation(tmp_path / name, steps=2, seed=5, count=24) for name in "ab"]
    assert metrics[0] == metrics[1]
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert first == second
    assert {p.name for p in (tmp_path / "a").iterdir()} >= {"config.json", "tokenizer.json", "README.md"}
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "a", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    again = evaluate(model, tokenizer, seed=5, count=24, contexts=("text",))
    assert again["text"].keys() == metrics[0]["text"].keys()
    assert model.config.eos_token_id == tokenizer.eos_token_id


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(tmp_path, tokenizer):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^cannot write .*file: .*; choose a folder you may write to$"):
        language_model.save(tmp_path / "file", new_model(tokenizer), tokenizer, "card")


@pytest.mark.long
def test_a_killed_pretraining_ends_at_the_same_weights(tmp_path, monkeypatch):
    settings = {"steps": 3, "seed": 5, "count": 24, "save_every": 1}
    pretrain_foundation(tmp_path / "whole", **settings)
    step = language_model._step

    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(language_model, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain_foundation(tmp_path / "killed", **settings)
    monkeypatch.setattr(language_model, "_step", step)
    pretrain_foundation(tmp_path / "killed", **settings)
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert names == {path.name for path in (tmp_path / "killed").iterdir()}
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
