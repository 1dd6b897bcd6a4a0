"""How a foundation model reads and answers, whatever else is in the batch, and whatever its checkpoint asks for."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from foundation_files import SIZES, TEXTS, write_foundation
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.utils import logging

from tokcom_phy.model.foundation import Foundation, check_foundation
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.system_config import SystemConfig
from tokcom_phy.model.text import TextBatch
from tokcom_phy.pretraining.tokenizer import train_tokenizer
from tokcom_phy.utils.errors import UserError

QUESTIONS = ["Which instrument sounds first in the whole of this long video?", "How many?"]
ANSWERS = ["the cello", "two flutes"]
WINDOWED: dict[str, tuple[type[PreTrainedModel], type[PretrainedConfig], dict[str, Any]]] = {
    "gemma3": (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8},
    ),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": 8}),
}


def save(folder: Path, model: type[PreTrainedModel], config: type[PretrainedConfig], **settings: Any) -> Path:
    tokenizer = train_tokenizer(TEXTS, 400)
    torch.manual_seed(0)
    ids: dict[str, Any] = {"pad_token_id": 1, "bos_token_id": None, "eos_token_id": 0}
    model(config(vocab_size=len(tokenizer), **ids, **settings)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def read(foundation: Foundation, examples: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor, TextBatch]:
    """Twelve tokens of media, then the question: tokens and mask, and the answer."""
    question = foundation.tokenize_questions(QUESTIONS[examples])
    media = torch.randn(2, 12, foundation.width, generator=torch.Generator().manual_seed(1))[examples]
    prefix = torch.cat([media, foundation.embed(question.ids)], dim=1)
    mask = torch.cat([torch.ones(media.shape[:2], dtype=torch.bool), question.mask], dim=1)
    return prefix, mask, foundation.tokenize_answers(ANSWERS[examples])


@pytest.mark.parametrize("kind", WINDOWED)
def test_what_a_windowed_model_says_does_not_depend_on_its_batch(kind: str, tmp_path: Path) -> None:
    model, config, settings = WINDOWED[kind]
    foundation = Foundation.load(save(tmp_path / "model", model, config, **SIZES, **settings))
    prefix, mask, answer = read(foundation)
    alone = [read(foundation, slice(i, i + 1)) for i in range(2)]
    assert not mask[1].all()
    said = foundation.generate(prefix, mask, 6)
    for i in range(2):
        assert foundation.decode(foundation.generate(*alone[i][:2], 6)) == foundation.decode(said[i : i + 1])
    tokens = [part.mask.sum() for *_, part in alone]
    expected = sum(n * foundation.answer_loss(*part) for n, part in zip(tokens, alone, strict=True)) / sum(tokens)
    torch.testing.assert_close(foundation.answer_loss(prefix, mask, answer), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 4},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": [5, 40, 300]},
        {"bad_words_ids": [[5], [40], [300]]},
        {"sequence_bias": [[[7], 50.0]]},
        {"forced_eos_token_id": 0},
        {"forced_bos_token_id": 9},
        {"guidance_scale": 3.0},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"num_return_sequences": 2, "do_sample": True},
        {"return_dict_in_generate": True},
        {"repetition_penalty": 3.0, "temperature": 0.1, "do_sample": True},
        {"min_new_tokens": 6, "exponential_decay_length_penalty": [1, 2.0]},
        {"stop_strings": ["a", "e"]},
        {"max_time": 1e-9},
        {"output_scores": True, "output_logits": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_checkpoints_generation_settings_change_no_answer(settings: dict[str, Any], tmp_path: Path) -> None:
    plain = write_foundation(tmp_path / "plain")
    prefix, mask, _ = read(Foundation.load(plain))
    expected = Foundation.load(plain).generate(prefix, mask, 6)
    (plain / "generation_config.json").write_text(json.dumps(settings))
    foundation = Foundation.load(plain)
    assert torch.equal(foundation.generate(prefix, mask, 6), expected)
    foundation.add_lora()
    assert torch.equal(foundation.eval().generate(prefix, mask, 6), expected)


def prepending_tokenizer(*, bos: bool) -> PreTrainedTokenizerFast:
    """One that writes ▁ for a blank and puts one before every text, as Llama 2's; with or without a BOS token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["</s>", "<pad>", "<s>", "<unk>"]
    tokenizer.train_from_iterator(
        [*QUESTIONS, *ANSWERS], trainers.BpeTrainer(special_tokens=special, show_progress=False)
    )
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", bos_token="<s>", unk_token="<unk>"
    )


def with_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerFast) -> Foundation:
    tokenizer.save_pretrained(write_foundation(folder, "llama"))
    return Foundation.load(folder)


def test_the_first_token_scored_is_the_first_of_content(tmp_path: Path) -> None:
    """Of a tokenizer that makes a leading blank a token of its own."""
    foundation = with_tokenizer(tmp_path / "model", prepending_tokenizer(bos=False))
    blank = foundation.tokenizer.convert_tokens_to_ids("▁")
    answers = foundation.tokenize_answers(["the cello", "two", "How"])
    ids = torch.nn.functional.pad(answers.ids, (1, 0), value=blank)
    first = foundation.first_tokens(ids)
    assert len(set(first)) == 3
    assert [text[0] for text in foundation.decode(torch.tensor(first)[:, None])] == ["t", "t", "H"]
    said_nothing = torch.tensor([[foundation.tokenizer.eos_token_id, foundation.tokenizer.pad_token_id]])
    assert foundation.first_tokens(said_nothing) == [foundation.tokenizer.eos_token_id]


def test_answers_begin_with_one_blank_whoever_puts_it_there(tmp_path: Path) -> None:
    prepending = with_tokenizer(tmp_path / "a", prepending_tokenizer(bos=False))
    byte_level = Foundation.load(write_foundation(tmp_path / "b"))
    for foundation, blank in ((prepending, "▁"), (byte_level, "Ġ")):
        answers = foundation.tokenize_answers(["two flutes"])
        tokens = foundation.tokenizer.convert_ids_to_tokens(answers.ids[0])
        assert "".join(tokens) == f"{blank}two{blank}flutes{foundation.tokenizer.eos_token}"


def test_weights_that_a_checkpoint_lacks_are_named_and_not_made_up(tmp_path: Path) -> None:
    for tied in (True, False):
        folder = write_foundation(tmp_path / f"tied-{tied}", tied=tied)
        weights = load_file(folder / "model.safetensors")
        assert ("lm_head.weight" in weights) != tied
        Foundation.load(folder)
        lacking = "model.layers.1.self_attn.v_proj.weight" if tied else "lm_head.weight"
        save_file({k: v for k, v in weights.items() if k != lacking}, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(UserError, match=rf"lacks weights \['{lacking}'\] in {folder}: get its files again"):
            Foundation.load(folder)


@pytest.mark.parametrize("bos", [True, False])
def test_a_bos_token_is_read_first_where_the_tokenizer_puts_one(bos: bool, tmp_path: Path) -> None:
    foundation = with_tokenizer(tmp_path / "model", prepending_tokenizer(bos=bos))
    prefix, mask, answer = read(foundation, slice(1, 2))
    begin = foundation.embed(torch.tensor([[2]])) if bos else prefix[:, :0]
    inputs = torch.cat([begin, prefix, foundation.embed(answer.ids)], dim=1)
    logits = foundation.model(inputs_embeds=inputs).logits[0, -answer.length - 1 : -1]
    expected = torch.nn.functional.cross_entropy(logits, answer.ids[0])
    torch.testing.assert_close(foundation.answer_loss(prefix, mask, answer), expected)
    ids = foundation.generate(prefix, mask, 1)
    assert int(ids[0, 0]) == int(foundation.model(inputs_embeds=inputs[:, : -answer.length]).logits[0, -1].argmax())


def test_the_width_is_that_of_the_embeddings(tmp_path: Path) -> None:
    """OPT-350m projects its embeddings to the hidden size."""
    sizes = {
        "hidden_size": 64,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 64,
    }
    folder = save(tmp_path / "opt", OPTForCausalLM, OPTConfig, max_position_embeddings=128, **sizes)
    assert foundation_width(folder) == Foundation.load(folder).width == 32


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_a_model_reads_no_more_than_it_learned_positions_for(kind: str, tmp_path: Path) -> None:
    if kind == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 1, "n_head": 4}
        folder = save(tmp_path / "a", GPT2LMHeadModel, GPT2Config, n_positions=48, **sizes)
    else:
        sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
        folder = save(tmp_path / "a", OPTForCausalLM, OPTConfig, max_position_embeddings=48, ffn_dim=64, **sizes)
    foundation = Foundation.load(folder)
    prefix, mask, answer = read(foundation)
    room = 48 - prefix.shape[1]
    assert foundation.generate(prefix, mask, room + 1).shape[0] == 2
    for length in (room + 2, 100):
        with pytest.raises(UserError, match=r"has 48 positions, \d+ or more are taken: lower the token lengths"):
            foundation.generate(prefix, mask, length)
    longer = torch.cat([prefix] * 2, dim=1), torch.cat([mask] * 2, dim=1)
    with pytest.raises(UserError, match="has 48 positions"):
        foundation.answer_loss(*longer, answer)
    check_foundation(folder, tokens=46)
    with pytest.raises(UserError, match="has 48 positions, 49 or more are taken"):
        check_foundation(folder, tokens=47)


def test_a_model_that_lora_cannot_adapt_is_told_by_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "a", GPTNeoXForCausalLM, GPTNeoXConfig, **{**SIZES, "num_key_value_heads": 4})
    (folder / "model.safetensors").write_bytes(b"not read")
    check_foundation(folder)
    monkeypatch.setattr("tokcom_phy.model.foundation.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING", {})
    with pytest.raises(
        UserError, match=r"'gpt_neox' has no q_proj and v_proj to adapt.*: name its modules by lora\.targets"
    ):
        check_foundation(folder)


def test_lora_adapts_the_modules_that_are_named_where_peft_knows_none(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", Phi3ForCausalLM, Phi3Config, **SIZES)
    with pytest.raises(UserError, match="of type 'phi3' has no q_proj and v_proj to adapt"):
        check_foundation(folder)
    check_foundation(folder, {"targets": ["qkv_proj"]})
    foundation = Foundation.load(folder)
    foundation.add_lora(targets=["qkv_proj"])
    assert foundation.adapted


def test_code_in_a_model_folder_is_neither_run_nor_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> str:
        raise AssertionError("asked on the terminal")

    monkeypatch.setattr("builtins.input", asked)
    folder = write_foundation(tmp_path / "model")
    mark = tmp_path / "run"
    (folder / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass A: pass\nclass B: pass\nclass C: pass\n")
    settings = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "own.A", "AutoModelForCausalLM": "own.B", "AutoTokenizer": ["own.C", None]}
    for kind in ("never-heard-of", "qwen2"):
        (folder / "config.json").write_text(json.dumps({**settings, "model_type": kind, "auto_map": names}))
        if kind == "qwen2":
            check_foundation(folder)
            Foundation.load(folder)
        else:
            with pytest.raises(UserError, match="is no foundation model: it needs code of its own") as caught:
                check_foundation(folder)
            assert "\n" not in str(caught.value)
            assert "trust_remote_code" not in str(caught.value)
    assert not mark.exists()


def test_a_system_on_a_local_model_loads_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_foundation(tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    foundation = Foundation.load("models/mine")
    foundation.add_lora()
    TokenCommSystem(SystemConfig({"audio": 6}, foundation.width, 16), foundation).save_pretrained("system")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = TokenCommSystem.from_pretrained(tmp_path / "system")
    assert again.foundation.name == str(tmp_path / "models" / "mine")
    adapter = json.loads((tmp_path / "system" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(tmp_path / "models" / "mine")
    assert adapter["target_modules"] == ["q_proj", "v_proj"]


def test_saved_files_have_the_mode_of_new_ones(tmp_path: Path) -> None:
    foundation = Foundation.load(write_foundation(tmp_path / "model"))
    foundation.add_lora()
    TokenCommSystem(SystemConfig({"audio": 6}, foundation.width, 16), foundation).save_pretrained(tmp_path / "system")
    (tmp_path / "new").touch()
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "system").rglob("*") if path.is_file()}
    assert {"transceivers.safetensors", "adapter_model.safetensors"} <= set(modes)
    assert set(modes.values()) == {(tmp_path / "new").stat().st_mode}


def test_a_gguf_file_shows_no_bar_where_bars_are_off(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import gguf
    from foundation_files import write_gguf

    file = write_gguf(write_foundation(tmp_path / "model"), tmp_path / "model.gguf", gguf.GGMLQuantizationType.Q8_0)
    shutil.rmtree(tmp_path / "model")
    logging.disable_progress_bar()
    try:
        capfd.readouterr()
        Foundation.load(file)
        assert capfd.readouterr().err == ""
    finally:
        logging.enable_progress_bar()
