"""Encoding clips: each by itself, in one process or several; whatever one clip does, the others are encoded."""

import math
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.utils import logging as transformers_logging

from tokcom_phy.data.decoding import SAMPLING_RATE
from tokcom_phy.data.media import read_clip
from tokcom_phy.data.sources import Sources
from tokcom_phy.data.store import Modality
from tokcom_phy.model.encoders import Encoder, Source, load_encoder
from tokcom_phy.utils.errors import MediaError, UserError, one_line
from tokcom_phy.utils.processes import Killed, run_in_processes
from tokcom_phy.utils.source_digest import source_digest

CODE = source_digest(
    *(f"tokcom_phy.data.{name}" for name in ("decoding", "encode", "extracted", "media", "store")),
    *(f"tokcom_phy.model.{name}" for name in ("arrays", "compression", "encoders", "slide")),
)
"""Names the code that decodes and encodes clips."""

SECONDS_PER_WORKER = 8.0
"""A further process is started for so much work at least: starting one takes as long."""


@dataclass(frozen=True)
class Features:
    """What is stored of a clip.

    Attributes
    ----------
    tokens : modality → float16 [num_stored · width]
    truncated_seconds : how much of its sound an encoder leaves out [s]
    """

    tokens: dict[str, NDArray[np.float16]]
    truncated_seconds: float = 0.0


@dataclass(frozen=True)
class Skipped:
    """Why a clip has no features: one line that names the file."""

    reason: str


@dataclass(frozen=True)
class EncoderSetup:
    """What it takes to encode clips in another process.

    Attributes
    ----------
    encoders : modality → how its encoder is named
    modalities : modality → what is stored of it
    device : where encoders run
    audio_windows : windows of an AST
    """

    encoders: Mapping[str, Source]
    modalities: Mapping[str, Modality]
    device: str
    audio_windows: int

    def load(self) -> dict[str, Encoder]:
        """The encoders."""
        return {m: load_encoder(m, source, self.device, self.audio_windows) for m, source in self.encoders.items()}


def encode_clips(
    clips: Mapping[str, Sources], loaded: Mapping[str, Encoder], setup: EncoderSetup, workers: int
) -> Generator[tuple[str, Features | Skipped], None, None]:
    """Features of each clip, or why there are none, in the order in which they get done.

    The first clips are encoded here; how long they take tells how many processes the rest is worth.

    Raises
    ------
    UserError
        If the device has too little memory for the encoders, or one of one's own gives tensors of another shape than
        it says.
    """
    left = dict(clips)
    seconds: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, sources in clips.items():
            if workers > 1 and len(seconds) == 2 and min(seconds) * len(left) > SECONDS_PER_WORKER:
                break
            started = time.perf_counter()
            result = encode_clip(sources, loaded, setup.modalities)
            if isinstance(result, Features):
                seconds = [*seconds[-1:], time.perf_counter() - started]
            del left[name]
            yield name, result
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"not enough memory on {setup.device} for the encoders: free some, or run with --device cpu"
        ) from error
    finally:
        torch.set_num_threads(threads)
    if not left:
        return
    workers = min(workers, math.ceil(min(seconds) * len(left) / SECONDS_PER_WORKER))
    try:
        for name, found in run_in_processes(_encode_in_worker, left, workers, _start_worker, setup):
            if isinstance(found, Killed):
                found = Skipped(f"{left[name].paths()[0]}: the process that encodes it is killed, also alone")
            yield name, found
    except torch.OutOfMemoryError as error:
        raise UserError(f"not enough memory on {setup.device}: run again with fewer workers, it continues") from error


def encode_clip(
    sources: Sources, encoders: Mapping[str, Encoder], modalities: Mapping[str, Modality]
) -> Features | Skipped:
    """One clip by itself, so that its features do not depend on its neighbours.

    Raises
    ------
    UserError
        If an encoder gives a tensor of another shape than it says.
    torch.OutOfMemoryError
        If the device has too little memory.
    """
    where: Path | None = sources.paths()[0]
    try:
        media = _read(sources, encoders, modalities)
        tokens = {}
        for modality, encoder in encoders.items():
            where = sources.path(modality, encoder.takes)
            encoded = modalities[modality].stored(_checked(encoder, encoder.encode([media[modality]]))).half()
            if not encoded.isfinite().all():
                return Skipped(f"{where}: the {modality} encoder's output is not finite in half precision")
            tokens[modality] = encoded.flatten().numpy()
    except MediaError as error:
        return Skipped(str(error) if str(where) in str(error) else f"{where}: {error}")
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever an odd clip makes an encoder or a library do
        return Skipped(f"{where}: cannot be encoded ({one_line(error)})")
    return Features(tokens, _truncated_seconds(media, encoders))


def _read(sources: Sources, encoders: Mapping[str, Encoder], modalities: Mapping[str, Modality]) -> dict[str, Any]:
    """What each encoder takes of a clip; sound is read once, with the first one's pictures."""
    media: dict[str, Any] = {m: sources.files[m] for m, encoder in encoders.items() if encoder.takes == "file"}
    hearing = [m for m, encoder in encoders.items() if encoder.takes == "sound"]
    seeing = [m for m, encoder in encoders.items() if encoder.takes == "pictures"]
    for number, modality in enumerate(seeing or [None]):
        audio = bool(hearing) and number == 0
        num_frames = encoders[modality].num_frames if modality else None
        fps = modalities[modality].fps if modality else None
        if audio or modality:
            clip = read_clip(sources.media, audio=audio, num_frames=num_frames, fps=fps)
            media |= dict.fromkeys(hearing, clip.waveform) if audio else {}
            media |= {modality: clip.frames} if modality else {}
    return media


def _checked(encoder: Encoder, tokens: Any) -> torch.Tensor:
    """The tokens [num_tokens, width] of the one clip of a batch."""
    expected = (1, encoder.num_tokens, encoder.width)
    if not isinstance(tokens, torch.Tensor) or tuple(tokens.shape) != expected:
        found = list(tokens.shape) if isinstance(tokens, torch.Tensor) else type(tokens).__name__
        raise UserError(f"encoders.{encoder.modality}: encode gives {found} for one clip, expected {list(expected)}")
    return tokens[0]


def _truncated_seconds(media: Mapping[str, Any], encoders: Mapping[str, Encoder]) -> float:
    """How much of a clip's sound an encoder leaves out [s]."""
    lengths = [
        len(media[m]) / SAMPLING_RATE - encoder.seconds
        for m, encoder in encoders.items()
        if encoder.takes == "sound" and encoder.seconds is not None
    ]
    return max(0.0, *lengths, 0.0)


_worker: tuple[dict[str, Encoder], Mapping[str, Modality]]
"""Encoders of a worker process, and what is asked of them."""


def _start_worker(setup: EncoderSetup) -> None:
    """Load the encoders in a new process."""
    global _worker
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    _worker = setup.load(), setup.modalities


def _encode_in_worker(sources: Sources) -> Features | Skipped:
    return encode_clip(sources, *_worker)
