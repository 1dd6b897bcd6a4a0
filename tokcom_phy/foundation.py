"""The foundation model: a causal language model that reads tokens and answers, adapted by LoRA (1), (13)–(16)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tokcom_phy.errors import UserError
from tokcom_phy.pretrained import locate
from tokcom_phy.prompt import completion, prompt

LORA = {"r": 4, "lora_alpha": 16, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
"""The paper's LoRA."""


def find_foundation(name: str | Path) -> Path:
    """The folder of a foundation model whose width the radio can carry; loads no weights.

    Raises
    ------
    UserError
        If there is no such model, its config is damaged, or its width is odd.
    """
    folder = locate(name, ["config.json", "tokenizer_config.json"])
    try:
        width = AutoConfig.from_pretrained(folder).hidden_size
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"'{name}' in {folder} is no foundation model: {reason}") from error
    if width % 2:
        raise UserError(
            f"foundation model '{name}' has odd width {width}: two values make one symbol, use a model of even width"
        )
    return folder


class Foundation(nn.Module):
    """A frozen causal language model with its tokenizer; `add_lora` makes it trainable.

    Parameters
    ----------
    model : transformers causal language model that takes ``inputs_embeds``
    tokenizer : its tokenizer, with an end token
    name : str
        Hub name or folder, kept so that a saved system can name what it stands on.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str):
        super().__init__()
        self.model: PreTrainedModel | PeftModel = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.name = name
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token

    @classmethod
    def load(cls, name: str | Path, dtype: torch.dtype = torch.float32) -> "Foundation":
        """Load a model and its tokenizer: a shipped one (``tiny/foundation``), from a folder, or by hub name.

        Raises
        ------
        UserError
            If there is no such model, it is no causal language model, or its width is odd.
        """
        folder = find_foundation(name)
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"cannot load the foundation model '{name}' from {folder}: {reason}") from error
        return cls(model, tokenizer, str(name))

    @property
    def width(self) -> int:
        """d_T, the width of the input embeddings."""
        return self.model.get_input_embeddings().embedding_dim

    @property
    def dtype(self) -> torch.dtype:
        return self.model.get_input_embeddings().weight.dtype

    def add_lora(self) -> None:
        """Put trainable low-rank adapters on the query and value projections, equations (13), (15) and (16)."""
        self.model = get_peft_model(self.model, LoraConfig(task_type="CAUSAL_LM", **LORA))

    def embed(self, ids: Tensor) -> Tensor:
        """The text encoder E_T, equation (1): the model's own input embeddings, int64 [b, s] → [b, s, d_T]."""
        return self.model.get_input_embeddings()(ids)

    def tokenize_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Texts to ids and mask, int64 and bool [b, s], padded on the right."""
        return self._tokenize(texts, padding_side="right")

    def tokenize_questions(self, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Questions to ids and mask, int64 and bool [b, s], padded on the left: the answer follows the last word."""
        return self._tokenize([prompt(question) for question in questions], padding_side="left")

    def tokenize_answers(self, answers: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Answers with their end token to ids and mask, int64 and bool [b, s], padded on the right."""
        end = self.tokenizer.eos_token
        return self._tokenize([completion(answer, end) for answer in answers], padding_side="right")

    def _tokenize(self, texts: Sequence[str], padding_side: str) -> tuple[Tensor, Tensor]:
        batch = self.tokenizer(
            list(texts), padding=True, padding_side=padding_side, add_special_tokens=False, return_tensors="pt"
        )
        return batch["input_ids"], batch["attention_mask"].bool()

    def answer_loss(self, prefix: Tensor, prefix_mask: Tensor, answer_ids: Tensor, answer_mask: Tensor) -> Tensor:
        """Task loss, equation (14): cross-entropy on all answer tokens and the end token, over the whole vocabulary.

        Logits are computed at the answer's positions only.

        Parameters
        ----------
        prefix : float [b, p, d_T]
            What the model reads before it answers; its last position is valid.
        prefix_mask : bool [b, p]
        answer_ids : int64 [b, a]
            End token included, padded on the right.
        answer_mask : bool [b, a]

        Returns
        -------
        float32 scalar
        """
        length = answer_ids.shape[1]
        inputs = torch.cat([prefix.to(self.dtype), self.embed(answer_ids)], dim=1)
        mask = torch.cat([prefix_mask, answer_mask], dim=1)
        logits = self.model(
            inputs_embeds=inputs[:, :-1],
            attention_mask=mask[:, :-1].long(),
            position_ids=_positions(mask[:, :-1]),
            use_cache=False,
            logits_to_keep=length,
        ).logits
        return functional.cross_entropy(logits.float()[answer_mask], answer_ids[answer_mask])

    @torch.no_grad()
    def generate(self, prefix: Tensor, prefix_mask: Tensor, max_new_tokens: int) -> Tensor:
        """Answer greedily.

        Parameters
        ----------
        prefix : float [b, p, d_T]
        prefix_mask : bool [b, p]

        Returns
        -------
        int64 [b, ≤ max_new_tokens], padded after the end token
        """
        return self.model.generate(
            inputs_embeds=prefix.to(self.dtype),
            attention_mask=prefix_mask.long(),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            repetition_penalty=1.0,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )

    def decode(self, ids: Tensor) -> list[str]:
        """Token ids to texts without special tokens."""
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)


def _positions(mask: Tensor) -> Tensor:
    """Position of each token among the valid ones, so that padding takes no place."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)
