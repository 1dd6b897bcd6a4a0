"""Preparation: each clip is encoded once, whatever the workers, interruptions and bad files."""

import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_files import write_encoders
from filelock import FileLock
from media_files import grey_frames, rotate, tone, write_clip, write_video

from tokcom_phy.cli import execute
from tokcom_phy.data import encode as module
from tokcom_phy.data import prepare as preparation
from tokcom_phy.data.decoding import decode
from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FILE_NAME, Contents, FeatureStore, read_contents, read_rows, write_store
from tokcom_phy.model.encoders import load_encoder
from tokcom_phy.model.slide import slide
from tokcom_phy.utils.errors import UserError

LENGTHS = {"audio": (4, 8), "video": (4, 8)}


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the clips that get decoded and encoded in this process."""
    names = []
    encode = module.encode_clip

    def counted(sources, *arguments):
        names.append(sources.media.video.stem)
        return encode(sources, *arguments)

    monkeypatch.setattr(module, "encode_clip", counted)
    return names


def test_features_are_the_encoders_tokens(root: Path, encoders: dict[str, Path]) -> None:
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert store.path == root / "features"
    assert store.video_ids == ["clip0", "clip1", "clip2", "clip3"]
    clip = decode(root / "clip2.mp4", num_frames=16)
    for modality, media in (("audio", clip.waveform), ("video", clip.frames)):
        assert media is not None
        tokens = load_encoder(modality, encoders[modality]).encode([media])
        for length in (4, 8):
            expected = slide(tokens, length).half().float()
            torch.testing.assert_close(store.tokens(modality, ["clip2"], length), expected, atol=2e-3, rtol=2e-3)


def test_nothing_is_encoded_twice(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    out = prepare(root, encoders, LENGTHS)
    before = (out / FILE_NAME).stat().st_mtime_ns
    assert prepare(root, encoders, LENGTHS) == out
    assert prepare(root, encoders, {"audio": 4, "video": 8}) == out
    assert prepare(root, {"audio": encoders["audio"]}, {"audio": 8}) == out
    assert len(encoded) == 4
    assert (out / FILE_NAME).stat().st_mtime_ns == before
    assert sorted(path.name for path in out.iterdir()) == [".lock", FILE_NAME]


def test_only_what_changed_is_encoded_again(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    out = prepare(root, encoders, LENGTHS)
    first = FeatureStore.open(out).tokens("audio", ["clip0", "clip1"], 8)
    encoded.clear()
    write_clip(root / "clip1.mp4", seconds=1.6, frequency=2_000)
    write_clip(root / "clip9.mp4", seconds=1.6)
    (root / "clip3.mp4").unlink()
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert sorted(encoded) == ["clip1", "clip9"]
    assert store.video_ids == ["clip0", "clip1", "clip2", "clip9"]
    second = store.tokens("audio", ["clip0", "clip1"], 8)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_one_clip_that_changed_is_stored_anew(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    first = FeatureStore.open(prepare(root, encoders, LENGTHS)).tokens("audio", ["clip1"], 8)
    write_clip(root / "clip1.mp4", seconds=1.6, frequency=2_000)
    second = FeatureStore.open(prepare(root, encoders, LENGTHS)).tokens("audio", ["clip1"], 8)
    assert not torch.equal(first, second)
    prepare(root, encoders, LENGTHS)
    assert len(encoded) == 5


def test_more_lengths_keep_the_earlier_ones(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    prepare(root, encoders, {"audio": 8, "video": 8})
    store = FeatureStore.open(prepare(root, encoders, {"audio": 5, "video": 8}))
    assert len(encoded) == 8
    assert store.tokens("audio", ["clip0"], 8).shape == (1, 8, 96)
    assert store.tokens("audio", ["clip0"], 5).shape == (1, 5, 96)


def test_other_weights_are_encoded_anew(
    root: Path, encoders: dict[str, Path], encoded: list[str], tmp_path: Path
) -> None:
    out = prepare(root, encoders, LENGTHS)
    first = FeatureStore.open(out).tokens("audio", ["clip0"], 8)
    prepare(root, write_encoders(tmp_path / "other", seed=1), LENGTHS)
    assert len(encoded) == 8
    assert not torch.equal(first, FeatureStore.open(out).tokens("audio", ["clip0"], 8))


def test_features_of_other_code_are_made_anew_and_never_mixed(
    root: Path,
    encoders: dict[str, Path],
    encoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A store, a part of one, and a store beside: none of them is taken from when the code has changed."""
    current = preparation.CODE
    monkeypatch.setattr(preparation, "CODE", "of old")
    out = prepare(root, encoders, {"audio": 8, "video": 8})
    prepare(root, encoders, LENGTHS, root / "beside")
    part = prepare(root, encoders, LENGTHS, root / "parts", shard=(1, 2))
    monkeypatch.setattr(preparation, "CODE", current)
    said = "made by another version of the code that decodes and encodes: they are made anew"
    assert said not in capsys.readouterr().out
    encoded.clear()
    prepare(root, encoders, {"audio": 4, "video": 4})
    assert sorted(encoded) == ["clip0", "clip1", "clip2", "clip3"]
    assert capsys.readouterr().out.count(said) == 1
    store = FeatureStore.open(out)
    assert {spec.code for spec in store.modalities.values()} == {current}
    assert store.tokens("audio", ["clip0"], 8).shape == (1, 8, 96)  # lengths of earlier calls stay
    prepare(root, encoders, LENGTHS, part)
    assert len(encoded) == 8
    prepare(root, encoders, LENGTHS, root / "new", beside=root / "beside")
    assert len(encoded) == 12
    assert capsys.readouterr().out.count(said) == 1  # of the part; the store beside stays as it is
    prepare(root, encoders, LENGTHS)
    assert len(encoded) == 12
    assert said not in capsys.readouterr().out


def test_a_store_from_before_codes_were_kept_is_made_anew(
    root: Path, encoders: dict[str, Path], encoded: list[str]
) -> None:
    file = prepare(root, encoders, LENGTHS) / FILE_NAME
    contents = read_contents(file)
    assert contents is not None
    old = Contents({m: replace(spec, code="") for m, spec in contents.modalities.items()})
    write_store(file.parent, old, read_rows(file, contents.modalities))
    prepare(root, encoders, LENGTHS)
    assert len(encoded) == 8
    assert FeatureStore.open(file.parent).modalities == contents.modalities


def test_bad_clips_are_skipped_named_and_counted(
    root: Path, encoders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "clip1.mp4").write_bytes((root / "clip1.mp4").read_bytes()[:3_000])
    write_video(root / "silent.mp4", frames=grey_frames(8))
    write_video(root / "dark.mp4", waveform=tone(440, 1))
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert store.video_ids == ["clip0", "clip2", "clip3"]
    assert list(store.skipped) == ["clip1", "dark", "silent"]
    assert "no audio track" in store.skipped["silent"]
    assert "no video track" in store.skipped["dark"]
    output = capsys.readouterr().out
    assert "3 of 6 clips are skipped" in output
    assert str(root / "clip1.mp4") in output


def test_a_clip_that_is_mended_is_taken(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    good = (root / "clip1.mp4").read_bytes()
    (root / "clip1.mp4").write_bytes(b"")
    assert "clip1" not in FeatureStore.open(prepare(root, encoders, LENGTHS))
    (root / "clip1.mp4").write_bytes(good)
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert "clip1" in store
    assert store.skipped == {}
    assert len(encoded) == 5


def test_annotations_say_which_clips(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    folder = root / "annotations"
    folder.mkdir()
    captions = [{"video_id": video_id, "desc": "A tone."} for video_id in ("clip2", "clip7")]
    (folder / "desc_train.json").write_text(json.dumps(captions))
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert encoded == store.video_ids == ["clip2"]
    assert store.skipped == {"clip7": f"no media file of 'clip7' in {root}"}


@pytest.mark.long
def test_results_do_not_depend_on_workers(
    root: Path, encoders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "bad.mp4").write_bytes(b"")
    monkeypatch.setattr(module, "SECONDS_PER_WORKER", 1e-9)
    alone = prepare(root, encoders, LENGTHS, tmp_path / "alone", workers=1)
    together = prepare(root, encoders, LENGTHS, tmp_path / "together", workers=2)
    assert (alone / FILE_NAME).read_bytes() == (together / FILE_NAME).read_bytes()
    assert FeatureStore.open(together).skipped.keys() == {"bad"}


def test_a_killed_preparation_is_continued_at_the_clip_in_hand(
    root: Path, encoders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "encoded"
    encode = module.encode_clip

    def logged(sources, *arguments):
        result = encode(sources, *arguments)
        with log.open("a") as lines:
            lines.write(f"{sources.media.video.stem}\n")
        return result

    monkeypatch.setattr(module, "encode_clip", logged)
    for index in range(4, 40):
        os.link(root / "clip0.mp4", root / f"clip{index}.mp4")
    process = multiprocessing.get_context("fork").Process(target=prepare, args=(root, encoders, LENGTHS))
    process.start()
    out = root / "features"
    deadline = time.monotonic() + 120
    while sum(file.stat().st_size for file in out.glob(".journal-*")) < 20_000 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not (out / FILE_NAME).exists()

    before = len(log.read_text().splitlines())
    assert 0 < before < 38
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    encoded = log.read_text().splitlines()
    assert len(set(encoded)) == len(store) == 40
    assert len(encoded) <= 41
    whole = prepare(root, encoders, LENGTHS, tmp_path / "whole")
    assert (out / FILE_NAME).read_bytes() == (whole / FILE_NAME).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [".lock", FILE_NAME]


def test_shards_are_merged(
    root: Path, encoders: dict[str, Path], tmp_path: Path, encoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "bad.mp4").write_bytes(b"")
    whole = prepare(root, encoders, LENGTHS, tmp_path / "whole")
    encoded.clear()
    out = root / "features"
    for shard in ((1, 3), (3, 3)):
        assert prepare(root, encoders, LENGTHS, shard=shard) == out
    assert sorted(encoded) == ["bad", "clip1", "clip2"]
    assert "1 of 2 clips are skipped" in capsys.readouterr().out
    assert not (out / FILE_NAME).exists()
    prepare(root, encoders, LENGTHS, shard=(1, 3))
    assert encoded.count("clip2") == 1
    encoded.clear()
    prepare(root, encoders, {"audio": 4, "video": 8})
    assert sorted(encoded) == ["bad", "clip0", "clip3"]
    assert (out / FILE_NAME).read_bytes() == (whole / FILE_NAME).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [".lock", FILE_NAME]
    encoded.clear()
    prepare(root, encoders, LENGTHS, shard=(2, 3))
    assert encoded == []


def test_a_killed_shard_is_merged_as_far_as_it_went(
    root: Path, encoders: dict[str, Path], encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = module.encode_clip

    def killed(sources, *arguments):
        if sources.media.video.stem == "clip2":
            raise KeyboardInterrupt
        return counted(sources, *arguments)

    monkeypatch.setattr(module, "encode_clip", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(root, encoders, LENGTHS, shard=(1, 2))
    monkeypatch.setattr(module, "encode_clip", counted)
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    assert encoded == ["clip0", "clip1", "clip2", "clip3"]
    assert len(store) == 4


def test_all_waits_for_a_shard(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    out = root / "features"
    out.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with FileLock(out / ".lock-shard-1-of-2"):
            waiting = pool.submit(prepare, root, encoders, LENGTHS)
            time.sleep(1.0)
            assert encoded == []
            assert not waiting.done()
        assert waiting.result(timeout=60) == out
    assert len(encoded) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shard": (0, 2)}, "no shard 0 of 2"),
        ({"shard": (3, 2)}, "no shard 3 of 2: they are counted from 1"),
        ({"device": "nowhere"}, "cannot compute on device 'nowhere'"),
    ],
)
def test_impossible_options_are_named(root: Path, encoders: dict[str, Path], options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        prepare(root, encoders, LENGTHS, **options)
    assert "\n" not in str(raised.value)
    assert not (root / "features").exists()


def test_the_command_takes_its_options(
    root: Path, encoders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "prepare", str(root), "--workers=1", "--device=cpu", "--fps=5", "--length=4", "--length=8"]
    command += [f"--encoder={modality}={folder}" for modality, folder in encoders.items()]
    assert execute([*command, "--shard=2/2"]) == 0
    assert (root / "features" / "shard-2-of-2.arrow").is_file()
    assert "the same command without --shard merges them" in capsys.readouterr().out
    assert execute(command) == 0
    store = FeatureStore.open(root / "features")
    assert len(store) == 4
    assert store.modalities["video"].fps == 5
    capsys.readouterr()
    for option, words in (
        ("--shard=2", "write I/N, for example --shard 1/4"),
        ("--encoder=audio", "write NAME=VALUE"),
        ("--encoder=adio=x", "unknown 'adio': did you mean 'audio'"),
        ("--encoder=audio=/nowhere", "no folder /nowhere: give a folder with config.json, preprocessor_config.json"),
    ):
        assert execute([*command, option]) == 2
        assert words in capsys.readouterr().err


def test_frames_at_a_fixed_rate_are_other_features(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    even = FeatureStore.open(prepare(root, encoders, LENGTHS)).tokens("video", ["clip0"], 8)
    store = FeatureStore.open(prepare(root, encoders, LENGTHS, fps=5))
    assert len(encoded) == 8
    assert store.modalities["video"].fps == 5
    assert store.modalities["audio"].fps is None
    frames = decode(root / "clip0.mp4", audio=False, num_frames=16, fps=5).frames
    assert frames is not None
    tokens = slide(load_encoder("video", encoders["video"]).encode([frames]), 8)
    torch.testing.assert_close(store.tokens("video", ["clip0"], 8), tokens.half().float(), atol=2e-3, rtol=2e-3)
    assert not torch.equal(store.tokens("video", ["clip0"], 8), even)
    prepare(root, encoders, LENGTHS, fps=5)
    assert len(encoded) == 8


def test_every_odd_clip_works_or_is_named(tmp_path: Path, encoders: dict[str, Path]) -> None:
    root = tmp_path / "odd"
    frames, sound = grey_frames(8), tone(440, 1)
    whole = write_clip(root / "truncated.mp4").read_bytes()
    (root / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "zero.mp4").write_bytes(b"")
    write_video(root / "silent.mp4", frames=frames)
    write_video(root / "dark.mp4", waveform=sound)
    write_video(root / "blink.mp4", frames=frames, waveform=tone(440, 0.01))
    write_video(root / "one-frame.mp4", frames=frames[:1], waveform=sound)
    surround = np.stack([tone(440, 1, 96_000)] * 6)
    write_video(root / "surround.mp4", frames=frames, waveform=surround, rate=96_000, layout="5.1")
    write_video(root / "variable.mp4", frames=frames, times=[0, *range(25, 32)], waveform=sound)
    rotate(write_video(root / "phone.mp4", frames=grey_frames(4, 64, 96), waveform=sound), (0, 1, -1, 0))
    stereo = np.stack([tone(440, 1, 48_000)] * 2)
    codecs = ("libvpx", "libopus")
    write_video(root / "camera.webm", frames=frames, waveform=stereo, rate=48_000, layout="stereo", codecs=codecs)
    write_video(root / "tape.avi", frames=frames, waveform=sound, codecs=("mpeg4", "libmp3lame"))
    write_video(root / "film.mkv", frames=frames, waveform=sound, codecs=("mpeg4", "aac"))
    store = FeatureStore.open(prepare(root, encoders, LENGTHS))
    works = ["blink", "camera", "film", "one-frame", "phone", "surround", "tape", "variable"]
    assert store.video_ids == works
    for modality in ("audio", "video"):
        assert store.tokens(modality, works, 8).isfinite().all()
    assert list(store.skipped) == ["dark", "silent", "truncated", "zero"]
    for name, reason in store.skipped.items():
        assert str(root / f"{name}.mp4") in reason


def test_nothing_to_prepare_is_named(tmp_path: Path, encoders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="no folder"):
        prepare(tmp_path / "nowhere", encoders, LENGTHS)
    with pytest.raises(UserError, match=r"no clips in .*: expected ID\.mp4"):
        prepare(tmp_path, encoders, LENGTHS)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the 1 clips in .* can be used, for example: .*a\.mp4"):
        prepare(tmp_path, encoders, LENGTHS)
    assert not (tmp_path / "features" / FILE_NAME).exists()


def test_lengths_that_are_too_long_are_named_first(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    with pytest.raises(UserError, match="token length 74: this encoder gives 73 tokens"):
        prepare(root, encoders, {"audio": 8, "video": 74})
    assert encoded == []
    assert not (root / "features").exists()


def test_a_finished_store_that_cannot_be_written_is_taken_as_it_is(
    root: Path, encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = prepare(root, encoders, LENGTHS)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert prepare(root, encoders, LENGTHS) == out
    write_clip(root / "new.mp4", seconds=0.5)
    with pytest.raises(UserError, match=r"cannot write .* Permission denied"):
        prepare(root, encoders, LENGTHS)


def test_two_at_a_time_do_the_work_once(root: Path, encoders: dict[str, Path], encoded: list[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda _: prepare(root, encoders, LENGTHS), range(2)))
    assert stores[0] == stores[1]
    assert len(encoded) == 4
    assert len(FeatureStore.open(stores[0])) == 4


def test_lengths_and_encoders_name_the_same(root: Path, encoders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"token lengths of \['audio'\] for encoders of \['audio', 'video'\]"):
        prepare(root, encoders, {"audio": 8})
