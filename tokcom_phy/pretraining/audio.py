"""Pretraining of the tiny audio encoder: every spectrogram patch learns who sounds at its time, and how."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

from tokcom_phy.data.decoding import decode
from tokcom_phy.model.encoders import WindowedASTFeatureExtractor
from tokcom_phy.pretraining import patch_supervision
from tokcom_phy.pretraining.cards import encoder_card
from tokcom_phy.synthetic.corpus import write_clip
from tokcom_phy.synthetic.scene import CLIP_SECONDS, INSTRUMENTS, Scene, Span
from tokcom_phy.synthetic.sound import SAMPLE_RATE, waveform

NUM_MELS = PATCH = 32
MAX_LENGTH = 1024
TIME_STRIDE = 16
SLOTS = (MAX_LENGTH - PATCH) // TIME_STRIDE + 1
SLOT_SECONDS = TIME_STRIDE * 0.01
"""A patch is as high as the spectrogram, so there is one per slot, in the order of time. Slot ``i`` is the
`SLOT_SECONDS` around the middle of its patch, ``(i + 1) · SLOT_SECONDS``."""

SIXTEENTHS = 16

CONFIG = ASTConfig(
    hidden_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=192,
    patch_size=PATCH,
    frequency_stride=PATCH,
    time_stride=TIME_STRIDE,
    max_length=MAX_LENGTH,
    num_mel_bins=NUM_MELS,
)

_OF_A_SOUND = ("sounds", "loud")
QUESTIONS = patch_supervision.Questions(
    yes_no=(*(f"{topic}: {name}" for topic in _OF_A_SOUND for name in INSTRUMENTS), "voice-over"),
    choices={"when (sixteenth of the clip)": SIXTEENTHS},
)
"""Of each instrument in the patch's slot: does it sound? If so, is it loud?"""


def pretrain_audio(out: Path, *, steps: int = 2400, seed: int = 0, clips: int = 4000) -> dict[str, float]:
    """Train the tiny AST on synthetic clips, and save it. The clips' audio codec is lossless.

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
    examples = patch_supervision.render(audio_example, patch_supervision.TRAIN, seed, clips)
    sample = examples.inputs[:500].astype(np.float32)
    mean, std = round(float(sample.mean()), 4), round(float(sample.std()), 4)

    def prepare(log_mel: torch.Tensor) -> torch.Tensor:
        return (log_mel.float() - mean) / (2 * std)

    torch.manual_seed(seed)
    encoder = ASTModel(CONFIG)
    head, _ = patch_supervision.train(encoder, examples, QUESTIONS, prepare, steps=steps, seed=seed, out=Path(out))
    encoder.half().float()
    held_out = patch_supervision.render(held_out_example, patch_supervision.HELD_OUT, seed, min(clips, 500))
    figures = patch_supervision.accuracies(encoder, head, held_out, QUESTIONS, prepare)
    card = encoder_card(
        "tokcom-phy tiny AST",
        "An Audio Spectrogram Transformer of 0.33 million parameters for synthetic clips: 32 mel bands, 1,024 frames\n"
        "of 10 ms, patches of 32 × 32 every 16 frames, 65 tokens of width 96: two special, then 63 in order of time.",
        f"tokcom pretrain audio --steps {steps} --seed {seed}",
        figures,
        len(held_out.inputs),
    )
    extractor = ASTFeatureExtractor(num_mel_bins=NUM_MELS, max_length=MAX_LENGTH, mean=mean, std=std)
    patch_supervision.save(encoder, extractor, card, Path(out))
    return figures


def audio_example(key: patch_supervision.Key) -> patch_supervision.Example:
    """One example: log-mel float16 [1024, 32], labels int8 [63, …]."""
    scene = patch_supervision.pretraining_scene(key)
    return log_mel(waveform(scene)), *labels(scene)


def held_out_example(key: patch_supervision.Key) -> patch_supervision.Example:
    """The same from a whole mp4 file, as the corpus has it."""
    scene = patch_supervision.pretraining_scene(key)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, scene)
        sound = decode(path).waveform
        assert sound is not None
        return log_mel(sound), *labels(scene)


def labels(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Per-patch labels of a scene, in order of time: int8 [63, 33] yes or no, int8 [63, 1] choices.

    A sound counts in a slot of 160 ms if it fills half of it; where it fills less than half, nothing is asked.
    """
    middles = SLOT_SECONDS * np.arange(1, SLOTS + 1)
    yes_no = np.full((SLOTS, len(_OF_A_SOUND), len(INSTRUMENTS)), patch_supervision.NOT_ASKED, np.int8)
    yes_no[:, 0] = 0
    for player in scene.sounding:
        column = INSTRUMENTS.index(player.instrument)
        filled = sum(_filled(middles, note) for note in player.notes)
        yes_no[(filled > 0.05) & (filled < 0.5), 0, column] = patch_supervision.NOT_ASKED
        yes_no[filled >= 0.5, :, column] = True, player.loud
    voice = np.zeros((SLOTS, 1), np.int8)
    if scene.voice:
        filled = _filled(middles, scene.voice)
        voice[filled > 0.05] = patch_supervision.NOT_ASKED
        voice[filled >= 0.5] = 1
    when = (middles / CLIP_SECONDS * SIXTEENTHS).astype(np.int8)[:, None]
    return np.concatenate([yes_no.reshape(SLOTS, -1), voice], axis=1), when


def _filled(middles: np.ndarray, span: Span) -> np.ndarray:
    """The share of each slot that a span fills."""
    begin, end = middles - SLOT_SECONDS / 2, middles + SLOT_SECONDS / 2
    return np.clip(np.minimum(end, span[1]) - np.maximum(begin, span[0]), 0, None) / SLOT_SECONDS


def log_mel(sound: np.ndarray) -> np.ndarray:
    """The encoder's log-mel spectrogram before its normalisation.

    Parameters
    ----------
    sound : float32 [n]
        One channel at 16 kHz.

    Returns
    -------
    float16 [1024, 32]
    """
    return _extractor()(sound, sampling_rate=SAMPLE_RATE, return_tensors="np")["input_values"][0].astype(np.float16)


@cache
def _extractor() -> WindowedASTFeatureExtractor:
    return WindowedASTFeatureExtractor(num_mel_bins=NUM_MELS, max_length=MAX_LENGTH, do_normalize=False)
