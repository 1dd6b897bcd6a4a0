"""Whatever one clip does, the others are prepared; whatever happens to a store, one line says so."""

import errno
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from media_files import grey_frames, tone, write_clip, write_video
from PIL import Image

from tokcom_phy.cli import execute
from tokcom_phy.data import encode
from tokcom_phy.data import prepare as module
from tokcom_phy.data.decoding import decode
from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FILE_NAME, FeatureStore
from tokcom_phy.model.encoders import load_encoder
from tokcom_phy.model.slide import slide
from tokcom_phy.utils.errors import UserError

LENGTHS = {"audio": 4, "video": 4}


def extract(root: Path, name: str, image: str = "frame_0001.png") -> Path:
    """A clip as extracted media, of one frame; returns the frame."""
    wav, frame = root / f"extraction/ast_audio/{name}.wav", root / f"extraction/vivit_frames/{name}/{image}"
    for path in (wav, frame):
        path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(wav, tone(440, 1), 16_000)
    Image.fromarray(grey_frames(1)[0]).save(frame)
    return frame


def test_odd_clips_are_skipped_by_name_and_the_others_prepared(root: Path, encoders: dict[str, Path]) -> None:
    codec = write_video(root / "codec.mp4", frames=grey_frames(4), waveform=tone(440, 1), codecs=("mpeg4", "aac"))
    codec.write_bytes(codec.read_bytes().replace(b"mp4v", b"zzzz").replace(b"esds", b"zsds"))
    extract(root, "postscript").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    extract(root, "gif").write_bytes(b"GIF89a" + bytes(20))
    extract(root, "number", "frame_2000000000.png")
    extract(root, "flac")
    soundfile.write(root / "extraction/ast_audio/flac.wav", tone(440, 1), 16_000, format="FLAC")
    extract(root, "text")
    (root / "extraction/ast_audio/text.wav").write_text("#EXTM3U")
    os.symlink(root / "nowhere.mp4", root / "dangling.mp4")
    odd = os.fsdecode(b"caf\xe9")
    os.link(root / "clip0.mp4", root / f"{odd}.mp4")
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert store.video_ids == ["clip0", "clip1", "clip2", "clip3", "number"]
    assert set(store.skipped) == {"codec", "postscript", "gif", "flac", "text", "caf\\udce9"}
    for name, reason in store.skipped.items():
        assert name in reason or "is no text" in reason
        assert "\n" not in reason


def test_whatever_an_encoder_raises_for_a_clip_skips_it(
    root: Path, encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = encode.read_clip

    def odd(files, **options):
        if files.video.stem == "clip1":
            raise ZeroDivisionError("division by zero")
        if files.video.stem == "clip2":
            raise MemoryError
        return read(files, **options)

    monkeypatch.setattr(encode, "read_clip", odd)
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert store.video_ids == ["clip0", "clip3"]
    assert store.skipped["clip1"].startswith(f"{root / 'clip1.mp4'}: cannot be encoded (ZeroDivisionError: ")
    assert "MemoryError" in store.skipped["clip2"]


def killed_at_clip3(sources):
    if sources.media.video.stem == "clip3":
        os.kill(os.getpid(), signal.SIGKILL)
    return encode._encode_in_worker(sources)


@pytest.mark.long
def test_a_clip_that_kills_its_process_is_skipped_and_the_others_prepared(
    root: Path, encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for index in range(4, 8):
        os.link(root / "clip0.mp4", root / f"clip{index}.mp4")
    monkeypatch.setattr(encode, "SECONDS_PER_WORKER", 1e-9)
    whole = FeatureStore.open(prepare(root, encoders, LENGTHS, tmp_path / "whole"))
    run = encode.run_in_processes
    monkeypatch.setattr(encode, "run_in_processes", lambda function, *more: run(killed_at_clip3, *more))
    store = FeatureStore.open(prepare(root, encoders, LENGTHS, workers=2))
    assert store.skipped == {"clip3": f"{root / 'clip3.mp4'}: the process that encodes it is killed, also alone"}
    others = [name for name in whole.video_ids if name != "clip3"]
    assert store.video_ids == others
    assert (store.tokens("audio", others, 4) == whole.tokens("audio", others, 4)).all()


def test_names_longer_than_a_file_may_have_are_missing_clips(root: Path, encoders: dict[str, Path]) -> None:
    long = "x" * 300
    (root / "captions-train.json").write_text(
        f'[{{"clip": "{long}", "caption": "a"}}, {{"clip": "clip0", "caption": "b"}}]'
    )
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert store.video_ids == ["clip0"]
    assert store.skipped == {long: f"no media file of '{long}' in {root}"}


@pytest.mark.parametrize("fps", [float("inf"), float("nan"), 0.0, -1.0, 1e-300, 1e9])
def test_impossible_rates_are_named(root: Path, encoders: dict[str, Path], fps: float) -> None:
    with pytest.raises(UserError, match=r"fps is .*: give a rate from 0\.001 to 1000 frames a second"):
        prepare(root, encoders, LENGTHS, fps=fps)
    assert not (root / "features").exists()


def test_the_command_refuses_an_infinite_rate(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["data", "prepare", str(root), "--fps", "inf"]) == 2
    assert "fps is inf" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal(
    root: Path, encoders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "bad\x1b[31m.mp4").write_bytes(b"")
    prepare(root, encoders, LENGTHS)
    output = capsys.readouterr().out
    assert "bad\\x1b[31m.mp4" in output
    assert "bad\x1b" not in output


def test_a_full_disk_is_named_as_such(root: Path, encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.RowWriter, "write", full)
    with pytest.raises(UserError, match="No space left on device; make room"):
        prepare(root, encoders, LENGTHS)


def test_windows_cover_a_clip(tmp_path: Path, encoders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Two clips that differ only behind one window of 5.12 s."""
    for name, after in (("a", 880), ("b", 0)):
        wave = np.concatenate([tone(440, 6), tone(after, 6)])
        write_video(tmp_path / f"{name}.mov", waveform=wave, codecs=("mpeg4", "pcm_s16le"))
    audio = {"audio": encoders["audio"]}
    one = FeatureStore.open(prepare(tmp_path, audio, {"audio": 8}, tmp_path / "one"))
    assert (one.tokens("audio", ["a"], 8) == one.tokens("audio", ["b"], 8)).all()
    assert "2 of 2 clips have more sound than the 5.12 s that the encoder takes" in capsys.readouterr().out
    out = prepare(tmp_path, audio, {"audio": 9}, tmp_path / "three", audio_windows=3)
    assert "more sound" not in capsys.readouterr().out
    three = FeatureStore.open(out)
    assert three.modalities["audio"].num_tokens == 390
    waveform = decode(tmp_path / "a.mov").waveform
    assert waveform is not None
    encoder = load_encoder("audio", encoders["audio"])
    parts = [encoder.encode([part])[0] for part in np.split(waveform, 3)]
    expected = slide(torch.cat(parts)[None], 9).half().float()
    assert three.tokens("audio", ["a"], 9).sub(expected).abs().max() < 2e-3
    assert not (three.tokens("audio", ["a"], 9) == three.tokens("audio", ["b"], 9)).all()
    assert three.modalities["audio"].fingerprint != one.modalities["audio"].fingerprint
    with pytest.raises(UserError, match="audio_windows is 0"):
        prepare(tmp_path, audio, {"audio": 9}, audio_windows=0)


def damage(out: Path, how: str) -> None:
    file = out / FILE_NAME
    data = file.read_bytes()
    if how == "cut":
        file.write_bytes(data[: len(data) * 6 // 10])
        return
    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    said = table.schema.metadata[b"tokcom_phy"]
    said = {
        "no JSON": said[:-5],
        "a list": b"[]",
        "no modalities": said.replace(b"modalities", b"modalitie"),
        "another width": said.replace(b'"width": 96', b'"width": 97'),
        "another type": said.replace(b'"width": 96', b'"width": "x"'),
        "another modality": said.replace(b'"audio"', b'"oudia"'),
        "skipped": said.replace(b'"skipped": {}', b'"skipped": 5'),
    }[how]
    table = table.replace_schema_metadata({b"tokcom_phy": said})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    "how",
    ["cut", "no JSON", "a list", "no modalities", "another width", "another type", "another modality", "skipped"],
)
def test_a_damaged_store_is_named_and_mended(root: Path, encoders: dict[str, Path], how: str) -> None:
    out = prepare(root, encoders, LENGTHS)
    whole = (out / FILE_NAME).read_bytes()
    damage(out, how)
    with pytest.raises(
        UserError, match=r"no feature store can be read from .*: it is damaged; tokcom data prepare mends it"
    ):
        FeatureStore.open(out)
    assert prepare(root, encoders, LENGTHS) == out
    assert (out / FILE_NAME).read_bytes() == whole


def test_one_name_for_two_clips_is_refused(root: Path, encoders: dict[str, Path]) -> None:
    write_clip(root / "VALOR" / "a.mp4", seconds=0.5)
    write_clip(root / "MUSIC-AVQA" / "a.mp4", seconds=0.5)
    with pytest.raises(UserError, match="two clips are named 'a'"):
        prepare(root, encoders, LENGTHS)


def test_a_folder_that_cannot_be_written_is_named(root: Path, encoders: dict[str, Path]) -> None:
    (root / "features").write_text("a file in the way")
    with pytest.raises(UserError, match=r"cannot write .*features"):
        prepare(root, encoders, LENGTHS)
