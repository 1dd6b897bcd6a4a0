"""Pretraining of the tiny video encoder: every tubelet learns who stands in its column and whether it plays now."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import VivitConfig, VivitImageProcessor, VivitModel

from tokcom_phy.data.decoding import decode, sample_indices
from tokcom_phy.pretraining import patch_supervision
from tokcom_phy.pretraining.cards import encoder_card
from tokcom_phy.synthetic.corpus import encode, write_clip
from tokcom_phy.synthetic.frames import FRAME_RATE, NUM_FRAMES, frames
from tokcom_phy.synthetic.scene import INSTRUMENTS, PLACES, POSITIONS, Scene

SAMPLED_FRAMES = 20
IMAGE_SIZE = 48
TUBELET = (1, 24, 16)
"""A tubelet is the upper or the lower half of one column of one frame. With 20 frames of six tubelets, equation (3)
goes from column to column at each of 8, 16, 32 and 64 tokens; with 32 frames it would stay in one for a third of the
clip at 32 tokens."""

ROWS = IMAGE_SIZE // TUBELET[1]
COLUMNS = IMAGE_SIZE // TUBELET[2]
SIXTEENTHS = 16

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
    yes_no=("plays", "outdoor"),
    choices={
        "who (instrument or nobody)": len(INSTRUMENTS) + 1,
        "where (column)": COLUMNS,
        "when (sixteenth)": SIXTEENTHS,
    },
)
"""Of the patch's column at the patch's moment: does anybody play there, who stands there, where and when is that?"""


def pretrain_video(out: Path, *, steps: int = 1000, seed: int = 0, clips: int = 2500) -> dict[str, float]:
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
    head, _ = patch_supervision.train(encoder, examples, QUESTIONS, prepare, steps=steps, seed=seed, out=Path(out))
    encoder.half().float()
    held_out = patch_supervision.render(held_out_example, patch_supervision.HELD_OUT, seed, min(clips, 500))
    figures = patch_supervision.accuracies(encoder, head, held_out, QUESTIONS, prepare)
    card = encoder_card(
        "tokcom-phy tiny ViViT",
        "A Video Vision Transformer of 0.35 million parameters for synthetic clips: 20 frames of 48 × 48, "
        "tubelets of 1 × 24 × 16,\n121 tokens of width 96: a special one, then two rows of three columns a frame.",
        f"tokcom pretrain video --steps {steps} --seed {seed}",
        figures,
        len(held_out.inputs),
    )
    patch_supervision.save(encoder, _processor(), card, Path(out))
    return figures


def video_example(key: patch_supervision.Key) -> patch_supervision.Example:
    """One example whose picture went through the video codec: pixels uint8 [20, 3, 48, 48], labels int8 [120, …]."""
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
    """Per-patch labels of a scene's tubelets (moment, row, column): int8 [120, 2] yes or no, int8 [120, 3] choices."""
    seconds = np.array(sample_indices(NUM_FRAMES, SAMPLED_FRAMES)) / FRAME_RATE
    plays = np.full((SAMPLED_FRAMES, COLUMNS), patch_supervision.NOT_ASKED, np.int8)
    who = np.full((SAMPLED_FRAMES, COLUMNS), len(INSTRUMENTS), np.int8)
    for player in scene.players:
        column = POSITIONS.index(player.position)
        there = (seconds >= player.seen[0]) & (seconds < player.seen[1])
        plays[there, column] = [player.plays_at(moment) for moment in seconds[there]]
        who[there, column] = INSTRUMENTS.index(player.instrument)
    outdoor = np.full_like(plays, PLACES.index(scene.place))
    when, where = np.indices((SAMPLED_FRAMES, COLUMNS), dtype=np.int8)
    when = (np.arange(SAMPLED_FRAMES) * SIXTEENTHS // SAMPLED_FRAMES).astype(np.int8)[when]
    yes_no, choices = np.stack([plays, outdoor], axis=-1), np.stack([who, where, when], axis=-1)
    return _of_each_row(yes_no), _of_each_row(choices)


def _of_each_row(labels: np.ndarray) -> np.ndarray:
    return np.repeat(labels[:, None], ROWS, axis=1).reshape(-1, labels.shape[-1])


def pixels(video: np.ndarray) -> np.ndarray:
    """What the processor makes of frames, kept as the bytes from which `prepare` computes it: uint8 [20, 3, 48, 48]."""
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
