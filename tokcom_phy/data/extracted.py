"""Extracted media of a clip: ``ID.wav`` at 16 kHz mono, and a folder of frames ``frame_0001.png|jpg`` and on."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from tokcom_phy.data.decoding import MAX_SECONDS, SAMPLING_RATE, check_pixels, reduced_size, sample_indices, too_large
from tokcom_phy.utils.errors import MediaError

IMAGES = ("PNG", "JPEG")
"""Pillow's names of the formats that are opened, whatever a file is called: others may start programs."""

WAVES = ("WAV", "WAVEX", "RF64")
"""libsndfile's names of the formats that are opened."""

_FRAME = re.compile(r"frame_(\d{1,18})\.(png|jpe?g)", re.IGNORECASE)
_BLOCK = 60 * SAMPLING_RATE


def read_wav(path: str | Path) -> NDArray[np.float32]:
    """Read an extracted WAV file, 16 kHz mono.

    Returns
    -------
    float32 [n], in [−1, 1]

    Raises
    ------
    MediaError
        If it is missing, corrupt, empty, not finite, longer than `MAX_SECONDS`, or of another format, rate or number of
        channels.
    """
    try:
        with soundfile.SoundFile(path) as file:
            kind, rate, channels = file.format, file.samplerate, file.channels
            if kind not in WAVES:
                raise MediaError(f"{path}: a {kind} file, expected WAV")
            if rate != SAMPLING_RATE or channels != 1:
                raise MediaError(f"{path}: {rate} Hz with {channels} channels, expected {SAMPLING_RATE} Hz mono")
            blocks, samples = [], 0
            while len(block := file.read(_BLOCK, dtype="float32")):
                blocks.append(block)
                samples += len(block)
                if samples > MAX_SECONDS * SAMPLING_RATE:
                    raise MediaError(f"{path}: more than {MAX_SECONDS // 60} minutes of sound: cut it")
    except MediaError:
        raise
    except Exception as error:  # whatever a damaged file makes soundfile raise
        raise MediaError(f"{path}: cannot be read as WAV, it may be truncated or corrupt") from error
    if not samples:
        raise MediaError(f"{path}: the audio is empty")
    sound = np.concatenate(blocks)
    if not np.isfinite(sound).all():
        raise MediaError(f"{path}: the sound is not finite numbers")
    return np.clip(sound, -1, 1)


def read_frames(folder: str | Path, num_frames: int, fps: float | None = None) -> NDArray[np.uint8]:
    """Read ``num_frames`` frames of a folder of extracted frames, ``frame_0001.png|jpg`` and on.

    They are sampled evenly; with ``fps``, at which they were extracted then, they are the first ones, the last one
    repeated if there are fewer. Frames of more than `FRAME_PIXELS` are reduced to that.

    Returns
    -------
    uint8 [num_frames, height, width, 3], RGB

    Raises
    ------
    MediaError
        If there are no frames, two have the same number, one is corrupt or too large, or their sizes differ.
    """
    paths = _numbered(folder)
    chosen = [min(i, len(paths) - 1) for i in range(num_frames)] if fps else sample_indices(len(paths), num_frames)
    images = {index: _read_image(paths[index]) for index in sorted(set(chosen))}
    if len({image.shape for image in images.values()}) > 1:
        raise MediaError(f"{folder}: frames of different sizes, extract them again")
    return np.stack([images[index] for index in chosen])


def probe_frames(folder: str | Path) -> None:
    """Look whether extracted frames can be used, without decoding more than one of them.

    Raises
    ------
    MediaError
        As `read_frames` would for any number of frames.
    """
    paths = _numbered(folder)
    sizes = set()
    for path in paths:
        with _opened(path) as image:
            sizes.add(image.size)
    if len(sizes) > 1:
        raise MediaError(f"{folder}: frames of different sizes, extract them again")
    _read_image(paths[0])


def frame_paths(folder: str | Path) -> list[Path]:
    """The extracted frames in a folder, in order of their numbers."""
    return sorted((path for path in Path(folder).glob("frame_*") if _FRAME.fullmatch(path.name)), key=_order)


def missing_frames(folder: str | Path) -> tuple[int, int]:
    """How many frames are missing between the first, number 1, and the last, and the number of the first of them."""
    numbers = sorted({_number(path) for path in frame_paths(folder)} - {0})
    first = next((expected for expected, number in enumerate(numbers, 1) if number != expected), 0)
    return (numbers[-1] - len(numbers) if numbers else 0), first


def _number(path: Path) -> int:
    found = _FRAME.fullmatch(path.name)
    assert found is not None
    return int(found[1])


def _order(path: Path) -> tuple[int, str]:
    return _number(path), path.name


def _numbered(folder: str | Path) -> list[Path]:
    """The frames in a folder, each with a number of its own."""
    paths = frame_paths(folder)
    if not paths:
        raise MediaError(f"{folder}: no frames, expected frame_0001.png or frame_0001.jpg and on")
    number, count = Counter(map(_number, paths)).most_common(1)[0]
    if count > 1:
        same = ", ".join(path.name for path in paths if _number(path) == number)
        raise MediaError(f"{folder}: {same} have the same number, keep one of them")
    return paths


def _read_image(path: Path) -> NDArray[np.uint8]:
    """RGB, uint8 [height, width, 3]."""
    with _opened(path) as image:
        pixels = image.convert("RGB")
        size = reduced_size(*image.size)
        return np.asarray(pixels if size == image.size else pixels.resize(size, Image.Resampling.BOX))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image, of which so far only the size is known."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_pixels` is stricter
            with Image.open(path, formats=IMAGES) as image:
                check_pixels(*image.size, path)
                yield image
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large("enormous size", path) from error
    except Exception as error:  # whatever a damaged file makes Pillow raise
        raise MediaError(f"{path}: cannot be read as a PNG or JPEG image, it may be corrupt") from error
