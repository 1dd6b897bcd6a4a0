"""Media of a clip: where its files are, and how they become a 16 kHz mono waveform and evenly sampled RGB frames."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import soundfile
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from tokcom_phy.data.formats import check_identifier
from tokcom_phy.utils.errors import MediaError

SAMPLING_RATE = 16_000  # [Hz]
SUFFIXES = (".mp4", ".webm", ".mkv", ".avi")
RAW_FOLDERS = (".", "videos", "video", "raw_videos")
AUDIO_FOLDER = "extraction/ast_audio"
FRAMES_FOLDER = "extraction/vivit_frames"


_Stream = TypeVar("_Stream", av.AudioStream, av.VideoStream)


@dataclass(frozen=True)
class ClipFiles:
    """Where a clip's sound and picture are.

    ``audio`` is a video file or an extracted ``ID.wav``; ``video`` is a video file or a folder of extracted frames;
    either is None if there is no such file.
    """

    audio: Path | None
    video: Path | None


@dataclass(frozen=True)
class Clip:
    """Decoded media.

    ``waveform`` is float32 [n] in [−1, 1], mono, 16 kHz; ``frames`` is uint8 [num_frames, height, width, 3], RGB.
    Either is None if it was not asked for.
    """

    waveform: NDArray[np.float32] | None
    frames: NDArray[np.uint8] | None


def find_clip(root: str | Path, video_id: str) -> ClipFiles | None:
    """Find the media of ``video_id`` in a dataset's folder; None if there is nothing.

    Each modality is taken from ``extraction/`` where that has it, else from a raw video file
    ``ID.mp4|webm|mkv|avi`` in the folder itself, in ``videos/``, ``video/`` or ``raw_videos/``.

    Raises
    ------
    UserError
        If ``video_id`` would leave the folder.
    """
    root = Path(root)
    check_identifier(video_id, str(root))
    audio = _existing(root / AUDIO_FOLDER / f"{video_id}.wav")
    frames = _existing(root / FRAMES_FOLDER / video_id)
    raw = None
    if audio is None or frames is None:
        candidates = (root / folder / f"{video_id}{suffix}" for folder in RAW_FOLDERS for suffix in SUFFIXES)
        raw = next((path for path in candidates if path.is_file()), None)
    files = ClipFiles(audio or raw, frames or raw)
    return files if files.audio or files.video else None


def list_clips(root: str | Path) -> list[str]:
    """Identifiers of all clips whose media lie in a dataset's folder, sorted."""
    root = Path(root)
    found = {path.stem for path in (root / AUDIO_FOLDER).glob("*.wav")}
    found |= {path.name for path in (root / FRAMES_FOLDER).glob("*") if path.is_dir()}
    for folder in RAW_FOLDERS:
        found |= {path.name[: -len(suffix)] for suffix in SUFFIXES for path in (root / folder).glob(f"*{suffix}")}
    return sorted(name for name in found if name and not name.startswith("."))


def read_clip(files: ClipFiles, *, audio: bool = True, num_frames: int | None = None, fps: float | None = None) -> Clip:
    """Read what is asked for of a clip: its sound if ``audio``, ``num_frames`` frames unless that is None.

    ``fps`` is the rule by which frames are taken, see `decode` and `read_frames`.

    Raises
    ------
    MediaError
        If the clip lacks what is asked for, or a file is empty, truncated or corrupt.
    """
    sound = picture = None
    if audio:
        sound = files.audio
        if sound is None:
            raise MediaError(f"{files.video}: no sound beside it, expected {AUDIO_FOLDER}/ID.wav or a video file")
    if num_frames is not None:
        picture = files.video
        if picture is None:
            raise MediaError(f"{files.audio}: no picture beside it, expected {FRAMES_FOLDER}/ID/ or a video file")
    if sound is not None and sound == picture:
        return decode(sound, num_frames=num_frames, fps=fps)
    waveform = frames = None
    if sound is not None:
        waveform = read_wav(sound) if sound.suffix == ".wav" else decode(sound).waveform
    if picture is not None and num_frames is not None:
        if picture.is_dir():
            frames = read_frames(picture, num_frames, fps)
        else:
            frames = decode(picture, audio=False, num_frames=num_frames, fps=fps).frames
    return Clip(waveform, frames)


def sample_indices(available: int, num_frames: int) -> list[int]:
    """Indices of ``num_frames`` frames sampled evenly from ``available``: the middle of each of ``num_frames`` parts.

    With fewer available than asked for, some repeat.
    """
    return [(2 * part + 1) * available // (2 * num_frames) for part in range(num_frames)]


def decode(path: str | Path, *, audio: bool = True, num_frames: int | None = None, fps: float | None = None) -> Clip:
    """Decode a video file with PyAV.

    Parameters
    ----------
    path : path
        Any container and codec that FFmpeg reads.
    audio : bool
        Whether to decode the sound; it is mixed to mono and resampled to 16 kHz.
    num_frames : int, optional
        How many frames to take, evenly in time: those on screen in the middle of each of ``num_frames`` parts of the
        clip, so that a variable frame rate does no harm; upright if the file says how it was rotated.
    fps : float, optional
        Take frames at this fixed rate [1/s] instead, those on screen in the middle of each period of 1/fps as FFmpeg's
        ``fps`` filter does: the first ``num_frames`` of them, the last one repeated if there are fewer. The paper's
        published code does so at 0.6.

    Raises
    ------
    MediaError
        If the file is missing, truncated or corrupt, or lacks a track that is asked for.
    """
    path = Path(path)
    with _opened(path) as container:
        packets = _packets(container, path, audio=audio, video=num_frames is not None)
        waveform = _waveform(packets[0], path) if audio else None
        frames = _frames(packets[-1], num_frames, fps, path) if num_frames is not None else None
    return Clip(waveform, frames)


def probe_clip(files: ClipFiles) -> None:
    """Look whether a clip's files are whole and start to decode, without decoding all of them.

    Raises
    ------
    MediaError
        What is missing or wrong.
    """
    if files.audio is None or files.video is None:
        read_clip(files, num_frames=1)
    elif files.audio == files.video:
        probe(files.audio)
    else:
        if files.audio.suffix == ".wav":
            read_wav(files.audio)
        else:
            probe(files.audio, video=False)
        if files.video.is_dir():
            read_frames(files.video, 1)
        else:
            probe(files.video, audio=False)


def probe(path: str | Path, *, audio: bool = True, video: bool = True) -> None:
    """Look whether a video file is whole and its tracks start to decode, without decoding all of them.

    Raises
    ------
    MediaError
        If the file is missing, truncated or corrupt, or lacks a track that is asked for.
    """
    path = Path(path)
    with _opened(path) as container:
        for packets in _packets(container, path, audio=audio, video=video):
            if next(_decoded(packets, path), None) is None:
                raise MediaError(f"{path}: the {packets[0].stream.type} track is empty")


def read_wav(path: str | Path) -> NDArray[np.float32]:
    """Read an extracted WAV file, 16 kHz mono.

    Returns
    -------
    float32 [n], in [−1, 1]

    Raises
    ------
    MediaError
        If it is missing, corrupt, empty, or of another rate or number of channels.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise MediaError(f"{path}: cannot be read as WAV, it may be truncated or corrupt") from error
    if rate != SAMPLING_RATE or samples.shape[1] != 1:
        raise MediaError(f"{path}: {rate} Hz with {samples.shape[1]} channels, expected {SAMPLING_RATE} Hz mono")
    if not len(samples):
        raise MediaError(f"{path}: the audio is empty")
    return samples[:, 0]


def read_frames(folder: str | Path, num_frames: int, fps: float | None = None) -> NDArray[np.uint8]:
    """Read ``num_frames`` frames of a folder of extracted frames, ``frame_0001.png|jpg`` and on.

    They are sampled evenly; with ``fps``, at which they were extracted then, they are the first ones, the last one
    repeated if there are fewer.

    Returns
    -------
    uint8 [num_frames, height, width, 3], RGB

    Raises
    ------
    MediaError
        If there are no frames, one is corrupt, or their sizes differ.
    """
    paths = frame_paths(folder)
    if not paths:
        raise MediaError(f"{folder}: no frames, expected frame_0001.png or frame_0001.jpg and on")
    chosen = [min(i, len(paths) - 1) for i in range(num_frames)] if fps else sample_indices(len(paths), num_frames)
    images: dict[int, NDArray[np.uint8]] = {}
    for index in sorted(set(chosen)):
        try:
            with Image.open(paths[index]) as image:
                images[index] = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise MediaError(f"{paths[index]}: cannot be read as an image, it may be corrupt") from error
    if len({image.shape for image in images.values()}) > 1:
        raise MediaError(f"{folder}: frames of different sizes, extract them again")
    return np.stack([images[index] for index in chosen])


def frame_paths(folder: str | Path) -> list[Path]:
    """The extracted frames in a folder, in order."""
    return sorted(path for path in Path(folder).glob("frame_*") if path.suffix in (".png", ".jpg"))


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _track(streams: Sequence[_Stream], kind: str, path: Path) -> _Stream:
    if not streams:
        raise MediaError(f"{path}: no {kind} track")
    streams[0].codec_context.thread_type = "NONE"
    return streams[0]


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a video file, and say of anything that goes wrong with it which file it is."""
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, ValueError) as error:
        reason = error.strerror if isinstance(error, av.FFmpegError) else error
        raise MediaError(f"{path}: cannot be decoded ({reason}), it may be truncated or corrupt") from error


def _packets(container: av.container.InputContainer, path: Path, *, audio: bool, video: bool) -> list[list[av.Packet]]:
    """All packets of the first track of each kind that is asked for.

    Raises
    ------
    MediaError
        If there is no such track, or more than a tenth of the packets that the file declares, and more than one,
        are not there.
    """
    tracks: list[av.AudioStream | av.VideoStream] = []
    if audio:
        tracks.append(_track(container.streams.audio, "audio", path))
    if video:
        tracks.append(_track(container.streams.video, "video", path))
    packets: dict[int, list[av.Packet]] = {track.index: [] for track in tracks}
    for packet in container.demux(tracks):
        packets[packet.stream.index].append(packet)
    for track in tracks:
        present = sum(packet.size > 0 for packet in packets[track.index])
        if track.frames - present > max(track.frames / 10, 1):  # AVI files count one more than there are
            raise MediaError(f"{path}: truncated, only {present} of {track.frames} {track.type} packets are there")
    if not any(track.frames for track in tracks) and container.duration:
        ends = [float(_time(packet) * packet.time_base) for packet in chain(*packets.values()) if packet.size]
        if 2 * max(ends, default=0) < container.duration / av.time_base:
            raise MediaError(f"{path}: truncated, less than half of {container.duration / av.time_base:.1f} s is there")
    return [packets[track.index] for track in tracks]


def _decoded(packets: list[av.Packet], path: Path) -> Iterator[Any]:
    """The frames of a track, passing over a few broken packets.

    Raises
    ------
    MediaError
        If more than a tenth of the packets cannot be decoded.
    """
    broken = 0
    for packet in packets:
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            broken += 1
    if 10 * broken > len(packets):
        raise MediaError(f"{path}: corrupt, {broken} of {len(packets)} {packets[0].stream.type} packets do not decode")


def _waveform(packets: list[av.Packet], path: Path) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLING_RATE)
    pieces = [out.to_ndarray()[0] for frame in _decoded(packets, path) for out in resampler.resample(frame)]
    if pieces:
        pieces += [out.to_ndarray()[0] for out in resampler.resample(None)]
    if not sum(map(len, pieces)):
        raise MediaError(f"{path}: the audio track is empty")
    return np.concatenate(pieces)


def _frames(packets: list[av.Packet], num_frames: int, fps: float | None, path: Path) -> NDArray[np.uint8]:
    moments = _moments(packets, num_frames, fps)
    reformatter = VideoReformatter()
    taken: list[NDArray[np.uint8]] = []
    shown: av.VideoFrame | None = None
    for frame in _decoded(packets, path):
        while shown is not None and len(taken) < num_frames and _time(frame) > moments[len(taken)]:
            taken.append(_upright(shown, taken, reformatter))
        shown = frame
    if shown is None:
        raise MediaError(f"{path}: the video track is empty")
    while len(taken) < num_frames:
        taken.append(_upright(shown, taken, reformatter))
    return np.stack(taken)


def _moments(packets: list[av.Packet], num_frames: int, fps: float | None) -> list[int]:
    """The middles of ``num_frames`` equal parts of the track, or of periods of 1/``fps``, in its time base."""
    times = sorted(_time(packet) for packet in packets if packet.size)
    if not times:
        return [0] * num_frames
    gaps = np.diff(times) if len(times) > 1 else [packets[0].duration or 1]
    length = times[-1] - times[0] + int(np.median(gaps))
    if fps:
        period = 1 / (Fraction(fps).limit_denominator(10**6) * packets[0].time_base)
        last = max(math.floor(length / period + Fraction(1, 2)), 1) - 1
        return [times[0] + math.ceil((min(part, last) + Fraction(1, 2)) * period) - 1 for part in range(num_frames)]
    return [times[0] + offset for offset in sample_indices(length, num_frames)]


def _time(item: av.Packet | av.VideoFrame) -> int:
    """When a packet or frame is shown, in the time base of its track."""
    return next((time for time in (item.pts, item.dts) if time is not None), 0)


def _upright(frame: av.VideoFrame, taken: list[NDArray[np.uint8]], reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """RGB, turned as the file says, and of the size of the frames that were taken before."""
    turns = round(frame.rotation / 90)
    height, width = (taken[0].shape[:2] if turns % 2 == 0 else taken[0].shape[1::-1]) if taken else (None, None)
    pixels = reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, turns))
