"""Media of every kind become 16 kHz mono and evenly sampled frames, or are named with what is wrong."""

import random
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_files import filtered, grey_frames, rotate, tone, write_clip, write_video
from PIL import Image

from tokcom_phy.data import decoding, extracted, media
from tokcom_phy.utils.errors import MediaError, UserError


def frequency(waveform: np.ndarray) -> float:
    """The strongest frequency of a 16 kHz waveform [Hz]."""
    return float(np.argmax(np.abs(np.fft.rfft(waveform))) * 16_000 / len(waveform))


def brightness(frames: np.ndarray) -> np.ndarray:
    return frames.mean(axis=(1, 2, 3))


def test_clip_is_decoded(tmp_path: Path) -> None:
    clip = decoding.decode(write_clip(tmp_path / "a.mp4"), num_frames=16)
    assert clip.waveform is not None
    assert clip.waveform.dtype == np.float32
    assert abs(len(clip.waveform) - 81_920) < 1_100
    assert abs(frequency(clip.waveform) - 440) < 1
    assert abs(np.sqrt(np.mean(clip.waveform**2)) - 0.5 / np.sqrt(2)) < 0.02
    assert clip.frames is not None
    assert clip.frames.dtype == np.uint8
    assert clip.frames.shape == (16, 96, 96, 3)
    np.testing.assert_allclose(brightness(clip.frames), brightness(grey_frames(32)[1::2]), atol=4)


def test_only_what_is_asked_for_is_decoded(tmp_path: Path) -> None:
    silent = write_video(tmp_path / "silent.mp4", frames=grey_frames(8))
    assert decoding.decode(silent, audio=False, num_frames=4).waveform is None
    dark = write_video(tmp_path / "dark.mp4", waveform=tone(440, 1))
    assert decoding.decode(dark).frames is None


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [(".webm", ("libvpx", "libopus")), (".mkv", ("mpeg4", "aac")), (".avi", ("mpeg4", "libmp3lame"))],
)
def test_other_containers(tmp_path: Path, suffix: str, codecs: tuple[str, str]) -> None:
    path = tmp_path / f"a{suffix}"
    stereo = np.stack([tone(440, 5.12, 48_000)] * 2)
    write_video(path, frames=grey_frames(32), waveform=stereo, rate=48_000, layout="stereo", codecs=codecs)
    clip = decoding.decode(path, num_frames=16)
    assert clip.waveform is not None
    assert clip.frames is not None
    assert abs(frequency(clip.waveform) - 440) < 1
    np.testing.assert_allclose(brightness(clip.frames), brightness(grey_frames(32)[1::2]), atol=12)


def test_surround_sound_at_96_khz(tmp_path: Path) -> None:
    surround = np.stack([tone(440, 2, 96_000)] * 6)
    path = write_video(tmp_path / "a.mp4", frames=grey_frames(4), waveform=surround, rate=96_000, layout="5.1")
    waveform = decoding.decode(path).waveform
    assert waveform is not None
    assert abs(frequency(waveform) - 440) < 1
    assert abs(len(waveform) - 32_000) < 1_100


def test_one_frame_repeats(tmp_path: Path) -> None:
    frames = decoding.decode(write_clip(tmp_path / "a.mp4", seconds=0.16), num_frames=16).frames
    assert frames is not None
    assert len(frames) == 16
    assert (frames == frames[0]).all()


def test_variable_frame_rate_is_sampled_in_time(tmp_path: Path) -> None:
    """Eight frames; the first stays on screen for 25 of 32 periods."""
    times = [0, *range(25, 32)]
    path = write_video(tmp_path / "a.mp4", frames=grey_frames(8), times=times)
    frames = decoding.decode(path, audio=False, num_frames=32).frames
    assert frames is not None
    np.testing.assert_allclose(brightness(frames[:25]), 16, atol=3)
    np.testing.assert_allclose(brightness(frames[25:]), brightness(grey_frames(8)[1:]), atol=4)


def test_rotated_video_is_upright(tmp_path: Path) -> None:
    """A phone that was held upright: filmed as 64×96, shown as 96×64, turned by a quarter clockwise."""
    landscape = np.zeros((4, 64, 96, 3), np.uint8)
    landscape[:, :, :48] = 200  # filmed left is shown above
    path = rotate(write_video(tmp_path / "a.mp4", frames=landscape), (0, 1, -1, 0))
    frames = decoding.decode(path, audio=False, num_frames=2).frames
    assert frames is not None
    assert frames.shape == (2, 96, 64, 3)
    assert frames[:, :40].mean() > 180
    assert frames[:, 56:].mean() < 20


@pytest.mark.parametrize(
    ("count", "times", "frame_rate", "fps"),
    [
        (60, None, Fraction(6), "0.6"),
        (60, None, Fraction(25, 4), "0.6"),
        (60, None, Fraction(30), "2.5"),
        (40, [0, *range(20, 59)], Fraction(6), "0.6"),
    ],
)
def test_a_fixed_rate_takes_the_frames_that_ffmpeg_takes(
    tmp_path: Path, count: int, times: list[int] | None, frame_rate: Fraction, fps: str
) -> None:
    path = write_video(tmp_path / "a.mp4", frames=grey_frames(count), times=times, frame_rate=frame_rate)
    expected = filtered(path, fps)
    frames = decoding.decode(path, audio=False, num_frames=len(expected) + 3, fps=float(fps)).frames
    assert frames is not None
    np.testing.assert_allclose(brightness(frames[: len(expected)]), brightness(expected), atol=1)
    assert (frames[len(expected) :] == frames[len(expected) - 1]).all()
    first = decoding.decode(path, audio=False, num_frames=1, fps=float(fps)).frames
    np.testing.assert_array_equal(first, frames[:1])


def test_a_clip_shorter_than_half_a_period_gives_its_last_frame(tmp_path: Path) -> None:
    frames = decoding.decode(write_clip(tmp_path / "a.mp4", seconds=0.64), audio=False, num_frames=3, fps=0.6).frames
    assert frames is not None
    np.testing.assert_allclose(brightness(frames), [240] * 3, atol=4)


def test_frames_that_were_extracted_at_a_fixed_rate_are_taken_in_order(tmp_path: Path) -> None:
    for index, pixels in enumerate(grey_frames(8)):
        Image.fromarray(pixels).save(tmp_path / f"frame_{index + 1:04d}.png")
    levels = brightness(grey_frames(8))
    np.testing.assert_array_equal(brightness(extracted.read_frames(tmp_path, 4, fps=0.6)), levels[:4])
    repeated = [*levels, levels[-1], levels[-1]]
    np.testing.assert_array_equal(brightness(extracted.read_frames(tmp_path, 10, fps=0.6)), repeated)


def test_decoding_is_deterministic(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    first, second = decoding.decode(path, num_frames=8), decoding.decode(path, num_frames=8)
    np.testing.assert_array_equal(first.waveform, second.waveform)
    np.testing.assert_array_equal(first.frames, second.frames)


def test_sample_indices_are_even() -> None:
    assert decoding.sample_indices(32, 16) == list(range(1, 32, 2))
    assert decoding.sample_indices(5, 5) == [0, 1, 2, 3, 4]
    assert decoding.sample_indices(2, 6) == [0, 0, 0, 1, 1, 1]


def damaged(tmp_path: Path, how: str) -> Path:
    path = tmp_path / f"{how}.mp4"
    if how == "silent":
        return write_video(path, frames=grey_frames(8))
    if how == "dark":
        return write_video(path, waveform=tone(440, 1))
    if how == "beheaded":
        write_video(path, frames=grey_frames(32), waveform=tone(440, 5.12), options={"movflags": "faststart"})
    elif how != "missing":
        write_clip(path)
    if how == "zero":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"<html>Not found</html>")
    elif how in ("truncated", "beheaded"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "rotten":
        data = bytearray(path.read_bytes())
        data[len(data) // 4 : len(data) // 2] = random.Random(0).randbytes(len(data) // 2 - len(data) // 4)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "no such file"),
        ("zero", "truncated or corrupt"),
        ("text", "truncated or corrupt"),
        ("truncated", "truncated or corrupt"),
        ("beheaded", "truncated, only"),
        ("rotten", "corrupt"),
        ("silent", "no audio track"),
        ("dark", "no video track"),
    ],
)
def test_damage_is_named(tmp_path: Path, how: str, words: str) -> None:
    path = damaged(tmp_path, how)
    with pytest.raises(MediaError, match=words) as raised:
        decoding.decode(path, num_frames=16)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("how", ["missing", "zero", "text", "truncated", "beheaded", "silent", "dark"])
def test_probe_sees_damage(tmp_path: Path, how: str) -> None:
    with pytest.raises(MediaError):
        decoding.probe(damaged(tmp_path, how))


def test_probe_passes_a_good_clip(tmp_path: Path) -> None:
    decoding.probe(write_clip(tmp_path / "a.mp4"))


def test_truncated_matroska(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=grey_frames(32), waveform=tone(440, 5.12), codecs=("mpeg4", "aac"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with pytest.raises(MediaError, match="truncated"):
        decoding.decode(path, num_frames=4)


def test_extracted_media(tmp_path: Path) -> None:
    wav = tmp_path / "extraction/ast_audio/a_1.000.wav"
    folder = tmp_path / "extraction/vivit_frames/a_1.000"
    wav.parent.mkdir(parents=True)
    folder.mkdir(parents=True)
    soundfile.write(wav, tone(440, 1), 16_000)
    for index, pixels in enumerate(grey_frames(8)):
        Image.fromarray(pixels).save(folder / f"frame_{index + 1:04d}.{'png' if index % 2 else 'jpg'}")
    files = media.find_clip(tmp_path, "a_1.000")
    assert files == media.ClipFiles(wav, folder)
    clip = media.read_clip(files, num_frames=4)
    assert clip.waveform is not None
    assert clip.frames is not None
    np.testing.assert_allclose(clip.waveform, tone(440, 1), atol=1e-4)
    np.testing.assert_allclose(brightness(clip.frames), brightness(grey_frames(8)[1::2]), atol=2)
    assert media.list_clips(tmp_path) == ["a_1.000"]


def test_half_extracted_clip_takes_the_rest_from_the_raw_file(tmp_path: Path) -> None:
    wav = tmp_path / "extraction/ast_audio/a.wav"
    wav.parent.mkdir(parents=True)
    soundfile.write(wav, tone(880, 1), 16_000)
    raw = write_clip(tmp_path / "videos" / "a.mp4")
    files = media.find_clip(tmp_path, "a")
    assert files == media.ClipFiles(wav, raw)
    clip = media.read_clip(files, num_frames=2)
    assert clip.waveform is not None
    assert clip.frames is not None
    assert abs(frequency(clip.waveform) - 880) < 1
    assert clip.frames.shape == (2, 96, 96, 3)


def test_faults_of_extracted_media_are_named(tmp_path: Path) -> None:
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"RIFF")
    with pytest.raises(MediaError, match=r"a\.wav: cannot be read as WAV"):
        extracted.read_wav(wav)
    soundfile.write(wav, np.zeros((100, 2)), 44_100)
    with pytest.raises(MediaError, match="44100 Hz with 2 channels, expected 16000 Hz mono"):
        extracted.read_wav(wav)
    soundfile.write(wav, np.zeros(0), 16_000)
    with pytest.raises(MediaError, match="the audio is empty"):
        extracted.read_wav(wav)
    with pytest.raises(MediaError, match="no frames"):
        extracted.read_frames(tmp_path, 4)
    (tmp_path / "frame_0001.png").write_bytes(b"\x89PNG")
    with pytest.raises(MediaError, match=r"frame_0001\.png: cannot be read as a PNG or JPEG image"):
        extracted.read_frames(tmp_path, 4)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("IMG_0001.MP4", ("libx264", "aac")),
        ("IMG_0001.MOV", ("libx264", "aac")),
        ("IMG_0001.ogv", ("libvpx", "libopus")),
        ("IMG_0001.3gp", ("h263", "aac")),
        ("IMG_0001.flv", ("flv", "aac")),
        ("IMG_0001.MTS", ("libx264", "aac")),
        ("IMG_0001.wmv", ("wmv2", "aac")),
        ("IMG_0001.mpg", ("mpeg2video", "mp2")),
    ],
)
def test_clips_are_found_by_the_names_that_phones_give(tmp_path: Path, name: str, codecs: tuple[str, str]) -> None:
    path = tmp_path / name
    container = {".MTS": "mpegts", ".ogv": "ogg"}.get(path.suffix)
    frames, rate = grey_frames(25, 288, 352), {"mp2": 32_000, "libopus": 48_000}.get(codecs[1], 16_000)
    write_video(
        path,
        frames=frames,
        frame_rate=Fraction(25),
        waveform=tone(440, 1, rate),
        rate=rate,
        codecs=codecs,
        format=container,
    )
    assert media.list_clips(tmp_path) == ["IMG_0001"]
    files = media.find_clip(tmp_path, "IMG_0001")
    assert files == media.ClipFiles(path, path)
    clip = media.read_clip(files, num_frames=4)
    assert clip.waveform is not None
    assert clip.frames is not None
    assert abs(len(clip.waveform) - 16_000) < 2_500
    np.testing.assert_allclose(brightness(clip.frames), brightness(frames[3::6]), atol=12)


def test_images_are_opened_in_named_formats_only(tmp_path: Path) -> None:
    (tmp_path / "frame_0001.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(MediaError, match="cannot be read as a PNG or JPEG image"):
        extracted.read_frames(tmp_path, 1)
    Image.fromarray(grey_frames(1)[0]).save(tmp_path / "frame_0001.png", format="GIF")
    with pytest.raises(MediaError, match="cannot be read as a PNG or JPEG image"):
        extracted.read_frames(tmp_path, 1)


@pytest.mark.parametrize("size", [12_000, 50_000])
def test_an_image_of_forged_size_is_not_decoded(tmp_path: Path, size: int) -> None:
    path = tmp_path / "frame_0001.png"
    Image.fromarray(grey_frames(1)[0]).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = size.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    for read in (extracted.probe_frames, lambda folder: extracted.read_frames(folder, 2)):
        with pytest.raises(MediaError, match=r"frame_0001\.png: pictures of .* more than the 33\.6 Mpixel of 8K"):
            read(tmp_path)


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number, level in ((9_999, 100), (10_000, 150), (10_001, 200)):
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(tmp_path / f"frame_{number:04d}.png")
    assert brightness(extracted.read_frames(tmp_path, 3)).tolist() == [100, 150, 200]
    assert extracted.missing_frames(tmp_path) == (9_998, 1)


def test_sound_of_forged_length_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440, 1), 16_000, format="FLAC")
    data = bytearray(path.read_bytes())
    data[21], data[22:26] = data[21] | 0x0F, b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(MediaError, match="a FLAC file, expected WAV"):
        extracted.read_wav(path)
    soundfile.write(path, tone(440, 2), 16_000)
    monkeypatch.setattr(extracted, "MAX_SECONDS", 1)
    with pytest.raises(MediaError, match="of sound: cut it"):
        extracted.read_wav(path)


def test_find_clip(tmp_path: Path) -> None:
    assert media.find_clip(tmp_path, "a") is None
    raw = write_video(tmp_path / "b.x.mkv", frames=grey_frames(2), codecs=("mpeg4", "aac"), frame_rate=Fraction(25))
    assert media.find_clip(tmp_path, "b.x") == media.ClipFiles(raw, raw)
    assert media.list_clips(tmp_path) == ["b.x"]
    with pytest.raises(UserError, match="leave"):
        media.find_clip(tmp_path, "../b.x")
    with pytest.raises(MediaError, match="no picture beside it"):
        media.read_clip(media.ClipFiles(raw, None), audio=False, num_frames=2)
