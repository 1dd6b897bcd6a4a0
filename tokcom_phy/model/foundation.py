"""The foundation model: a causal language model that reads tokens and answers, adapted by LoRA, (1) and (13)–(16)."""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    modeling_gguf_pytorch_utils,
)
from transformers.utils import logging

from tokcom_phy.model.foundation_config import find_foundation, load_tokenizer, skeleton, source
from tokcom_phy.model.hub import LOADING, absolute, cannot_load
from tokcom_phy.model.prompt import completion, prompt
from tokcom_phy.model.text import TextBatch
from tokcom_phy.utils.errors import UserError, nearest, one_line, quoted, reason
from tokcom_phy.utils.files import follow_umask

LORA_TARGETS = ["q_proj", "v_proj"]
"""Modules that the paper adapts; in a model that names them otherwise, PEFT's defaults are adapted."""

_BLANK = "▁"
"""How SentencePiece writes a blank; many of its tokenizers put one before every text."""

_ARGUMENTS = ("inputs_embeds", "attention_mask", "position_ids", "logits_to_keep")
"""Arguments that a foundation model must take: it reads embeddings, at positions that leave padding out."""


def check_foundation(name: str | Path, lora: Mapping[str, Any] | None = None, tokens: int = 0) -> None:
    """See from config and tokenizer, without the weights, that a model reads vectors, as many as are sent, and can be
    adapted by LoRA.

    Parameters
    ----------
    name : as for `find_foundation`
    lora : mapping, optional
        Arguments of `Foundation.add_lora`.
    tokens : int
        That come before the question, of all modalities.

    Raises
    ------
    UserError
        As `find_foundation`, `Foundation` and `Foundation.add_lora` do, and if the tokens leave no room for a question
        and an answer.
    """
    foundation = Foundation(skeleton(find_foundation(name), name), load_tokenizer(name), str(name))
    foundation.check_length(tokens + 2)
    with torch.device("meta"):
        foundation.add_lora(**(lora or {}))


class Foundation(nn.Module):
    """A frozen causal language model with its tokenizer; `add_lora` makes it trainable.

    Parameters
    ----------
    model : transformers causal language model that takes ``inputs_embeds``
    tokenizer : its tokenizer, with an end token
    name : str
        Hub name, folder or GGUF file, which a saved system names.

    Raises
    ------
    UserError
        If the tokenizer has no end token or more tokens than the model has embeddings, or the model cannot read
        vectors.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str):
        super().__init__()
        self.model: PreTrainedModel | PeftModel = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.name = name
        _check(model, tokenizer, name)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        # Answers are measured greedily, whatever a checkpoint's generation_config.json asks for.
        model.generation_config = GenerationConfig()
        self._bos_id = _bos_id(tokenizer)
        self._prepends_blank = "".join(tokenizer.tokenize("a")).startswith(_BLANK)
        self._full_attention = _full_attention(model)
        self._positions = _learned_positions(model)

    @classmethod
    def load(cls, name: str | Path, dtype: torch.dtype = torch.float32) -> "Foundation":
        """Load a model and its tokenizer: a shipped one (``tiny/foundation``), from a folder, or by hub name.

        A name that ends in ``.gguf`` is a GGUF file, here or on the hub (``OWNER/REPOSITORY/FILE.gguf``); its
        quantised weights are widened to ``dtype``.

        Raises
        ------
        UserError
            If there is no such model, it is no causal language model that can be used, or its width is odd.
        """
        path = find_foundation(name)
        # The bar of a GGUF file obeys the switch of all others.
        modeling_gguf_pytorch_utils.tqdm = logging.tqdm
        tokenizer = load_tokenizer(name)
        try:
            with LOADING:
                model, report = AutoModelForCausalLM.from_pretrained(
                    **source(path), dtype=dtype, output_loading_info=True
                )
        except Exception as error:  # whatever damaged files make its class do
            raise cannot_load(f"the foundation model '{name}'", path, error) from error
        if report["missing_keys"]:  # transformers would fill them at random
            raise UserError(
                f"the foundation model '{name}' lacks weights {quoted(sorted(report['missing_keys']))} in {path}: get "
                "its files again"
            )
        if path.is_file():
            model.name_or_path = str(path)
        elif not Path(name).exists() and not str(name).startswith("tiny/"):
            model.name_or_path = str(name)  # what an adapter says it belongs to: the hub name, not this machine's cache
        return cls(model, tokenizer, absolute(name))

    @property
    def width(self) -> int:
        """d_T, the width of the input embeddings."""
        return self.model.get_input_embeddings().embedding_dim

    @property
    def dtype(self) -> torch.dtype:
        return self.model.get_input_embeddings().weight.dtype

    @property
    def adapted(self) -> bool:
        """Whether the model carries a LoRA adapter."""
        return isinstance(self.model, PeftModel)

    def check_length(self, tokens: int) -> None:
        """Check that the model has positions for so many tokens.

        Raises
        ------
        UserError
            If it learned an embedding of each position, and they are fewer.
        """
        if self._positions is not None and tokens > self._positions:
            raise UserError(
                f"foundation model '{self.name}' has {self._positions} positions, {tokens} or more are taken: lower "
                "the token lengths, or use another model"
            )

    def add_lora(
        self, r: int = 4, alpha: float = 16, dropout: float = 0.1, targets: Sequence[str] | None = None
    ) -> None:
        """Add trainable low-rank adapters, equations (13), (15) and (16).

        Parameters
        ----------
        r, alpha, dropout
            Rank, scale (the product of the matrices is multiplied by alpha / r) and dropout; the paper's by default.
        targets : sequence of str, optional
            Names of the modules to adapt, as for PEFT's ``target_modules``. By default the query and value projections,
            as in the paper, or what PEFT adapts in a model that names them otherwise.

        Raises
        ------
        UserError
            If the model has no module of a name, or PEFT cannot adapt it.
        """
        names = {name for name, _ in self.model.named_modules()}
        for target in targets or ():
            if not any(name == target or name.endswith(f".{target}") for name in names):
                own = {name.rpartition(".")[2] for name in names if name}
                raise UserError(f"lora.targets: '{self.name}' has no module '{target}': {nearest(target, own)}")
        config = LoraConfig(
            task_type="CAUSAL_LM",
            target_modules=list(targets) if targets else _lora_targets(self.model, self.name),
            r=r,
            lora_alpha=alpha,
            lora_dropout=dropout,
        )
        try:
            self.model = get_peft_model(self.model, config)
        except ValueError as error:  # a module of a kind that PEFT has no adapter for
            raise UserError(f"lora: '{self.name}' cannot be adapted ({one_line(error)})") from error

    def save_lora(self, folder: Path) -> None:
        """Save the adapter in PEFT's own format: the same bytes for the same adapter, readable as the umask says."""
        assert isinstance(self.model, PeftModel)
        for config in self.model.peft_config.values():
            config.target_modules = sorted(config.target_modules or ())
        self.model.save_pretrained(folder, save_embedding_layers=False)
        follow_umask(folder)

    def load_lora(self, folder: Path) -> None:
        """Put on a saved adapter; it stays trainable.

        Raises
        ------
        UserError
            If it is damaged, or does not fit the model.
        """
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                self.model = PeftModel.from_pretrained(self.model, folder, is_trainable=True)
        except Exception as error:  # whatever damaged files make PEFT do
            raise UserError(f"cannot load the adapter in {folder} ({reason(error)}): get its files again") from error
        missing = [str(warning.message) for warning in told if "missing adapter keys" in str(warning.message)]
        if missing:
            raise UserError(f"the adapter in {folder} is not of this model ({missing[0][:200]}): get its files again")

    def remove_lora(self) -> None:
        """Remove the adapters, if there are any: the model is as it was loaded."""
        if isinstance(self.model, PeftModel):
            self.model = self.model.unload()

    @contextmanager
    def checkpointing(self, wanted: bool) -> Iterator[None]:
        """Compute every layer again in the backward pass instead of keeping what it computed, while training."""
        if wanted:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        try:
            yield
        finally:
            if wanted:
                self.model.gradient_checkpointing_disable()

    def embed(self, ids: Tensor) -> Tensor:
        """The text encoder E_T, equation (1): the model's own input embeddings, int64 [b, s] → [b, s, d_T]."""
        return self.model.get_input_embeddings()(ids)

    def tokenize_text(self, texts: Sequence[str]) -> TextBatch:
        """Texts to tokens, padded on the right."""
        return self._tokenize(texts, padding_side="right")

    def tokenize_questions(self, questions: Sequence[str]) -> TextBatch:
        """Questions to tokens, padded on the left: the answer follows the last word."""
        return self._tokenize([prompt(question) for question in questions], padding_side="left")

    def tokenize_answers(self, answers: Sequence[str]) -> TextBatch:
        """Answers with their end token to tokens, padded on the right."""
        texts = [completion(answer, self.tokenizer.eos_token) for answer in answers]
        if self._prepends_blank:
            texts = [text.removeprefix(" ") for text in texts]
        return self._tokenize(texts, padding_side="right")

    def _tokenize(self, texts: Sequence[str], padding_side: str) -> TextBatch:
        batch = self.tokenizer(
            list(texts), padding=True, padding_side=padding_side, add_special_tokens=False, return_tensors="pt"
        )
        return TextBatch(batch["input_ids"], batch["attention_mask"].bool())

    def answer_loss(self, prefix: Tensor, prefix_mask: Tensor, answer: TextBatch) -> Tensor:
        """Task loss, equation (14): cross-entropy on all answer tokens and the end token, over the whole vocabulary.

        Logits are computed at the answer's positions only.

        Parameters
        ----------
        prefix : float [b, p, d_T]
            Embeddings before the answer; the last position is valid.
        prefix_mask : bool [b, p]
        answer : TextBatch
            As `tokenize_answers` gives it.

        Returns
        -------
        float32 scalar
        """
        logits = self._answer_logits(prefix, prefix_mask, answer)
        return functional.cross_entropy(logits[answer.mask].float(), answer.ids[answer.mask])

    def answer_losses(self, prefix: Tensor, prefix_mask: Tensor, answer: TextBatch) -> Tensor:
        """As `answer_loss`, of each answer by itself: the mean over its tokens, float32 [b] [nat]."""
        logits = self._answer_logits(prefix, prefix_mask, answer).float()
        loss = functional.cross_entropy(logits.transpose(1, 2), answer.ids, reduction="none") * answer.mask
        return loss.sum(1) / answer.mask.sum(1)

    def _answer_logits(self, prefix: Tensor, prefix_mask: Tensor, answer: TextBatch) -> Tensor:
        """What the model makes of an answer behind a prefix: [b, answer.length, vocabulary]."""
        prefix, prefix_mask = self._begin(prefix, prefix_mask, answer.length)
        inputs = torch.cat([prefix, self.embed(answer.ids[:, :-1])], dim=1)
        mask = torch.cat([prefix_mask, answer.mask[:, :-1]], dim=1)
        logits: Tensor = self.model(
            inputs_embeds=inputs,
            attention_mask=mask.long(),
            position_ids=_positions(mask),
            use_cache=False,
            logits_to_keep=_last(answer.length),
        ).logits
        return logits

    @torch.no_grad()
    def generate(self, prefix: Tensor, prefix_mask: Tensor, max_new_tokens: int) -> Tensor:
        """Answer greedily: each token is the most likely one.

        Parameters
        ----------
        prefix : float [b, p, d_T]
        prefix_mask : bool [b, p]

        Returns
        -------
        int64 [b, ≤ max_new_tokens], padded after the end token
        """
        prefix, prefix_mask = self._begin(prefix, prefix_mask, max_new_tokens)
        return self.model.generate(
            inputs_embeds=prefix,
            attention_mask=prefix_mask.long(),
            logits_to_keep=_last(1),
            generation_config=GenerationConfig(
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
            ),
        )

    def _begin(self, prefix: Tensor, mask: Tensor, answer: int) -> tuple[Tensor, Tensor]:
        """The prefix as the model reads it: after a BOS token where its tokenizer puts one, padding on the far left.
        ``answer`` is the number of tokens that follow, the last of which is not read.

        Padding between media and question would count in the window of a layer that does not see all of the prefix.
        Where all layers do, it stays where it is.
        """
        prefix = prefix.to(self.dtype)
        if self._bos_id is not None:
            bos = self.embed(torch.full((len(prefix), 1), self._bos_id, device=prefix.device))
            prefix, mask = torch.cat([bos, prefix], dim=1), torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        if self._positions is not None:
            self.check_length(int(mask.sum(1).max()) + answer - 1)
        if self._full_attention:
            return prefix, mask
        order = mask.byte().argsort(dim=1, stable=True)
        return prefix.gather(1, order[..., None].expand_as(prefix)), mask.gather(1, order)

    def first_tokens(self, ids: Tensor) -> list[int]:
        """The first token of each text, int64 [b, s], that is more than a blank.

        Some tokenizers cut a leading blank off as a token of its own, the same for all texts.
        """
        return [next((token for token in row if not self._is_blank(token)), row[-1]) for row in ids.tolist()]

    def _is_blank(self, token: int) -> bool:
        return not self.tokenizer.decode([token], skip_special_tokens=False).strip()

    def decode(self, ids: Tensor) -> list[str]:
        """Token ids to texts without special tokens."""
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)


def _check(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    kind = model.config.model_type
    absent = [argument for argument in _ARGUMENTS if argument not in inspect.signature(model.forward).parameters]
    if absent:
        raise UserError(
            f"foundation model '{name}' of type '{kind}' takes no {', no '.join(absent)}: use one that does, such as "
            "Qwen2 or Llama"
        )
    if tokenizer.eos_token_id is None:
        raise UserError(f"the tokenizer of '{name}' has no end token: name one as eos_token in tokenizer_config.json")
    embeddings = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > embeddings:
        raise UserError(
            f"the tokenizer of '{name}' has {len(tokenizer)} tokens, its model embeds {embeddings}: they are not a pair"
        )


def _lora_targets(model: PreTrainedModel, name: str) -> list[str]:
    """Names of the modules that LoRA adapts."""
    modules = {module.rpartition(".")[2] for module, _ in model.named_modules()}
    if modules.issuperset(LORA_TARGETS):
        return LORA_TARGETS
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(model.config.model_type, [])
    if not known or not modules.issuperset(known):
        raise UserError(
            f"foundation model '{name}' of type '{model.config.model_type}' has no {' and '.join(LORA_TARGETS)} to "
            "adapt, and PEFT knows no others: name its modules by lora.targets, or use Qwen2 or Llama"
        )
    return list(known)


def _bos_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The BOS token if the tokenizer puts it before a text, as it is configured; else None."""
    bos = tokenizer.bos_token_id
    return bos if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else None


def _full_attention(model: PreTrainedModel) -> bool:
    """Whether every layer attends to all that was read, by the model's config; False where that does not say."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None)
    return set(kinds or ()) == {"full_attention"}


def _learned_positions(model: PreTrainedModel) -> int | None:
    """How many positions a model has that learned an embedding of each; None where it computes them."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    tables = (m for m in model.modules() if isinstance(m, nn.Embedding) and m is not model.get_input_embeddings())
    return limit if limit and any(0 <= table.num_embeddings - limit <= 2 for table in tables) else None


def _last(length: int) -> Tensor:
    """The last positions, for ``logits_to_keep``.

    Given their number, the model takes a slice of the batch, with which PyTorch multiplies the head example by example:
    in bf16 on a CPU a hundred times slower than with the copy that it takes given their indices.
    """
    return torch.arange(-length, 0)


def _positions(mask: Tensor) -> Tensor:
    """Position of each token among the valid ones: padding is not counted."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)
