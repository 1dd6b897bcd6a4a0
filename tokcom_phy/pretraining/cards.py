"""Model cards of the tiny models: how each was made, what it does on held-out clips, where it is weak."""

from hashlib import sha256
from pathlib import Path

from tokcom_phy.data.formats import QUESTION_TYPES

WEIGHTS = "model.safetensors"

_HEADER = "---\nlicense: apache-2.0\nlibrary_name: transformers\n---\n\n"

_WEAK_ENCODER = 0.95
"""Below this share of right answers an encoder's card calls a question weak."""

_WEAK_MARGIN = 0.15
"""A kind of question is called weak where it is answered by less than this more often than without a context."""


def weights_digest(folder: Path) -> str:
    """SHA-256 of a model's weights."""
    return sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def write_card(folder: Path, card: str) -> None:
    """Write the card of a model that is saved in a folder, with the digest of its weights."""
    text = f"{card}\n## Weights\n\n`{WEIGHTS}`, SHA-256 `{weights_digest(folder)}`\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def encoder_card(title: str, what: str, command: str, held_out: dict[str, float], clips: int) -> str:
    """The card of an encoder, with a table of held-out figures."""
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in held_out.items())
    weak = [name for name, value in held_out.items() if value < _WEAK_ENCODER]
    return (
        f"{_HEADER}# {title}\n\n{what}\n\n"
        f"Made by\n\n    {command}\n\n"
        f"on one CPU core, deterministically on one machine. Patch tokens carry local targets only, the tokens that\n"
        f"stand for the whole clip none.\n\n"
        f"Held out: {clips} clips, written as mp4 files (H.264, FLAC), decoded, and read by a linear head on the\n"
        f"saved float16 weights; share of right answers over all patch tokens that are asked.\n\n"
        f"| question | accuracy |\n| --- | --- |\n{rows}\n\n"
        f"Weak (under {_WEAK_ENCODER:.0%}): {', '.join(weak) or 'nothing of these'}.\n"
    )


def foundation_card(metrics: dict[str, dict[str, float]], command: str, parameters: int) -> str:
    """The card of the foundation model.

    Parameters
    ----------
    metrics : dict
        Accuracy by kind of context, then by question type and template, as `language_model.evaluate` returns it;
        ``"blind"`` is among the contexts.
    """
    rank = {"all": 0, **{" ".join(kind): 1 for kind in QUESTION_TYPES}}
    groups = sorted(metrics["blind"], key=lambda group: (rank.get(group, 2), group))
    lines = ["| question | " + " | ".join(metrics) + " |", "|---" * (1 + len(metrics)) + "|"]
    for group in groups:
        lines.append(
            f"| {group} | " + " | ".join(f"{by[group]:.3f}" if group in by else "–" for by in metrics.values()) + " |"
        )
    table = "\n".join(lines)
    return f"""{_HEADER}# Tiny foundation model

A Qwen2 with {parameters:,} parameters and a byte-level BPE tokenizer, pretrained by

    {command}

on synthetic scenes put into English captions, questions and answers (`tokcom_phy/synthetic/`). Contexts were captions
as text, one mean embedding per player, timelines of 8–64 audio and 8–64 visual tokens with noise, or nothing
(`tokcom_phy/pretraining/contexts.py`). Weights are saved in float16; load them with `dtype=torch.float32` on a CPU.

Input: audio tokens, visual tokens, then the question as text. Output: a blank, the answer, `<|endoftext|>`.

## Held out

Share of answers generated exactly (greedy), over questions balanced by template and answer, about scenes not trained
on. `timeline n` has n audio and n visual tokens in the order in which the tiny encoders' tokens are picked; `audio` and
`video` are 32 tokens of one modality alone. –: not asked of a caption, which does not tell how long a note is, and from
which a model of this size does not look up twice.

{table}

## Weak spots

{_weak_spots(metrics, [group for group in groups if group not in rank])}
"""


def _weak_spots(metrics: dict[str, dict[str, float]], templates: list[str]) -> str:
    """By kind of context, the questions that are hardly answered better than without one."""
    said = []
    for context in ("timeline 32", "text"):
        weak = [t for t in templates if metrics[context].get(t, 1) < metrics["blind"][t] + _WEAK_MARGIN]
        listed = "".join(f"\n- {template}" for template in weak) or "\n- none"
        said.append(f"Answered from `{context}` hardly better (by less than {_WEAK_MARGIN:.0%}) than blind:\n{listed}")
    return "\n\n".join(said)
