"""What the pretraining of the audio and of the video encoder share: per-patch targets, training, saving.

Every patch token of an encoder learns to tell what happens at *its* time and in *its* part of the clip; the tokens
that stand for the whole clip (CLS, distillation) learn nothing. So a transmitter that keeps few tokens knows little of
the clip, and one that keeps many knows much.
"""

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from tokcom_phy.pretraining.cards import write_card
from tokcom_phy.pretraining.progress import forget_progress, load_progress, save_progress, training_name
from tokcom_phy.synthetic import parallel
from tokcom_phy.synthetic.scene import Scene, sample_scene
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import cannot_write

NOT_ASKED = -1
"""Label of a question that does not apply to a patch, such as the loudness of a silent instrument."""

TRAIN, HELD_OUT = 101, 102
"""First keys of the seeds of pretraining scenes; the corpus uses other ones, so that no scene is in both."""


@dataclass(frozen=True)
class Questions:
    """Questions about every patch token: yes-or-no questions, and choices with their number of answers, by name."""

    yes_no: tuple[str, ...]
    choices: dict[str, int]

    @property
    def num_logits(self) -> int:
        return len(self.yes_no) + sum(self.choices.values())


@dataclass(frozen=True)
class Examples:
    """Encoder inputs and per-patch labels of a number of clips.

    ``inputs`` is [clips, …]; ``yes_no`` int8 [clips, patches, questions] (1, 0 or `NOT_ASKED`) and ``choices`` int8
    [clips, patches, questions] (an answer's index or `NOT_ASKED`) follow the order of `Questions`.
    """

    inputs: np.ndarray
    yes_no: np.ndarray
    choices: np.ndarray


Example = tuple[np.ndarray, np.ndarray, np.ndarray]
"""What `Examples` holds, of one clip."""

Key = tuple[int, int, int]
"""Of a pretraining scene: `TRAIN` or `HELD_OUT`, seed, index."""

Maker = Callable[[Key], Example]
"""Renders one example; at the top level of its module, so that a fresh process can import it."""


def pretraining_scene(key: Key) -> Scene:
    """The scene of a key, always the same."""
    return sample_scene(np.random.default_rng(key))


def render(make: Maker, split: int, seed: int, clips: int) -> Examples:
    """Render the examples of keys ``(split, seed, 0…clips − 1)`` in parallel."""
    jobs = [(split, seed, index) for index in range(clips)]
    parts = parallel.each(make, jobs, workers=None, description="rendering clips")
    inputs, yes_no, choices = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    return Examples(inputs, yes_no, choices)


def train(
    encoder: PreTrainedModel,
    examples: Examples,
    questions: Questions,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    *,
    steps: int,
    seed: int,
    out: Path | None = None,
    batch_size: int = 32,
    learning_rate: float = 1.5e-3,
    save_every: int = 200,
) -> tuple[nn.Linear, list[float]]:
    """Train an encoder, in place, so that a linear head on its patch tokens answers the per-patch questions.

    Parameters
    ----------
    prepare : callable
        Turns a batch of ``examples.inputs`` into what the model takes (float32).
    out : Path, optional
        Where the state is kept every ``save_every`` steps; the same call continues from it.

    Returns
    -------
    nn.Linear, list of float
        The head, and the loss of every step that was taken: cross-entropy per patch token, summed over questions [nat].

    Raises
    ------
    UserError
        If ``steps`` is not positive.
    """
    if steps < 1:
        raise UserError(f"steps is {steps}: pretraining takes at least one step")
    head = nn.Linear(encoder.config.hidden_size, questions.num_logits)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01)
    name = training_name(steps=steps, seed=seed, clips=len(examples.inputs), config=encoder.config.to_dict())
    both = nn.ModuleList([encoder, head])
    done = load_progress(out, name, both, optimizer) if out else 0
    order = _endless_order(np.random.default_rng(seed), len(examples.inputs))
    losses: list[float] = []
    encoder.train()
    with parallel.progress() as bar:
        task = bar.add_task("training", total=steps)
        for step in range(steps):
            chosen = np.sort([next(order) for _ in range(batch_size)])
            bar.update(task, advance=1)
            if step < done:
                continue
            if out and step > done and step % save_every == 0:
                save_progress(out, step, name, both, optimizer)
            optimizer.param_groups[0]["lr"] = learning_rate * one_cycle(step, steps)
            logits = head(patch_tokens(encoder, prepare(torch.from_numpy(examples.inputs[chosen]))))
            yes_no, choices = (torch.from_numpy(a[chosen]) for a in (examples.yes_no, examples.choices))
            loss = patch_loss(logits, yes_no, choices, questions)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
            bar.update(task, description=f"training, loss {np.mean(losses[-50:]):.3f}")
    encoder.eval()
    return head, losses


def one_cycle(step: int, steps: int) -> float:
    """A factor of the learning rate: a linear warm-up over a twentieth of the steps, then a cosine down to zero."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


def patch_tokens(encoder: PreTrainedModel, inputs: torch.Tensor) -> torch.Tensor:
    """Tokens of an encoder without those that stand for the whole clip, float32 [clips, patches, width]."""
    tokens = encoder(inputs).last_hidden_state
    summaries = 2 if encoder.config.model_type == "audio-spectrogram-transformer" else 1
    return tokens[:, summaries:]


def patch_loss(logits: torch.Tensor, yes_no: torch.Tensor, choices: torch.Tensor, questions: Questions) -> torch.Tensor:
    """Cross-entropy of all questions that are asked, per patch token, a scalar [nat]."""
    binary, *rest = logits.split([len(questions.yes_no), *questions.choices.values()], dim=-1)
    asked = yes_no != NOT_ASKED
    loss = F.binary_cross_entropy_with_logits(binary[asked], yes_no[asked].float(), reduction="sum")
    for index, scores in enumerate(rest):
        labels = choices[..., index].long().flatten()
        loss = loss + F.cross_entropy(scores.flatten(0, 1), labels, ignore_index=NOT_ASKED, reduction="sum")
    return loss / yes_no[..., 0].numel()


@torch.inference_mode()
def accuracies(
    encoder: PreTrainedModel,
    head: nn.Linear,
    examples: Examples,
    questions: Questions,
    prepare: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, float]:
    """Share of right answers by question, over all patch tokens of which it is asked.

    Yes-or-no questions named ``"topic: …"`` are pooled by topic; ``"topic, all right"`` counts tokens that
    answer every one of the topic's questions rightly.
    """
    right: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(examples.inputs), 50):
        part = slice(first, first + 50)
        logits = head(patch_tokens(encoder, prepare(torch.from_numpy(examples.inputs[part]))))
        binary, *rest = logits.split([len(questions.yes_no), *questions.choices.values()], dim=-1)
        asked = examples.yes_no[part] != NOT_ASKED
        hits = (binary > 0).numpy() == (examples.yes_no[part] == 1)
        topics = [name.split(":")[0] for name in questions.yes_no]
        for topic in dict.fromkeys(topics):
            of_topic = np.array([t == topic for t in topics])
            right.setdefault(topic, []).append(hits[..., of_topic][asked[..., of_topic]])
            if of_topic.sum() > 1:
                every = (hits | ~asked)[..., of_topic].all(-1)[asked[..., of_topic].any(-1)]
                right.setdefault(f"{topic}, all right", []).append(every)
        for index, (name, scores) in enumerate(zip(questions.choices, rest, strict=True)):
            labels = examples.choices[part][..., index]
            hits_of_choice = scores.argmax(-1).numpy() == labels
            right.setdefault(name, []).append(hits_of_choice[labels != NOT_ASKED])
    return {name: round(float(np.concatenate(hits).mean()), 4) for name, hits in right.items()}


def save(encoder: PreTrainedModel, processor: object, card: str, out: Path) -> None:
    """Write config, float16 weights, processor and model card into a folder, each file atomically, the weights last.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving.", dir=out) as temporary:
            encoder.half().save_pretrained(temporary)
            processor.save_pretrained(temporary)  # type: ignore[attr-defined]
            write_card(Path(temporary), card)
            for path in sorted(Path(temporary).iterdir(), key=lambda p: p.suffix == ".safetensors"):
                path.chmod(0o644)
                os.replace(path, out / path.name)
        forget_progress(out)
    except OSError as error:
        raise cannot_write(out, error) from error


def _endless_order(rng: np.random.Generator, count: int) -> Iterator[int]:
    while True:
        yield from rng.permutation(count)
