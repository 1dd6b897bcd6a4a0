"""Foundation models of several kinds, from folders and GGUF files, through the whole system."""

import json
import shutil
from pathlib import Path

import gguf
import pytest
import torch
from foundation_files import TEXTS, write_foundation, write_gguf
from peft import PeftModel
from transformers import AutoModelForCausalLM, BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel

from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.foundation_config import find_foundation, foundation_width
from tokcom_phy.model.system import LinkUse, SystemConfig, TokenCommSystem
from tokcom_phy.pretraining.tokenizer import train_tokenizer
from tokcom_phy.radio import load_link
from tokcom_phy.utils.errors import UserError

F32, Q8_0 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    qwen2 = write_foundation(folder / "qwen2", "qwen2")
    llama = write_foundation(folder / "llama", "llama", tied=False)
    gpt2 = folder / "gpt2"
    tokenizer = train_tokenizer(TEXTS, 400)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2
    )
    GPT2LMHeadModel(config).save_pretrained(gpt2)
    tokenizer.save_pretrained(gpt2)
    return {
        "qwen2": qwen2,
        "llama": llama,
        "no padding token": write_foundation(folder / "unpadded", "llama", padding=False),
        "gpt2": gpt2,
        "qwen2 gguf": write_gguf(qwen2, folder / "qwen2.gguf", Q8_0),
        "llama gguf": write_gguf(llama, folder / "llama.gguf", F32),
    }


def logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("kind", ["qwen2", "llama", "no padding token", "gpt2", "qwen2 gguf", "llama gguf"])
def test_a_system_learns_answers_and_comes_back(models: dict[str, Path], kind: str, tmp_path: Path) -> None:
    foundation = Foundation.load(models[kind])
    torch.manual_seed(0)
    system = TokenCommSystem(SystemConfig({"audio": 6}, foundation.width, 16, "on-air"), foundation)
    foundation.add_lora()
    question = foundation.tokenize_questions(TEXTS)
    answer = foundation.tokenize_answers(["the cello", "two"])
    features = {"audio": torch.randn(2, 3, 6)}
    radio = LinkUse(load_link("awgn"), 20.0, 0, (0, 1))
    optimizer = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(12):
        loss = system(features, question, answer, radio)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]

    system.eval()
    system.save_pretrained(tmp_path / "saved")
    again = TokenCommSystem.from_pretrained(str(tmp_path / "saved")).eval()
    said, _ = system.generate(features, question, radio, 4)
    assert torch.equal(said, again.generate(features, question, radio, 4)[0])
    with torch.no_grad():
        torch.testing.assert_close(
            again(features, question, answer, radio), system(features, question, answer, radio), rtol=0, atol=0
        )


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gpt2"])
def test_vanilla_peft_puts_the_adapter_on_the_bare_model(models: dict[str, Path], kind: str, tmp_path: Path) -> None:
    foundation = Foundation.load(models[kind])
    system = TokenCommSystem(SystemConfig({"audio": 6}, foundation.width, 16), foundation)
    foundation.add_lora()
    with torch.no_grad():
        for name, parameter in foundation.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(2))
    system.eval().save_pretrained(tmp_path / "saved")
    bare = AutoModelForCausalLM.from_pretrained(models[kind])
    ids = foundation.tokenize_text(TEXTS[:1]).ids
    before = logits(bare, ids)
    plain = PeftModel.from_pretrained(bare, tmp_path / "saved" / "adapter").eval()
    torch.testing.assert_close(logits(plain, ids), logits(foundation.model, ids), rtol=0, atol=0)
    assert not torch.allclose(logits(plain, ids), before, atol=1e-2)
    adapter = json.loads((tmp_path / "saved" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(models[kind])


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_a_gguf_file_is_the_model_that_it_was_made_from(models: dict[str, Path], kind: str, tmp_path: Path) -> None:
    whole = write_gguf(models[kind], tmp_path / "whole.gguf", F32)
    original, found = Foundation.load(models[kind]), Foundation.load(whole)
    text, expected = found.tokenize_questions(TEXTS), original.tokenize_questions(TEXTS)
    ids = text.ids
    assert torch.equal(ids, expected.ids)
    assert torch.equal(text.mask, expected.mask)
    assert found.tokenizer.eos_token_id == original.tokenizer.eos_token_id
    torch.testing.assert_close(logits(found.model, ids), logits(original.model, ids))
    assert foundation_width(whole) == found.width == 32
    quantised = Foundation.load(write_gguf(models[kind], tmp_path / "small.gguf", Q8_0), torch.bfloat16)
    assert quantised.dtype == torch.bfloat16
    error = quantised.model.get_input_embeddings().weight.float() - original.model.get_input_embeddings().weight
    scale = original.model.get_input_embeddings().weight.abs().max()
    assert 0 < error.abs().max() < scale / 64


def test_faults_of_a_gguf_file_are_one_line(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file /nowhere/a\.gguf: give a GGUF file"):
        find_foundation("/nowhere/a.gguf")
    with pytest.raises(UserError, match=r"no file a\.gguf: give a GGUF file, or OWNER/REPOSITORY/FILE\.gguf"):
        find_foundation("a.gguf")
    text = tmp_path / "text.gguf"
    text.write_text("<html>Not found</html>")
    with pytest.raises(UserError, match="is no GGUF file: get it again"):
        find_foundation(text)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(models["qwen2 gguf"].read_bytes()[:2_000])
    with pytest.raises(UserError, match="is no foundation model") as raised:
        find_foundation(broken)
    assert "\n" not in str(raised.value)
    half = tmp_path / "half.gguf"
    half.write_bytes(models["qwen2 gguf"].read_bytes()[:-20_000])
    with pytest.raises(UserError, match=r"half\.gguf is no foundation model: ") as raised:
        Foundation.load(half)
    assert "\n" not in str(raised.value)


def test_models_that_cannot_serve_are_named(models: dict[str, Path], tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 400)
    BloomForCausalLM(BloomConfig(vocab_size=400, hidden_size=32, n_layer=1, n_head=4)).save_pretrained(tmp_path / "a")
    tokenizer.save_pretrained(tmp_path / "a")
    with pytest.raises(UserError, match="of type 'bloom' takes no position_ids: use one that does, such as Qwen2"):
        Foundation.load(tmp_path / "a")

    shutil.copytree(models["qwen2"], tmp_path / "b")
    train_tokenizer(TEXTS * 3 + [f"word{i} text{i}" for i in range(300)], 900).save_pretrained(tmp_path / "b")
    with pytest.raises(UserError, match=r"tokens, its model embeds .*: they are not a pair"):
        Foundation.load(tmp_path / "b")

    shutil.copytree(models["qwen2"], tmp_path / "c")
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "c")
    with pytest.raises(UserError, match="has no end token: name one as eos_token"):
        Foundation.load(tmp_path / "c")


def test_a_model_without_known_projections_is_refused(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokcom_phy.model.foundation.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING", {})
    with pytest.raises(UserError, match="of type 'gpt2' has no q_proj and v_proj to adapt"):
        Foundation.load(models["gpt2"]).add_lora()
