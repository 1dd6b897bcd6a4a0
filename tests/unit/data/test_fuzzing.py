"""Mutated annotations, media and stores end in `UserError` or not at all: no other error, no crash, no memory without
bound. Seeded; the slow ones try many more."""

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from media_files import grey_frames, tone, write_video
from PIL import Image
from safetensors.numpy import save_file

from tokcom_phy.data import extracted, formats
from tokcom_phy.data.check import check
from tokcom_phy.data.decoding import decode, probe
from tokcom_phy.data.store import FILE_NAME, Contents, FeatureStore, Modality, Row, write_store
from tokcom_phy.model.arrays import array_files, common_shape, read_array
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.processes import Killed, peak_memory, run_in_processes

ODD: list[Any] = [
    *(None, True, -1, 0, 10**30, 1.5, float("nan"), float("inf"), "", " ", "\ud800", "a\x1b[31m", "\0", "../x", "/etc"),
    *(
        "x" * 300,
        "x" * 100_000,
        "[",
        '["a"',
        "[1]",
        "{}",
        [],
        {},
        [[]] * 3,
        {"a": [1]},
        "<Object>" * 50,
        "C:x",
        ".",
        "..",
    ),
]

ENTRIES: dict[str, dict[str, Any]] = {
    "VALOR/annotations/desc_train.json": {"video_id": "a", "desc": "A tone."},
    "MUSIC-AVQA/annotation/avqa-train.json": {
        "video_id": "a",
        "question_id": 1,
        "type": '["Audio", "Counting"]',
        "question_content": "Is there a <Object> sound?",
        "templ_values": '["flute"]',
        "question_deleted": 0,
        "anser": "yes",
    },
    "MUSIC-AVQA/data/json/avqa-test.json": {
        "video_id": "b",
        "question_id": 2,
        "type": '["Visual", "Location"]',
        "question_content": "Where?",
        "templ_values": "[]",
        "question_deleted": 1,
        "anser": "here",
    },
    "captions-train.json": {"clip": "a", "caption": "A tone."},
    "questions-val.json": {"id": "q", "clip": "a", "question": "What?", "answer": "it", "type": "T", "template": "t"},
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, removed, repeated or replaced by extremes, or the end cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at, length = rng.randrange(len(found) or 1), rng.choice([1, 1, 2, 4, 8, 64])
        how = rng.choice(["flip", "flip", "random", "ones", "zeros", "delete", "repeat", "cut"])
        if how == "flip" and found:
            found[at] ^= 1 << rng.randrange(8)
        elif how == "random":
            found[at : at + length] = rng.randbytes(length)
        elif how in ("ones", "zeros"):
            found[at : at + length] = (b"\xff" if how == "ones" else b"\0") * length
        elif how == "delete":
            del found[at : at + length]
        elif how == "repeat":
            found[at:at] = found[at : at + length]
        elif rng.random() < 0.3:
            del found[at:]
    return bytes(found)


def mutated_json(entry: dict[str, Any], rng: random.Random) -> bytes:
    """An annotation file of which some values or bytes are odd."""
    entries: list[Any] = [dict(entry) for _ in range(rng.randint(0, 3))]
    for odd in entries:
        for name in list(odd):
            if rng.random() < 0.2:
                odd[name] = rng.choice(ODD)
            elif rng.random() < 0.05:
                del odd[name]
    if rng.random() < 0.1:
        entries.append(rng.choice(ODD))
    data = json.dumps(entries if rng.random() < 0.95 else rng.choice(ODD)).encode()
    return mutated(data, rng) if rng.random() < 0.5 else data


def only_user_errors(call: Callable[[], object]) -> bool:
    """Whether a call ends in `UserError`; another error goes on."""
    try:
        call()
    except UserError as error:
        message = str(error)
        assert message
        assert len(message) < 1_500, message
        return True
    return False


def fuzz_annotations(folder: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    for _ in range(rounds):
        for name, entry in ENTRIES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mutated_json(entry, rng))
        for where in (folder, folder / "VALOR", folder / "MUSIC-AVQA"):
            only_user_errors(partial(formats.annotated_clips, where))
            for split in ("train", "val", "test"):
                only_user_errors(partial(formats.load_questions, where, split))
                only_user_errors(partial(formats.load_captions, where, split))
        assert not only_user_errors(lambda: check(folder).table(everything=True))


def write_media(folder: Path) -> dict[str, list[Callable[[Path], object]]]:
    """Small valid files of each kind, and what reads them."""
    frames, sound = grey_frames(8, 48, 48), tone(440, 0.5)
    readers: dict[str, list[Callable[[Path], object]]] = {}
    for name, codecs in {
        "a.mp4": ("libx264", "aac"),
        "b.mov": ("mpeg4", "pcm_s16le"),
        "c.mkv": ("mpeg4", "aac"),
        "d.avi": ("mpeg4", "libmp3lame"),
        "e.flv": ("flv", "aac"),
        "f.mts": ("libx264", "aac"),
    }.items():
        write_video(
            folder / name, frames=frames, waveform=sound, codecs=codecs, format="mpegts" if name == "f.mts" else None
        )
        readers[name] = [partial(decode, num_frames=3), partial(decode, num_frames=3, fps=2.5), probe]
    soundfile.write(folder / "g.wav", sound, 16_000)
    readers["g.wav"] = [extracted.read_wav]
    for name in ("frame_0001.png", "frame_0001.jpg"):
        (folder / name[-3:]).mkdir()
        Image.fromarray(frames[0]).save(folder / name[-3:] / name)
        readers[f"{name[-3:]}/{name}"] = [
            lambda path: extracted.read_frames(path.parent, 2),
            lambda path: extracted.probe_frames(path.parent),
        ]
    for name in ("npy/h.npy", "safetensors/h.safetensors"):
        (folder / name).parent.mkdir()
        array = np.zeros((8, 4), np.float32)
        if name.endswith("npy"):
            np.save(folder / name, array)
        else:
            save_file({"x": array}, folder / name)
        readers[name] = [read_array, lambda path: common_shape(array_files(path.parent, "key"), "key")]
    return readers


def fuzz_media(folder: Path, rounds: int) -> int:
    """Peak memory [bytes]; in a process of its own, which a crash of a library ends."""
    rng = random.Random(rounds)
    readers = write_media(folder)
    whole = {name: (folder / name).read_bytes() for name in readers}
    for _ in range(rounds):
        for name, calls in readers.items():
            path = folder / name
            path.write_bytes(mutated(whole[name], rng))
            for call in calls:
                only_user_errors(partial(call, path))
    return peak_memory()[0]


def fuzz_store(folder: Path, rounds: int) -> int:
    rng = random.Random(rounds)
    modality = Modality("digest", 20, 3, (0, 6, 13, 19))
    rows = {f"clip{i}": Row(f"{i}.mp4:1:1", {"audio": np.full(12, i, np.float16)}) for i in range(20)}
    write_store(folder, Contents({"audio": modality}, {"x": "broken"}), rows)
    whole = (folder / FILE_NAME).read_bytes()

    def read() -> None:
        store = FeatureStore.open(folder)
        store.tokens("audio", store.video_ids, 4)

    for _ in range(rounds):
        (folder / FILE_NAME).unlink()  # what is mapped stays as it was
        (folder / FILE_NAME).write_bytes(mutated(whole, rng))
        only_user_errors(read)
    return peak_memory()[0]


@pytest.mark.parametrize("rounds", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_annotations(tmp_path: Path, rounds: int) -> None:
    fuzz_annotations(tmp_path, rounds)


@pytest.mark.parametrize(
    ("fuzz", "rounds"),
    [
        (fuzz_media, 12),
        (fuzz_store, 40),
        pytest.param(fuzz_media, 300, marks=pytest.mark.slow),
        pytest.param(fuzz_store, 3000, marks=pytest.mark.slow),
    ],
)
def test_files_that_libraries_read(tmp_path: Path, fuzz: Callable[[Path, int], int], rounds: int) -> None:
    ((_, memory),) = run_in_processes(partial(fuzz, tmp_path), {0: rounds}, 1)
    assert not isinstance(memory, Killed), "a library crashed"
    assert memory < 3e9
