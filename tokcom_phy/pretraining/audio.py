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
from tokcom_phy.synthetic.corpus import encode, write_clip
from tokcom_phy.synthetic.scene import INSTRUMENTS, Scene
from tokcom_phy.synthetic.sound import SAMPLE_RATE, waveform

NUM_MELS = 64
MAX_LENGTH = 512
PATCH = 16
SLOTS = MAX_LENGTH // PATCH
BANDS = NUM_MELS // PATCH
SLOT_SECONDS = PATCH * 0.01
EIGHTHS = 8

CONFIG = ASTConfig(
    hidden_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=192,
    patch_size=PATCH,
    frequency_stride=PATCH,
    time_stride=PATCH,
    max_length=MAX_LENGTH,
    num_mel_bins=NUM_MELS,
)

_OF_A_SOUND = ("sounds", "loud", "long", "first", "last")
QUESTIONS = patch_supervision.Questions(
    yes_no=(*(f"{topic}: {name}" for topic in _OF_A_SOUND for name in INSTRUMENTS), "voice-over"),
    choices={"when (eighth of the clip)": EIGHTHS},
)
"""Of each instrument in the patch's slot: does it sound? If so: loud, long, the first to start, the last to start?"""


def pretrain_audio(out: Path, *, steps: int = 2500, seed: int = 0, clips: int = 5000) -> dict[str, float]:
    """Train the tiny AST on synthetic clips that went through the AAC codec, and save it.

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
    head, _ = patch_supervision.train(encoder, examples, QUESTIONS, prepare, steps=steps, seed=seed)
    encoder.half().float()
    held_out = patch_supervision.render(held_out_example, patch_supervision.HELD_OUT, seed, min(clips, 500))
    figures = patch_supervision.accuracies(encoder, head, held_out, QUESTIONS, prepare)
    card = patch_supervision.model_card(
        "tokcom-phy tiny AST",
        "An Audio Spectrogram Transformer of 0.26 million parameters for synthetic clips: 64 mel bands, 512 frames of\n"
        "10 ms, patches of 16 × 16, 130 tokens of width 96.",
        f"tokcom pretrain audio --steps {steps} --seed {seed}",
        figures,
        len(held_out.inputs),
    )
    extractor = ASTFeatureExtractor(num_mel_bins=NUM_MELS, max_length=MAX_LENGTH, mean=mean, std=std)
    patch_supervision.save(encoder, extractor, card, Path(out))
    return figures


def audio_example(key: patch_supervision.Key) -> patch_supervision.Example:
    """One example whose sound went through AAC: log-mel float16 [512, 64], labels int8 [128, …]."""
    scene = patch_supervision.pretraining_scene(key)
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        encode(file.name, None, waveform(scene))
        return log_mel(_sound(file.name)), *labels(scene)


def held_out_example(key: patch_supervision.Key) -> patch_supervision.Example:
    """The same from a whole mp4 file, as the corpus has it."""
    scene = patch_supervision.pretraining_scene(key)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, scene)
        return log_mel(_sound(path)), *labels(scene)


def labels(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Per-patch labels of a scene's patches, frequency-major: int8 [128, 61] yes or no, int8 [128, 1] choices.

    A sound counts in a slot of 160 ms if it fills half of it; where it fills less than half, nothing is asked.
    """
    edges = SLOT_SECONDS * np.arange(SLOTS + 1)
    yes_no = np.full((SLOTS, len(_OF_A_SOUND), len(INSTRUMENTS)), patch_supervision.NOT_ASKED, np.int8)
    yes_no[:, 0] = 0
    sounding = scene.sounding
    for player in sounding:
        column = INSTRUMENTS.index(player.instrument)
        filled = (np.minimum(edges[1:], player.end) - np.maximum(edges[:-1], player.start)) / SLOT_SECONDS
        partly = (filled > 0.05) & (filled < 0.5) & (yes_no[:, 0, column] == 0)
        yes_no[partly, 0, column] = patch_supervision.NOT_ASKED
        heard = filled >= 0.5
        answers = np.array([True, player.loud, player.long, player is sounding[0], player is sounding[-1]], np.int8)
        yes_no[heard, :, column] = np.maximum(yes_no[heard, :, column], answers)
    voice = np.full((SLOTS, 1), scene.voiceover, np.int8)
    when = (np.arange(SLOTS) * EIGHTHS // SLOTS).astype(np.int8)[:, None]
    yes_no = np.concatenate([yes_no.reshape(SLOTS, -1), voice], axis=1)
    return np.tile(yes_no, (BANDS, 1)), np.tile(when, (BANDS, 1))


def log_mel(sound: np.ndarray) -> np.ndarray:
    """The encoder's log-mel spectrogram before its normalisation.

    Parameters
    ----------
    sound : float32 [n]
        One channel at 16 kHz.

    Returns
    -------
    float16 [512, 64]
    """
    return _extractor()(sound, sampling_rate=SAMPLE_RATE, return_tensors="np")["input_values"][0].astype(np.float16)


@cache
def _extractor() -> WindowedASTFeatureExtractor:
    return WindowedASTFeatureExtractor(num_mel_bins=NUM_MELS, max_length=MAX_LENGTH, do_normalize=False)


def _sound(path: str | Path) -> np.ndarray:
    sound = decode(path).waveform
    assert sound is not None
    return sound
