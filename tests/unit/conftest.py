"""Small real models that several unit tests stand on."""

from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tokcom_phy.foundation import Foundation
from tokcom_phy.pretraining.tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def foundation_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Qwen2 with random weights and its tokenizer, saved as Hugging Face models are."""
    folder = tmp_path_factory.mktemp("foundation")
    tokenizer = train_tokenizer(["Which instrument sounds first? The cello.", "How many flutes are there?"], 400)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def foundation(foundation_folder: Path) -> Foundation:
    return Foundation.load(foundation_folder)
