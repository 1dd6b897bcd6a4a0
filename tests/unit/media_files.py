"""Small media files that tests write: what a phone, a camera, an extraction script or a bad disk leaves behind."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np


def tone(frequency: float, seconds: float, rate: int = 16_000) -> np.ndarray:
    """A sine of amplitude 0.5, float32 [n]."""
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def grey_frames(count: int, height: int = 96, width: int = 96) -> np.ndarray:
    """Frames whose brightness rises from 16 to 240, uint8 [count, height, width, 3]."""
    levels = np.linspace(16, 240, count).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def write_video(
    path: Path,
    *,
    frames: np.ndarray | None = None,
    times: list[int] | None = None,
    frame_rate: Fraction = Fraction(25, 4),
    waveform: np.ndarray | None = None,
    rate: int = 16_000,
    layout: str = "mono",
    codecs: tuple[str, str] = ("libx264", "aac"),
    options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Write uint8 frames [n, height, width, 3] and a float32 waveform [samples] or [channels, samples]; either may be
    left out. ``times`` [frame periods] makes the frame rate vary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format, options=options or {}) as container:
        picture = sound = None
        if frames is not None:
            picture = cast(av.VideoStream, container.add_stream(codecs[0], rate=frame_rate))
            picture.height, picture.width, picture.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        if waveform is not None:
            sound = cast(av.AudioStream, container.add_stream(codecs[1], rate=rate, layout=layout))
        if picture is not None and frames is not None:
            for index, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = times[index] if times else index
                frame.time_base = 1 / frame_rate
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        if sound is not None and waveform is not None:
            packed = np.ascontiguousarray(np.atleast_2d(waveform).T).reshape(1, -1)
            block = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            block.sample_rate, block.pts = rate, 0
            container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


def write_clip(path: Path, seconds: float = 5.12, frequency: float = 440) -> Path:
    """An ordinary clip: a tone and frames that grow brighter."""
    return write_video(path, frames=grey_frames(round(seconds * 6.25)), waveform=tone(frequency, seconds))


def rotate(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Turn a video as phones do: by the display matrix ``a b c d`` (quarter turns) in the mp4's track header."""
    data = bytearray(path.read_bytes())
    upright = b"".join(value.to_bytes(4, "big") for value in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    a, b, c, d = matrix
    turned = b"".join(
        (value * 0x10000).to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0)
    ) + 0x40000000.to_bytes(4, "big")
    start = data.index(upright, data.index(b"tkhd"))
    data[start : start + len(upright)] = turned
    path.write_bytes(data)
    return path


def packets_of(
    frames: np.ndarray, codec: str, rate: int, container: av.container.OutputContainer, b_frames: int = 0
) -> list[av.Packet]:
    """Add a video stream and encode frames for it; the caller may move or hold packets before it muxes them."""
    stream = cast(av.VideoStream, container.add_stream(codec, rate=rate))
    stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
    stream.codec_context.max_b_frames = b_frames
    packets = []
    for index, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, rate)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def write_held(path: Path, frames: np.ndarray, seconds: float, codec: str = "mpeg4") -> Path:
    """Frames at 10 a second, the last of them held until ``seconds``."""
    with av.open(str(path), "w") as container:
        packets = packets_of(frames, codec, 10, container)
        held = seconds - (len(frames) - 1) / 10
        packets[-1].duration = round(held / packets[-1].time_base)
        for packet in packets:
            container.mux(packet)
    return path


def trim(source: Path, path: Path, start: float) -> Path:
    """Copy a file's streams from ``start`` [s] on, as a phone trims a video: nothing is encoded again, and an edit
    list hides what lies before."""
    with av.open(str(source)) as container, av.open(str(path), "w") as trimmed:
        streams = {stream.index: trimmed.add_stream_from_template(stream) for stream in container.streams}
        for packet in container.demux():
            if packet.pts is None or packet.dts is None:
                continue
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = streams[packet.stream.index]
            trimmed.mux(packet)
    return path


def write_late_video(
    path: Path, frames: np.ndarray, rate: int, delay: float, waveform: np.ndarray, b_frames: int = 0
) -> Path:
    """Sound from 0 s, pictures from ``delay`` [s] on."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        packets = packets_of(frames, "mpeg4", rate, container, b_frames)
        block = av.AudioFrame.from_ndarray(np.atleast_2d(waveform), format="fltp", layout="mono")
        block.sample_rate, block.pts = 16_000, 0
        packets_of_sound = [*sound.encode(block), *sound.encode(None)]
        container.start_encoding()
        for packet in packets:
            shift = round(delay / packet.time_base)
            packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
        for packet in sorted([*packets, *packets_of_sound], key=lambda p: float((p.dts or 0) * p.time_base)):
            container.mux(packet)
    return path


def filtered(path: Path, rate: str) -> np.ndarray:
    """Frames, uint8 [frames, height, width, 3], that FFmpeg's ``fps`` filter makes of a video, with times from the zero
    of the file, as ``ffmpeg -i`` counts them; the paper's published code extracts frames so."""
    graph = av.filter.Graph()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        source, rule, sink = graph.add_buffer(template=stream), graph.add("fps", rate), graph.add("buffersink")
        source.link_to(rule)
        rule.link_to(sink)
        graph.configure()
        zero = Fraction(container.start_time or 0, av.time_base)
        frames = []
        for frame in [*container.decode(stream), None]:
            if frame is not None:
                assert frame.pts is not None
                assert frame.time_base is not None
                frame.pts -= round(zero / frame.time_base)
            source.push(frame)
            while True:
                try:
                    frames.append(cast(av.VideoFrame, sink.pull()).to_ndarray(format="rgb24"))
                except (av.BlockingIOError, av.EOFError):
                    break
    return np.stack(frames)
