"""Pretrain the tiny foundation model: a small Qwen2 that answers questions about a clip from a description of it.

Scenes, their descriptions and questions are drawn on the fly; nothing is read from disk. The contexts of answers are
in `tokcom_phy.pretraining.contexts`, how samples become batches in `tokcom_phy.pretraining.packing`.
"""

import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import cast

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from tokcom_phy.model.prompt import completion, prompt
from tokcom_phy.pretraining.cards import foundation_card, write_card
from tokcom_phy.pretraining.contexts import LENGTHS, Corpus, is_asked, number_word, stage_at
from tokcom_phy.pretraining.packing import Bag, Batch, collate
from tokcom_phy.pretraining.progress import forget_progress, load_progress, save_progress, training_name
from tokcom_phy.pretraining.tokenizer import train_tokenizer
from tokcom_phy.synthetic.captions import caption, heard, roster, seen
from tokcom_phy.synthetic.questions import balanced_questions, questions, stepping_stones
from tokcom_phy.synthetic.scene import CLIP_SECONDS, sample_scene
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import cannot_write

BATCH = 16
LEARNING_RATE = 2e-3
WARMUP_STEPS = 100
OTHER_TEXT_WEIGHT = 0.1
"""Weight of the loss on captions and questions; the answers' is 1."""

EMBEDDING_STD = 0.1
"""Of the embeddings' random beginnings."""


def embed(model: Qwen2ForCausalLM, batch: Batch) -> Tensor:
    """Input embeddings [b, length, d] of all positions, before any noise."""
    table = cast(Tensor, model.get_input_embeddings().weight)
    rows = torch.nn.functional.embedding_bag(
        batch.bag_ids, table, batch.bag_offsets, mode="sum", per_sample_weights=batch.bag_weights
    )
    return rows.view(*batch.soft.shape, -1)


def blur(embeddings: Tensor, soft: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Make soft tokens imperfect: per sample a random scale and noise level, and one token in twenty is noise alone.

    ``embeddings`` are float32 [b, length, d], ``soft`` bool [b, length]. ``strength`` scales all three; at 0 nothing is
    done.
    """
    if strength == 0:
        return embeddings
    b, length, _ = embeddings.shape
    scale = torch.exp(0.3 * strength * torch.randn(b, 1, 1, generator=generator))
    level = 0.6 * strength * torch.rand(b, 1, 1, generator=generator)
    lost = torch.rand(b, length, 1, generator=generator) < 0.05 * strength
    rms = embeddings.detach().pow(2).mean(-1, keepdim=True).sqrt()
    noise = rms * torch.randn(embeddings.shape, generator=generator)
    blurred = scale * torch.where(lost, noise, embeddings + level * noise)
    return torch.where(soft[..., None], blurred, embeddings)


def losses(model: Qwen2ForCausalLM, batch: Batch, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy of the answers' tokens and of all other text, scalars [nat]; whether each answer token is the
    likeliest one, bool [answer tokens of the batch]."""
    hidden = model.model(
        inputs_embeds=embeddings, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    predicted = batch.targets >= 0
    logits, targets = model.lm_head(hidden[predicted]), batch.targets[predicted]
    answer = batch.answers[predicted]
    loss = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    hits = (logits[answer].argmax(-1) == targets[answer]).detach()
    return loss[answer].mean(), loss[~answer].mean(), hits


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """A small Qwen2 with random weights (from torch's generator), for one tokenizer.

    Embeddings begin far apart. With Qwen2's usual 0.02, tied embeddings of words that are equally likely answers
    ("indoor", "outdoor") drift together before the model can tell them apart, and stay there.
    """
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            initializer_range=0.02,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    torch.nn.init.normal_(cast(Tensor, model.get_input_embeddings().weight), std=EMBEDDING_STD)
    return model


def new_tokenizer(seed: int, scenes: int = 2000) -> PreTrainedTokenizerFast:
    """The tokenizer, trained on captions, questions with answers, and timelines' phrases."""
    rng = np.random.default_rng([seed, 0])
    texts = []
    for _ in range(scenes):
        scene = sample_scene(rng)
        texts += [caption(scene), *(f" {member}" for member in roster(scene))]
        texts += [prompt(q.text) + completion(q.answer) for q in questions(scene)[::4] + stepping_stones(scene)[::4]]
        for moment in rng.uniform(0, CLIP_SECONDS, 4):
            phrases = [phrase for phrase, _ in heard(scene, moment)]
            phrases += [seen(scene, moment, int(rng.integers(3))), number_word(moment)]
            texts.append("".join(f" {phrase}" for phrase in phrases) + " audio video")
    return train_tokenizer(texts)


class Batches(Dataset):
    """The batches of a training, each drawn from the seed and its step alone.

    An item is a `Batch`, the strength of its blur, and the blur's seed.
    """

    def __init__(self, corpus: Corpus, seed: int, steps: int):
        self.corpus, self.seed, self.steps = corpus, seed, steps

    def __getitem__(self, step: int) -> tuple[Batch, float, int]:
        rng = np.random.default_rng([self.seed, 2, step])
        stage = stage_at(step / self.steps)
        batch = collate([self.corpus.sample(rng, stage) for _ in range(BATCH)])
        return batch, stage.noise, int(rng.integers(2**62))


def pretrain_foundation(
    out: Path, *, steps: int = 8000, seed: int = 0, save_every: int = 100, count: int = 1000
) -> dict[str, dict[str, float]]:
    """Train the tokenizer and the model, test them on scenes not trained on, and write both with a model card.

    The same call continues what a killed one began, and ends at the same weights.

    Parameters
    ----------
    out : Path
        Folder for ``config.json``, ``model.safetensors`` (float16), the tokenizer's files and ``README.md``.
    steps : int
        Batches of `BATCH` scenes.
    seed : int
        Decides everything.
    save_every : int
        Steps after which the state is kept on disk.
    count : int
        Held-out questions per kind of context.

    Returns
    -------
    dict
        Held-out accuracy by kind of context, then by question type and by template, ``"all"`` among them.

    Raises
    ------
    UserError
        If ``steps`` is not positive or ``out`` cannot be written to.
    """
    if steps < 1:
        raise UserError(f"steps is {steps}: pretraining takes at least one step")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokenizer = new_tokenizer(seed)
    model = new_model(tokenizer).train()
    corpus = Corpus(tokenizer, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    name = training_name(steps=steps, seed=seed)
    done = load_progress(out, name, model, optimizer)
    # A process of its own draws the batches ahead.
    batches = DataLoader(Batches(corpus, seed, steps), None, sampler=range(done, steps), num_workers=1)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("pretraining the foundation model", total=steps, completed=done)
        for step, (batch, strength, blur_seed) in enumerate(batches, start=done):
            if step > done and step % save_every == 0:
                save_progress(out, step, name, model, optimizer)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * _learning_rate(step, steps)
            generator = torch.Generator().manual_seed(blur_seed)
            embeddings = blur(embed(model, batch), batch.soft, generator, strength)
            answer_loss, other_loss, hits = _step(model, optimizer, batch, embeddings)
            progress.update(task, advance=1)
            if step % 50 == 0:
                progress.console.print(f"step {step}: losses {answer_loss:.3f}, {other_loss:.3f}; right {hits:.3f}")
    metrics = evaluate(model, tokenizer, seed=seed, count=count)
    command = f"tokcom pretrain foundation --steps {steps} --seed {seed}"
    save(out, model, tokenizer, foundation_card(metrics, command, model.num_parameters()))
    forget_progress(out)
    return metrics


def _step(
    model: Qwen2ForCausalLM, optimizer: torch.optim.Optimizer, batch: Batch, embeddings: Tensor
) -> tuple[float, float, float]:
    """One optimiser step; returns both losses and the share of hits."""
    answer_loss, other_loss, hits = losses(model, batch, embeddings)
    optimizer.zero_grad()
    (answer_loss + OTHER_TEXT_WEIGHT * other_loss).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return answer_loss.item(), other_loss.item(), hits.float().mean().item()


def _learning_rate(step: int, steps: int) -> float:
    """A factor: linear warm-up, then flat, then linearly down to a fiftieth over the second half."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(0.02, min(1.0, 2 * (1 - step / steps)))


TESTED_CONTEXTS = ("text", "roster", *(f"timeline {n}" for n in LENGTHS), "audio", "video", "blind")
"""Kinds of context that held-out accuracies are given for; timelines with their number of tokens per modality."""


@torch.no_grad()
def evaluate(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    count: int,
    contexts: tuple[str, ...] = TESTED_CONTEXTS,
) -> dict[str, dict[str, float]]:
    """Greedy answers to balanced questions about scenes not trained on, from unblurred contexts.

    Parameters
    ----------
    seed : int
        Draws scenes and questions, from another stream than training's.
    count : int
        Questions per kind of context.
    contexts : tuple of str
        Some of `TESTED_CONTEXTS`.

    Returns
    -------
    dict
        Share of answers generated exactly, end token included, by kind of context, then by question type and by
        template. What is not asked of a kind of context is left out there.
    """
    model.eval()
    corpus = Corpus(tokenizer, seed)
    rng = np.random.default_rng([seed, 3])
    scenes = [sample_scene(rng) for _ in range(count)]
    balanced = balanced_questions(scenes, count, rng)
    accuracies = {}
    for name in contexts:
        kind, _, length = name.partition(" ")
        hits = defaultdict(list)
        asked = [(i, question) for i, question in balanced if is_asked(question, kind)]
        for begin in range(0, len(asked), 120):
            part = asked[begin : begin + 120]
            tokens = int(length or 32)
            rows = [
                corpus.context(scenes[i], kind, tokens, tokens)
                + [[(token, 1.0)] for token in corpus.ids(prompt(question.text))]
                for i, question in part
            ]
            for (_, question), answer in zip(part, _generate(model, tokenizer, rows), strict=True):
                hit = answer == completion(question.answer)
                for group in ("all", " ".join(question.type), question.template):
                    hits[group].append(hit)
        accuracies[name] = {group: float(np.mean(hit)) for group, hit in sorted(hits.items())}
    model.train()
    return accuracies


def _generate(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: list[list[Bag]]) -> list[str]:
    """Continue each row greedily up to the end token, which is part of what comes back."""
    table = cast(Tensor, model.get_input_embeddings().weight)
    length = max(map(len, rows))
    embeddings = torch.zeros(len(rows), length, table.shape[1])
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for row, bags in enumerate(rows):
        for position, bag in enumerate(bags, start=length - len(bags)):
            ids, weights = zip(*bag, strict=True)
            embeddings[row, position] = torch.tensor(weights) @ table[list(ids)]
        mask[row, length - len(bags) :] = 1
    generated = model.generate(inputs_embeds=embeddings, attention_mask=mask, max_new_tokens=8, do_sample=False)
    end = tokenizer.eos_token
    return [text.partition(end)[0] + end for text in tokenizer.batch_decode(cast(Tensor, generated))]


def save(out: Path, model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, card: str) -> None:
    """Write model (float16), tokenizer and card into ``out``; each file replaces its predecessor in one step.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".foundation.", dir=out))
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        halved = new_model(tokenizer)
        halved.load_state_dict(model.state_dict())
        halved.half().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_card(temporary, card)
        for path in temporary.iterdir():
            path.chmod(0o644)
            os.replace(path, out / path.name)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
