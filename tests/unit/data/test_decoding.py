"""Video files as cameras, phones and editors write them: what is shown and heard is what is read, and no file takes
more memory than is allowed."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media_files import filtered, grey_frames, tone, trim, write_clip, write_held, write_late_video, write_video

from tokcom_phy.data import decoding
from tokcom_phy.data.decoding import decode, probe
from tokcom_phy.data.extracted import read_wav
from tokcom_phy.utils.errors import MediaError


def brightness(frames: np.ndarray | None) -> np.ndarray:
    assert frames is not None
    return frames.mean(axis=(1, 2, 3))


def sound(path: Path) -> np.ndarray:
    waveform = decode(path).waveform
    assert waveform is not None
    return waveform


@pytest.mark.parametrize("gop", [250, 25])
def test_frames_that_an_edit_list_hides_are_not_sampled(tmp_path: Path, gop: int) -> None:
    """The first 7 of 10 s are hidden; with a keyframe in the hidden part and without."""
    source = tmp_path / "whole.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": str(gop)})
        stream.height = stream.width = 96
        stream.pix_fmt = "yuv420p"
        for index, pixels in enumerate(grey_frames(250)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = trim(source, tmp_path / "trimmed.mp4", 7.0)
    shown = brightness(decode(path, audio=False, num_frames=10).frames)
    middles = 175 + decoding.sample_indices(75, 10)[0] + 7.5 * np.arange(10)
    np.testing.assert_allclose(shown, np.interp(middles, [0, 249], [16, 240]), atol=3)
    assert probe(path, audio=False) == (0.0, 0)


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mp4", ".mkv"])
def test_sound_without_compression_is_whole(tmp_path: Path, suffix: str) -> None:
    path = write_video(
        tmp_path / f"a{suffix}",
        frames=grey_frames(18),
        waveform=tone(440, 3, 48_000),
        rate=48_000,
        codecs=("mpeg4", "pcm_s16le"),
    )
    waveform = sound(path)
    assert len(waveform) == pytest.approx(48_000, abs=20)
    np.testing.assert_allclose(waveform[1_000:47_000], tone(440, 3)[1_000:47_000], atol=2e-3)


@pytest.mark.parametrize("longer", ["video", "audio"])
def test_a_track_may_be_shorter_than_its_file(tmp_path: Path, longer: str) -> None:
    seconds = {"video": 3.04, "audio": 3.0, longer: 10.08}
    path = write_video(
        tmp_path / "a.mkv",
        frames=grey_frames(round(seconds["video"] * 6.25)),
        waveform=tone(440, seconds["audio"]),
        codecs=("mpeg4", "aac"),
    )
    assert len(sound(path)) == pytest.approx(16_000 * seconds["audio"], abs=2_100)
    assert len(brightness(decode(path, audio=False, num_frames=4).frames)) == 4


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
def test_the_last_frame_lasts_as_long_as_it_says(tmp_path: Path, suffix: str) -> None:
    path = write_held(tmp_path / f"a{suffix}", grey_frames(3), seconds=10)
    np.testing.assert_allclose(brightness(decode(path, audio=False, num_frames=10).frames), [240] * 10, atol=3)


def test_pictures_of_an_avi_may_start_late(tmp_path: Path) -> None:
    path = write_late_video(tmp_path / "a.avi", grey_frames(50), 10, 2.0, tone(440, 5), b_frames=2)
    np.testing.assert_allclose(brightness(decode(path, num_frames=2).frames), [72, 184], atol=6)


@pytest.mark.parametrize(
    ("suffix", "cut"), [(".mkv", 0.5), (".mkv", 0.25), (".mov", 0.5), (".avi", 0.5), (".flv", 0.4)]
)
def test_files_that_break_off_are_named(tmp_path: Path, suffix: str, cut: float) -> None:
    options = {"movflags": "faststart"} if suffix == ".mov" else None
    codecs = ("flv", "aac") if suffix == ".flv" else ("mpeg4", "aac")
    path = write_video(
        tmp_path / f"a{suffix}", frames=grey_frames(63), waveform=tone(440, 10), codecs=codecs, options=options
    )
    decode(path, num_frames=2)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * cut)])
    with pytest.raises(MediaError, match="truncated"):
        decode(path, num_frames=2)


@pytest.mark.parametrize(("channels", "rate"), [(6, 48_000), (2, 32_000), (1, 48_000)])
def test_the_layout_of_a_broadcast_may_change(tmp_path: Path, channels: int, rate: int) -> None:
    layouts = {1: "mono", 2: "stereo", 6: "5.1(side)"}
    whole = b""
    for count, sampling in ((2, 48_000), (channels, rate)):
        waveform = np.stack([tone(440, 2, sampling)] * count)
        part = write_video(
            tmp_path / "part.ts", waveform=waveform, rate=sampling, layout=layouts[count], codecs=("", "ac3")
        )
        whole += part.read_bytes()
    (tmp_path / "a.ts").write_bytes(whole)
    found = sound(tmp_path / "a.ts")
    assert len(found) == pytest.approx(4 * 16_000, abs=2_000)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_sound_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    waveform = tone(440, 2)
    waveform[9_000] = np.nan
    soundfile.write(tmp_path / "a.wav", waveform, 16_000, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"a\.wav: the sound is not finite numbers"):
        read_wav(tmp_path / "a.wav")
    path = write_video(tmp_path / "a.mkv", waveform=waveform, codecs=("", "pcm_f32le"))
    with pytest.raises(MediaError, match=r"a\.mkv: the sound is not finite numbers"):
        decode(path)


@pytest.mark.parametrize(
    ("layout", "channels", "level"),
    [("stereo", 2, 0.30), ("stereo", 2, 0.95), ("5.1", 6, 0.5), ("hexadecagonal", 16, 0.5)],
)
def test_sound_is_the_mean_of_its_channels(tmp_path: Path, layout: str, channels: int, level: float) -> None:
    wave = 2 * level * tone(440, 1, 48_000)
    path = write_video(
        tmp_path / "a.mov",
        waveform=np.stack([wave] * channels),
        rate=48_000,
        layout=layout,
        codecs=("mpeg4", "pcm_f32le" if channels == 16 else "pcm_s16le"),
    )
    waveform = sound(path)
    assert np.abs(waveform).max() == pytest.approx(level, abs=5e-3)
    assert np.abs(waveform).max() <= 1


def test_channels_of_different_sound_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(440, 1), np.zeros(16_000, np.float32)])
    path = write_video(tmp_path / "a.mov", waveform=both, layout="stereo", codecs=("mpeg4", "pcm_s16le"))
    np.testing.assert_allclose(sound(path), tone(440, 1) / 2, atol=1e-4)


@pytest.mark.parametrize("delay", [0.0, 0.08, 0.5, 2.0])
@pytest.mark.parametrize(("fps", "rate", "count"), [("0.6", 25, 100), ("2.5", 10, 60)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_fixed_rate_counts_from_the_zero_of_the_file(
    tmp_path: Path, delay: float, fps: str, rate: int, count: int, suffix: str
) -> None:
    path = write_late_video(tmp_path / f"a{suffix}", grey_frames(count), rate, delay, tone(440, delay + count / rate))
    expected = filtered(path, fps).mean((1, 2, 3))
    levels = brightness(decode(path, audio=False, num_frames=len(expected) + 1, fps=float(fps)).frames)
    np.testing.assert_allclose(levels, [*expected, expected[-1]], atol=1)


def test_a_fixed_rate_holds_the_last_frame(tmp_path: Path) -> None:
    path = write_held(tmp_path / "a.mp4", grey_frames(3), seconds=10)
    expected = filtered(path, "1").mean((1, 2, 3))
    levels = brightness(decode(path, audio=False, num_frames=len(expected), fps=1).frames)
    assert len(expected) == 10
    np.testing.assert_allclose(levels, expected, atol=1)


def with_cover(path: Path, sound_of: Path) -> Path:
    """A file with sound and a cover picture."""
    with av.open(str(sound_of)) as source, av.open(str(path), "w") as container:
        audio = container.add_stream_from_template(source.streams.audio[0])
        cover = container.add_stream("mjpeg", rate=1)
        cover.height = cover.width = 96
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(grey_frames(1)[0], format="rgb24")
        for packet in [*cover.encode(frame), *cover.encode(None)]:
            container.mux(packet)
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = audio
                container.mux(packet)
    return path


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    path = with_cover(tmp_path / "a.mp4", write_video(tmp_path / "b.mp4", waveform=tone(440, 1)))
    assert len(sound(path)) > 15_000
    for read in (probe, lambda file: decode(file, num_frames=2)):
        with pytest.raises(MediaError, match="no video track, only a cover picture"):
            read(path)


@pytest.mark.parametrize(("track", "codec"), [("video", b"mp4v"), ("audio", b"mp4a")])
def test_an_unknown_codec_is_named(tmp_path: Path, track: str, codec: bytes) -> None:
    path = write_video(tmp_path / "a.mp4", frames=grey_frames(4), waveform=tone(440, 1), codecs=("mpeg4", "aac"))
    data = path.read_bytes()
    start = data.index(codec, data.index(b"stsd", data.index(b"vide" if track == "video" else b"soun")))
    path.write_bytes(data[:start] + b"zzzz" + data[start + 4 :].replace(b"esds", b"zsds"))
    with pytest.raises(MediaError, match=f"the {track} track is of a codec that FFmpeg does not know"):
        decode(path, num_frames=2)


def test_pictures_that_are_too_large_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=0.5)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 96 * 96 - 1)
    for read in (probe, lambda file: decode(file, num_frames=2)):
        with pytest.raises(MediaError, match=r"a\.mp4: pictures of 96 × 96, more than"):
            read(path)


def test_large_frames_are_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", frames=grey_frames(4, 160, 320))
    whole = decode(path, audio=False, num_frames=4).frames
    monkeypatch.setattr(decoding, "FRAME_PIXELS", 160 * 320 // 4)
    reduced = decode(path, audio=False, num_frames=4).frames
    assert reduced is not None
    assert reduced.shape == (4, 80, 160, 3)
    np.testing.assert_allclose(brightness(reduced), brightness(whole), atol=1)


def test_sound_that_is_too_long_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=2)
    monkeypatch.setattr(decoding, "MAX_SECONDS", 1)
    with pytest.raises(MediaError, match="of sound: cut it"):
        decode(path, num_frames=2)


@pytest.mark.parametrize(
    "script",
    ["ffconcat version 1.0\nfile b.mp4\n", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nb.mp4\n#EXT-X-ENDLIST\n"],
)
def test_a_list_of_other_files_is_not_followed(tmp_path: Path, script: str) -> None:
    write_clip(tmp_path / "b.mp4", seconds=1)
    path = tmp_path / "a.mp4"
    path.write_text(script)
    with pytest.raises(MediaError, match="cannot be decoded"):
        decode(path, num_frames=2)
