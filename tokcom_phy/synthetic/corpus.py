"""A synthetic tri-modal corpus on disk, as mp4 files and annotations in the formats of VALOR and MUSIC-AVQA."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tokcom_phy.files import write_atomically
from tokcom_phy.synthetic.picture import FRAME_RATE, frames
from tokcom_phy.synthetic.scene import Scene
from tokcom_phy.synthetic.sound import SAMPLE_RATE, waveform

_AUDIO_FRAME = 1024
_X264 = {"preset": "veryfast", "crf": "20", "x264-params": "threads=1:mbtree=0:rc-lookahead=0:bframes=0:weightp=0"}
"""Without look-ahead: with it, x264's choices are not the same in every run."""


def write_clip(path: Path, scene: Scene) -> None:
    """Write a scene as an mp4 file: H.264 video (MPEG-4 where no H.264 encoder is installed) and AAC audio.

    The file is written atomically, and is the same for the same scene and the same codecs.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    with write_atomically(path) as temporary:
        encode(str(temporary), frames(scene), waveform(scene))


def encode(target: str, video: np.ndarray | None, audio: np.ndarray | None) -> None:
    """Encode frames (uint8 [n, height, width, 3]) and sound (float32 [samples] at 16 kHz) into an mp4 file.

    Either may be None: the file then lacks that track.
    """
    with av.open(target, "w", format="mp4") as container:
        video_stream = audio_stream = None
        if video is not None:
            video_stream = container.add_stream(_video_codec(), rate=Fraction(FRAME_RATE).limit_denominator(100))
            video_stream.height, video_stream.width = video.shape[1:3]
            video_stream.pix_fmt = "yuv420p"
            video_stream.codec_context.thread_count = 1
            if video_stream.codec_context.name == "libx264":
                video_stream.options = _X264
            else:
                video_stream.bit_rate = 400_000
        if audio is not None:
            audio_stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            audio_stream.bit_rate = 64_000
            audio_stream.options = {"aac_coder": "fast"}
        if video_stream is not None:
            for index, image in enumerate(video):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts = index
                container.mux(video_stream.encode(frame))
            container.mux(video_stream.encode(None))
        if audio_stream is not None:
            for first in range(0, len(audio), _AUDIO_FRAME):
                frame = av.AudioFrame.from_ndarray(audio[None, first : first + _AUDIO_FRAME], "fltp", "mono")
                frame.sample_rate = SAMPLE_RATE
                frame.pts = first
                container.mux(audio_stream.encode(frame))
            container.mux(audio_stream.encode(None))


def _video_codec() -> str:
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"
