"""Pretraining of the tiny video encoder: every tubelet learns who stands in its column and whether it moves now."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import VivitConfig, VivitImageProcessor, VivitModel

from tokcom_phy.data.decoding import decode, sample_indices
from tokcom_phy.pretraining import patch_supervision
from tokcom_phy.synthetic.corpus import encode, write_clip
from tokcom_phy.synthetic.frames import FRAME_RATE, NUM_FRAMES, frames
from tokcom_phy.synthetic.scene import INSTRUMENTS, PLACES, POSITIONS, Scene

SAMPLED_FRAMES = 16
IMAGE_SIZE = 48
TUBELET = (2, 16, 16)
MOMENTS = SAMPLED_FRAMES // TUBELET[0]
ROWS = COLUMNS = IMAGE_SIZE // TUBELET[1]

CONFIG = VivitConfig(
    image_size=IMAGE_SIZE,
    num_frames=SAMPLED_FRAMES,
    tubelet_size=list(TUBELET),
    hidden_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=192,
)

QUESTIONS = patch_supervision.Questions(
    yes_no=("moves", "outdoor"),
    choices={"who (instrument or nobody)": len(INSTRUMENTS) + 1, "where (column)": COLUMNS, "when (eighth)": MOMENTS},
)
"""Of the patch's column at the patch's moment: does anybody move there, who stands there, where and when is that?"""


def pretrain_video(out: Path, *, steps: int = 800, seed: int = 0, clips: int = 3000) -> dict[str, float]:
    """Train the tiny ViViT on synthetic clips that went through the video codec, and save it.

    Returns
    -------
    dict of str to float
        Accuracies on held-out clips read from mp4 files: 500, or as many as ``clips`` if that is fewer.

    Raises
    ------
    UserError
        If ``steps`` is not positive or ``out`` cannot be written to.
    """
    torch.set_num_threads(1)
    examples = patch_supervision.render(video_example, patch_supervision.TRAIN, seed, clips)
    torch.manual_seed(seed)
    encoder = VivitModel(CONFIG, add_pooling_layer=False)
    head, _ = patch_supervision.train(encoder, examples, QUESTIONS, prepare, steps=steps, seed=seed)
    encoder.half().float()
    held_out = patch_supervision.render(held_out_example, patch_supervision.HELD_OUT, seed, min(clips, 500))
    figures = patch_supervision.accuracies(encoder, head, held_out, QUESTIONS, prepare)
    card = patch_supervision.model_card(
        "tokcom-phy tiny ViViT",
        "A Video Vision Transformer of 0.39 million parameters for synthetic clips: 16 frames of 48 × 48, "
        "tubelets of 2 × 16 × 16,\n73 tokens of width 96.",
        f"tokcom pretrain video --steps {steps} --seed {seed}",
        figures,
        len(held_out.inputs),
    )
    patch_supervision.save(encoder, _processor(), card, Path(out))
    return figures


def video_example(key: patch_supervision.Key) -> patch_supervision.Example:
    """One example whose picture went through the video codec: pixels uint8 [16, 3, 48, 48], labels int8 [72, …]."""
    scene = patch_supervision.pretraining_scene(key)
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        encode(file.name, frames(scene), None)
        return pixels(_decoded(file.name)), *labels(scene)


def held_out_example(key: patch_supervision.Key) -> patch_supervision.Example:
    """The same from a whole mp4 file, as the corpus has it."""
    scene = patch_supervision.pretraining_scene(key)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, scene)
        return pixels(_decoded(path)), *labels(scene)


def labels(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Per-patch labels of a scene's tubelets (moment, row, column): int8 [72, 2] yes or no, int8 [72, 3] choices.

    Somebody moves in a tubelet if it moves in one of the tubelet's frames.
    """
    seconds = np.array(sample_indices(NUM_FRAMES, SAMPLED_FRAMES)).reshape(MOMENTS, -1) / FRAME_RATE
    moves = np.full((MOMENTS, COLUMNS), patch_supervision.NOT_ASKED, np.int8)
    who = np.full((MOMENTS, COLUMNS), len(INSTRUMENTS), np.int8)
    for player in scene.players:
        column = POSITIONS.index(player.position)
        moves[:, column] = ((seconds >= player.start) & (seconds < player.end)).any(axis=1)
        who[:, column] = INSTRUMENTS.index(player.instrument)
    outdoor = np.full_like(moves, PLACES.index(scene.place))
    when, where = np.indices((MOMENTS, COLUMNS), dtype=np.int8)
    yes_no, choices = np.stack([moves, outdoor], axis=-1), np.stack([who, where, when], axis=-1)
    return tuple(np.repeat(a[:, None], ROWS, axis=1).reshape(-1, a.shape[-1]) for a in (yes_no, choices))  # type: ignore[return-value]


def pixels(video: np.ndarray) -> np.ndarray:
    """What the processor makes of frames, kept as the bytes from which `prepare` computes it: uint8 [16, 3, 48, 48]."""
    values = _processor()(list(video), return_tensors="np")["pixel_values"][0]
    return np.round((values + 1) * 127.5).astype(np.uint8)


def prepare(values: torch.Tensor) -> torch.Tensor:
    """Bytes to the model's input, float32 in [−1, 1]."""
    return values.float() / 127.5 - 1


def _decoded(path: str | Path) -> np.ndarray:
    video = decode(path, audio=False, num_frames=SAMPLED_FRAMES).frames
    assert video is not None
    return video


@cache
def _processor() -> VivitImageProcessor:
    return VivitImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, do_center_crop=False, do_normalize=False
    )
