"""A foundation model's config and tokenizer, read without its weights: from a folder, a GGUF file or the hub."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tokcom_phy.model.hub import LOADING, cannot_load, locate, locate_gguf
from tokcom_phy.utils.errors import UserError, reason


def find_foundation(name: str | Path) -> Path:
    """The folder, or the GGUF file, of a foundation model whose width the radio can carry; loads no weights.

    Raises
    ------
    UserError
        If there is no such model, its config is damaged, or its width is odd.
    """
    path = _locate(name)
    width = skeleton(path, name).get_input_embeddings().embedding_dim
    if width % 2:
        raise UserError(
            f"foundation model '{name}' has odd width {width}: two values make one symbol, use a model of even width"
        )
    return path


def foundation_width(name: str | Path) -> int:
    """d_T of a foundation model, without loading its weights; raises as `find_foundation` does."""
    return skeleton(find_foundation(name), name).get_input_embeddings().embedding_dim


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a foundation model, without its weights; raises as `find_foundation` does."""
    path = find_foundation(name)
    try:
        return AutoTokenizer.from_pretrained(**source(path))
    except Exception as error:  # any error of the class on damaged files
        raise cannot_load(f"the tokenizer of '{name}'", path, error) from error


def _locate(name: str | Path) -> Path:
    if Path(name).suffix == ".gguf":
        return locate_gguf(name, "foundation")
    return locate(name, ["config.json", "tokenizer_config.json"], "foundation").absolute()


def skeleton(path: Path, name: str | Path) -> PreTrainedModel:
    """A foundation model without values in its weights, made from its config."""
    try:
        config = AutoConfig.from_pretrained(**source(path))
        with LOADING, torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # any error of the class on a damaged or foreign config
        why = reason(error)
        if "trust_remote_code" in str(error):
            why = "it needs code of its own, which is not run; name a model of a kind that transformers knows"
        raise UserError(f"'{name}' in {path} is no foundation model: {why}") from error


def source(path: Path) -> dict[str, Any]:
    """Arguments of transformers' ``from_pretrained`` for a folder or a GGUF file; code in the folder is not run."""
    file = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    folder = path.parent if file else path
    return {"pretrained_model_name_or_path": folder, "trust_remote_code": False, **file}
