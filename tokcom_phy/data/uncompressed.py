"""How large the pictures and sound of a video file are without compression."""

from pathlib import Path

import av

from tokcom_phy.utils.errors import MediaError

BITS_PER_PIXEL, BITS_PER_SAMPLE = 24, 16


def uncompressed_bits(path: Path) -> float:
    """Size of a file's first video and audio stream, by the lengths and rates that it declares.

    Raises
    ------
    MediaError
        If the file cannot be opened.
    """
    try:
        with av.open(str(path)) as container:
            seconds = (container.duration or 0) / av.time_base
            pixels = [
                stream.width * stream.height * (stream.frames or seconds * float(stream.average_rate or 0))
                for stream in container.streams.video[:1]
            ]
            samples = [seconds * stream.rate * stream.channels for stream in container.streams.audio[:1]]
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: cannot be opened: check the file with tokcom data check") from error
    return BITS_PER_PIXEL * sum(pixels) + BITS_PER_SAMPLE * sum(samples)
