"""Video files, decoded with PyAV: a 16 kHz mono waveform and RGB frames at chosen times.

What a file may take of memory is bounded before it is taken, see `MAX_PIXELS`, `FRAME_PIXELS` and `MAX_SECONDS`; what
it may make libav open is the file itself, see `CONTAINERS`.
"""

import math
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from tokcom_phy.utils.errors import MediaError, UserError, reason

SAMPLING_RATE = 16_000  # [Hz]

MAX_SECONDS = 3_600
"""Longest sound of a clip [s]: 230 MB as float32 at 16 kHz."""

MAX_PIXELS = 2**25
"""Largest picture that is decoded, 8K: 0.1 GB as RGB, and 0.9 GB if a decoder keeps all 17 that a codec allows."""

FRAME_PIXELS = 2**21
"""Largest frame that is kept, 1,920 × 1,080; a larger one is reduced to it. 32 of them are 0.2 GB."""

MAX_TRACKS = 64
MAX_CHANNELS = 64
MIN_RATE = 1_000
"""Slowest sampling of a sound track [Hz]."""

CONTAINERS = "mov,matroska,avi,ogg,flv,live_flv,mpegts,mpeg,asf,mxf,dv,rm"
"""libav's names of the formats that are opened: none of them is a list that names other files."""


@dataclass(frozen=True)
class Clip:
    """Decoded media.

    ``waveform`` is float32 [n] in [−1, 1], mono, 16 kHz; ``frames`` is uint8 [num_frames, height, width, 3], RGB.
    Either is None if it was not asked for.
    """

    waveform: NDArray[np.float32] | None
    frames: NDArray[np.uint8] | None


@dataclass(frozen=True)
class _Track:
    """What the packets of a track tell before any is decoded; times in its time base.

    Attributes
    ----------
    index : which of the container's streams it is
    packets : how many there are
    times : int64 [displayed packets], rising, when each is shown; those that an edit list hides are not among them
    end : when the last one is over
    time_base : [s]
    zero : time zero of the file
    """

    index: int
    packets: int
    times: NDArray[np.int64]
    end: int
    time_base: Fraction
    zero: Fraction


def decode(path: str | Path, *, audio: bool = True, num_frames: int | None = None, fps: float | None = None) -> Clip:
    """Decode a video file with PyAV.

    Parameters
    ----------
    path : path
        A container of `CONTAINERS` with any codecs that FFmpeg reads.
    audio : bool
        Whether to decode the sound; it becomes the mean of its channels, resampled to 16 kHz.
    num_frames : int, optional
        How many frames to take, evenly in time: those on screen in the middle of each of ``num_frames`` parts of the
        track, so that a variable frame rate does no harm; upright if the file says how it was rotated. The track lasts
        from its first displayed frame to the end of its last one.
    fps : float, optional
        Take frames at this fixed rate [1/s] instead, as FFmpeg's ``fps`` filter does: those on screen in the middle of
        each period of 1/fps from time zero of the file; the first ``num_frames`` of them, the last one repeated if
        there are fewer. The paper's published code does so at 0.6.

    Raises
    ------
    MediaError
        If the file is missing, truncated or corrupt, lacks a track that is asked for, or would take more memory than
        is allowed.
    """
    path = Path(path)
    with _errors_named(path):
        tracks = _survey(path, audio=audio, video=num_frames is not None)
        waveform = _waveform(path, tracks[0]) if audio else None
        frames = _frames(path, tracks[-1], num_frames, fps) if num_frames is not None else None
    return Clip(waveform, frames)


def probe(path: str | Path, *, audio: bool = True, video: bool = True) -> tuple[float, int]:
    """Look whether a video file is whole and its tracks start to decode, without decoding all of them.

    Returns
    -------
    (float, int)
        Length of the sound [s], and samples at 16 kHz of as much of it as it takes to see that it is longer than a
        tenth of a second; both 0 without ``audio``.

    Raises
    ------
    MediaError
        As `decode` does.
    """
    path = Path(path)
    seconds, samples = 0.0, 0
    with _errors_named(path):
        tracks = _survey(path, audio=audio, video=video)
        if audio:
            seconds = float((tracks[0].end - tracks[0].times[0]) * tracks[0].time_base) if len(tracks[0].times) else 0.0
            for piece in _mono(path, tracks[0]):
                samples += len(piece)
                if samples > SAMPLING_RATE // 10:
                    break
            if not samples:
                raise MediaError(f"{path}: the audio track is empty")
        if video and next(_decoded(path, tracks[-1]), None) is None:
            raise MediaError(f"{path}: the video track is empty")
    return seconds, samples


def sample_indices(available: int, num_frames: int) -> list[int]:
    """Indices of ``num_frames`` frames sampled evenly from ``available``: the middle of each of ``num_frames`` parts.

    With fewer available than asked for, some repeat.
    """
    return [(2 * part + 1) * available // (2 * num_frames) for part in range(num_frames)]


def reduced_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a picture that keeps at most `FRAME_PIXELS`, of the same shape."""
    scale = min(1.0, math.sqrt(FRAME_PIXELS / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def check_pixels(width: int, height: int, path: Path) -> None:
    """Refuse a picture that is too large to decode.

    Raises
    ------
    MediaError
        If it has more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise too_large(f"{width} × {height}", path)


def too_large(size: str, path: Path) -> MediaError:
    """What to tell of a picture that is too large to decode."""
    return MediaError(f"{path}: pictures of {size}, more than the {MAX_PIXELS / 1e6:.1f} Mpixel of 8K")


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes PyAV raise becomes a line that names the file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = error.strerror if isinstance(error, av.FFmpegError) else reason(error)
        raise MediaError(f"{path}: cannot be decoded ({said}), it may be truncated or corrupt") from error


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    if not path.is_file():
        raise MediaError(f"{path}: no such file")
    allowed = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    bounds = [{"max_pixels": str(MAX_PIXELS)}] * MAX_TRACKS  # opening decodes a first picture of some codecs
    try:
        opened = av.open(str(path), options=allowed, stream_options=bounds)  # type: ignore[arg-type]
    except ValueError:  # a format that names its tracks later
        opened = av.open(str(path), options=allowed)
    with opened as container:
        if len(container.streams) > MAX_TRACKS:
            raise MediaError(f"{path}: {len(container.streams)} tracks are no clip")
        yield container


def _survey(path: Path, *, audio: bool, video: bool) -> list[_Track]:
    """The first track of each kind that is asked for, after a look at all packets.

    Raises
    ------
    MediaError
        If there is no such track, its codec is unknown, its pictures are too large, or it is truncated.
    """
    with _opened(path) as container:
        streams: list[av.AudioStream | av.VideoStream] = []
        if audio:
            streams.append(_first(container, "audio", path))
        if video:
            streams.append(_first(container, "video", path))
        packets = {stream.index: 0 for stream in streams}
        shown = {stream.index: (array("q"), array("q")) for stream in streams}
        latest = 0.0  # of all tracks [s]
        for packet in container.demux():
            if not packet.size:
                continue
            time, duration = _time(packet), packet.duration or 0
            latest = max(latest, float((time + duration) * packet.time_base))
            index = packet.stream.index
            if index in packets:
                packets[index] += 1
                if not packet.is_discard:
                    shown[index][0].append(time)
                    shown[index][1].append(duration)
        file = Fraction(container.start_time or 0, av.time_base)
        tracks = []
        for stream in streams:
            time_base = Fraction(stream.time_base or 1)
            times, end, step = _span(*map(np.array, shown[stream.index]))
            if container.format.name == "avi" and _is_whole_riff(path):
                end = max(end, stream.frames)  # empty packets, which hold the last picture, are not read
            tracks.append(_Track(stream.index, packets[stream.index], times, end, time_base, file / time_base))
            _check_whole(stream, times, end, step, path)
        declared = container.duration
        if declared and not any(_declared(stream) for stream in streams) and 2 * latest < declared / av.time_base:
            raise MediaError(f"{path}: truncated, less than half of {declared / av.time_base:.1f} s is there")
    return tracks


def _first(container: av.container.InputContainer, kind: str, path: Path) -> av.AudioStream | av.VideoStream:
    found = [stream for stream in container.streams if stream.type == kind]
    streams = [stream for stream in found if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError(f"{path}: no {kind} track" + (", only a cover picture" if found else ""))
    stream = streams[0]
    if stream.codec_context is None:
        raise MediaError(f"{path}: the {kind} track is of a codec that FFmpeg does not know")
    assert isinstance(stream, av.AudioStream | av.VideoStream)
    if isinstance(stream, av.VideoStream):
        check_pixels(stream.codec_context.width, stream.codec_context.height, path)
    return stream


def _span(times: NDArray[np.int64], durations: NDArray[np.int64]) -> tuple[NDArray[np.int64], int, int]:
    """Times of packets in the order in which they are shown, when the last one is over, and how long one usually is.

    The last one lasts as long as it says, else as long as others.
    """
    if not len(times):
        return times, 0, 0
    order = np.argsort(times, kind="stable")
    times, durations = times[order], durations[order]
    step = int(np.median(np.diff(times))) if len(times) > 1 else int(durations[0] or 1)
    return times, int(times[-1]) + int(durations[-1] or step), step


def _declared(stream: av.AudioStream | av.VideoStream) -> Fraction | None:
    """How long a track says it is [s]: in its own header, or in Matroska's tag, which counts from time zero.

    AVI's header counts in units of the time base; the duration that libav tells is cut to the size of the file.
    """
    if stream.container.format.name == "avi" and stream.time_base:
        return stream.frames * Fraction(stream.time_base)
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return 3600 * int(tag[1]) + 60 * int(tag[2]) + Fraction(tag[3]) if tag else None


def _is_whole_riff(path: Path) -> bool:
    """Whether an AVI file ends where its header says."""
    with path.open("rb") as file:
        return 8 + int.from_bytes(file.read(8)[4:], "little") == path.stat().st_size


def _check_whole(
    stream: av.AudioStream | av.VideoStream, times: NDArray[np.int64], end: int, step: int, path: Path
) -> None:
    """A track that lacks more than a tenth of the time that it declares, and more than two packets, is truncated."""
    declared, time_base = _declared(stream), Fraction(stream.time_base or 1)
    if not declared:
        return
    counts_from_first = stream.duration and stream.container.format.name != "avi"
    first = int(times[0]) if len(times) and counts_from_first else 0
    present = (end - first) * time_base
    if declared - present > max(declared / 10, 2 * step * time_base):
        raise MediaError(
            f"{path}: truncated, only {float(present):.1f} of {float(declared):.1f} s of {stream.type} are there"
        )


def _decoded(path: Path, track: _Track) -> Iterator[Any]:
    """The frames of a track that are displayed, passing over a few broken packets.

    Raises
    ------
    MediaError
        If more than a tenth of the packets cannot be decoded.
    """
    broken = 0
    with _opened(path) as container:
        stream = container.streams[track.index]
        assert isinstance(stream, av.AudioStream | av.VideoStream)
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.InvalidDataError:
                broken += 1
        if 10 * broken > track.packets:
            raise MediaError(f"{path}: corrupt, {broken} of {track.packets} {stream.type} packets do not decode")


def _waveform(path: Path, track: _Track) -> NDArray[np.float32]:
    pieces, samples = [], 0
    for piece in _mono(path, track):
        pieces.append(piece)
        samples += len(piece)
        if samples > MAX_SECONDS * SAMPLING_RATE:
            raise MediaError(f"{path}: more than {MAX_SECONDS // 60} minutes of sound: cut it")
    if not samples:
        raise MediaError(f"{path}: the audio track is empty")
    return np.clip(np.concatenate(pieces), -1, 1)


def _mono(path: Path, track: _Track) -> Iterator[NDArray[np.float32]]:
    """The mean of all channels at 16 kHz, in pieces: float32 [n] each.

    Layout and rate may change on the way, as in a broadcast; what lies between two changes is resampled by itself.
    """
    for _, frames in groupby(_sound(path, track), lambda frame: (frame.format.name, frame.layout.name, frame.rate)):
        for piece in _resampled(frames):
            if not np.isfinite(piece).all():
                raise MediaError(f"{path}: the sound is not finite numbers")
            yield piece


def _sound(path: Path, track: _Track) -> Iterator[av.AudioFrame]:
    """The decoded frames of a sound track, each of a bounded size."""
    for frame in _decoded(path, track):
        channels, rate = frame.layout.nb_channels, frame.rate
        if channels > MAX_CHANNELS or rate < MIN_RATE or frame.samples > MAX_SECONDS * rate:
            raise MediaError(f"{path}: {frame.samples} samples of {channels} channels at {rate} Hz are no sound track")
        yield frame


def _resampled(frames: Iterator[av.AudioFrame]) -> Iterator[NDArray[np.float32]]:
    """The mean of all channels of frames of one layout and rate, at 16 kHz."""
    packed = av.AudioResampler(format="flt")  # PyAV cannot read more than eight channels that lie apart
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLING_RATE)
    for frame in frames:
        for mono in [frame] if frame.layout.nb_channels == 1 else map(_mean, packed.resample(frame)):
            yield from (out.to_ndarray()[0] for out in resampler.resample(mono))
    yield from (out.to_ndarray()[0] for out in resampler.resample(None))


def _mean(frame: av.AudioFrame) -> av.AudioFrame:
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    mono = av.AudioFrame.from_ndarray(samples.mean(axis=1, dtype=np.float32)[None], "fltp", "mono")
    mono.sample_rate, mono.pts, mono.time_base = frame.sample_rate, frame.pts, frame.time_base
    return mono


def _frames(path: Path, track: _Track, num_frames: int, fps: float | None) -> NDArray[np.uint8]:
    moments = _moments(track, num_frames, fps)
    reformatter = VideoReformatter()
    taken: list[NDArray[np.uint8]] = []
    shown: av.VideoFrame | None = None
    for frame in _decoded(path, track):
        while shown is not None and len(taken) < num_frames and _time(frame) > moments[len(taken)]:
            taken.append(_upright(shown, taken, reformatter))
        shown = frame
    if shown is None:
        raise MediaError(f"{path}: the video track is empty")
    while len(taken) < num_frames:
        taken.append(_upright(shown, taken, reformatter))
    return np.stack(taken)


def _moments(track: _Track, num_frames: int, fps: float | None) -> list[int]:
    """The middles of ``num_frames`` equal parts of the track, or of periods of 1/``fps`` of the file, in its time
    base."""
    if not len(track.times):
        return [0] * num_frames
    start = int(track.times[0])
    if fps is None:
        return [start + offset for offset in sample_indices(track.end - start, num_frames)]
    period = 1 / (Fraction(fps).limit_denominator(10**6) * track.time_base)
    first, after = (math.floor((time - track.zero) / period + Fraction(1, 2)) for time in (start, track.end))
    last = max(after - 1, first)
    periods = [min(first + part, last) for part in range(num_frames)]
    return [math.ceil(track.zero + (number + Fraction(1, 2)) * period) - 1 for number in periods]


def _time(item: av.Packet | av.VideoFrame) -> int:
    """When a packet or frame is shown, in the time base of its track."""
    return next((time for time in (item.pts, item.dts) if time is not None), 0)


def _upright(frame: av.VideoFrame, taken: list[NDArray[np.uint8]], reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """RGB, turned as the file says, and of the size of the frames that were taken before."""
    turns = round(frame.rotation / 90)
    if taken:
        height, width = taken[0].shape[:2] if turns % 2 == 0 else taken[0].shape[1::-1]
    else:
        width, height = reduced_size(frame.width, frame.height)
    pixels = reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, turns))
