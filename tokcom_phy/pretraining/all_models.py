"""All tiny models in one go."""

import json
from pathlib import Path

from tokcom_phy.pretraining.audio import pretrain_audio
from tokcom_phy.pretraining.cards import WEIGHTS, weights_digest
from tokcom_phy.pretraining.language_model import pretrain_foundation
from tokcom_phy.pretraining.progress import training_name
from tokcom_phy.pretraining.video import pretrain_video
from tokcom_phy.utils.files import write_atomically

MANIFEST = "models.json"
"""File that says of each finished model what made it, and its weights' SHA-256."""


def pretrain_all(
    out: Path, *, seed: int = 0, audio_steps: int = 2400, video_steps: int = 1000, foundation_steps: int = 8000
) -> dict[str, str]:
    """Train the audio encoder, the video encoder and the foundation model, one after the other, into ``out``.

    The same call continues what a killed one began: finished models stay, and the one in hand goes on where its last
    state was kept. The weights are the same bytes whether it was killed or not.

    Returns
    -------
    dict of str to str
        The SHA-256 of each model's weights.

    Raises
    ------
    UserError
        If a number of steps is not positive or ``out`` cannot be written to.
    """
    out = Path(out)
    finished = _finished(out)
    for part, train, steps in (
        ("audio", pretrain_audio, audio_steps),
        ("video", pretrain_video, video_steps),
        ("foundation", pretrain_foundation, foundation_steps),
    ):
        made_by = training_name(steps=steps, seed=seed)
        about = finished.get(part, {})
        if about.get("made_by") == made_by and _is_whole(out / part, about):
            continue
        train(out / part, steps=steps, seed=seed)
        finished[part] = {"made_by": made_by, "sha256": weights_digest(out / part)}
        with write_atomically(out / MANIFEST) as path:
            path.write_text(json.dumps(finished, indent=2) + "\n", encoding="utf-8")
    return {part: about["sha256"] for part, about in finished.items()}


def _finished(out: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _is_whole(folder: Path, about: dict[str, str]) -> bool:
    return (folder / WEIGHTS).exists() and about.get("sha256") == weights_digest(folder)
