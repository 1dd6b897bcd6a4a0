"""The synthetic corpus on disk: formats, determinism, resumption, mistakes."""

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from tokcom_phy.data.decoding import decode
from tokcom_phy.data.formats import load_captions, load_questions
from tokcom_phy.experiments.dataset import SYNTHETIC_SPLITS
from tokcom_phy.synthetic.corpus import MANIFEST, encode, synthesize, write_clip
from tokcom_phy.synthetic.frames import NUM_FRAMES, frames
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Player, Scene, sample_scene
from tokcom_phy.synthetic.sound import NUM_SAMPLES, waveform
from tokcom_phy.utils.errors import UserError

SIZES = {"captions": 10, "train_clips": 6, "test_clips": 3, "train_questions": 20, "test_questions": 10}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("corpus") / "data", **SIZES, seed=3, workers=1)


def test_captions_are_written_as_published(corpus: Path) -> None:
    entries = json.loads((corpus / "VALOR/annotations/desc_train.json").read_text())
    assert len(entries) == 10
    assert all(list(entry) == ["video_id", "desc"] for entry in entries)
    assert all((corpus / f"VALOR/videos/{entry['video_id']}.mp4").is_file() for entry in entries)


def test_questions_are_written_as_published(corpus: Path) -> None:
    keys = ["video_id", "question_id", "type", "question_content", "templ_values", "question_deleted", "anser"]
    entries = json.loads((corpus / "MUSIC-AVQA/annotation/avqa-train.json").read_text())
    assert len(entries) == 20
    for entry in entries:
        assert list(entry) == keys
        assert isinstance(entry["question_id"], int)
        assert entry["question_deleted"] == 0
        slots = json.loads(entry["templ_values"])
        assert entry["question_content"].count("<") == len(slots)
        assert json.loads(entry["type"])[0] in ("Audio", "Visual", "Audio-Visual")
        assert (corpus / f"MUSIC-AVQA/videos/{entry['video_id']}.mp4").is_file()


def test_the_loaders_read_every_split(corpus: Path) -> None:
    captions = {split: load_captions(corpus, split) for split in SYNTHETIC_SPLITS}
    questions = {split: load_questions(corpus, split) for split in SYNTHETIC_SPLITS}
    assert [len(part) for part in captions.values()] == [10, 1, 1]
    assert len(questions["test"]) == 10
    identifiers = [{item.video_id for item in part} for part in captions.values()]
    identifiers += [{item.video_id for item in part} for part in questions.values()]
    assert len(set.union(*identifiers)) == sum(map(len, identifiers))
    assert not any("<" in question.text for question in questions["train"])


def test_scenes_of_splits_differ(corpus: Path) -> None:
    texts = [item.text for split in ("train", "val", "test") for item in load_captions(corpus, split)]
    assert len(set(texts)) == len(texts)


@pytest.mark.long
def test_the_same_call_gives_the_same_bytes_whatever_the_workers(corpus: Path, tmp_path: Path) -> None:
    assert contents(synthesize(tmp_path / "again", **SIZES, seed=3, workers=2)) == contents(corpus)


def test_another_seed_gives_other_clips(corpus: Path, tmp_path: Path) -> None:
    other = contents(synthesize(tmp_path / "other", **SIZES, seed=4, workers=1))
    videos = [name for name in contents(corpus) if name.endswith(".mp4")]
    assert not any(other[name] == (corpus / name).read_bytes() for name in videos)


def test_an_interrupted_corpus_is_completed(corpus: Path, tmp_path: Path) -> None:
    root = synthesize(tmp_path / "data", **SIZES, seed=3, workers=1)
    kept, lost = sorted((root / "VALOR/videos").iterdir())[:2]
    lost.unlink()
    (root / "VALOR/videos/.tokcom-half-written.mp4").write_bytes(b"left by a kill")
    (root / "VALOR/videos/.DS_Store").write_bytes(b"somebody else's")
    (root / "MUSIC-AVQA/annotation/avqa-test.json").unlink()
    written = kept.stat().st_mtime_ns
    synthesize(root, **SIZES, seed=3, workers=1)
    assert kept.stat().st_mtime_ns == written
    assert contents(root) == {**contents(corpus), "VALOR/videos/.DS_Store": b"somebody else's"}


def test_a_corpus_that_other_code_made_is_not_added_to(corpus: Path, tmp_path: Path) -> None:
    root = shutil.copytree(corpus, tmp_path / "data")
    made = json.loads((root / MANIFEST).read_text())
    for old in ({**made, "code": "0123456789abcdef"}, {name: made[name] for name in made if name != "code"}):
        (root / MANIFEST).write_text(json.dumps(old))
        before = contents(root)
        with pytest.raises(UserError, match="another version of the code made: choose another folder"):
            synthesize(root, **SIZES, seed=3, workers=1)
        assert contents(root) == before


@pytest.mark.long
def test_two_at_a_time_make_it_once(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    script = (
        f"from tokcom_phy.synthetic.corpus import synthesize; synthesize({str(root)!r}, **{SIZES}, seed=3, workers=1)"
    )
    both = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert contents(root) == contents(corpus)


@pytest.mark.long
def test_a_killed_worker_is_replaced(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(synthesize, root, **SIZES, seed=3, workers=2)
        while not list(root.rglob("[!.]*.mp4")) and not made.done():
            time.sleep(0.01)
        for child in psutil.Process().children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                break
        assert made.result(timeout=120) == root
    assert contents(root) == contents(corpus)


@pytest.mark.long
def test_a_killed_run_leaves_no_process_and_is_completed(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    script = tmp_path / "script.py"
    script.write_text(
        "from tokcom_phy.synthetic.corpus import synthesize\n"
        f"if __name__ == '__main__': synthesize({str(root)!r}, **{SIZES}, seed=3, workers=2)\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    while not list(root.rglob("[!.]*.mp4")) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.stdout.read()  # ends when the last worker, which holds the other end, has ended
    assert 0 < len(list(root.rglob("[!.]*.mp4"))) < 21
    synthesize(root, **SIZES, seed=3, workers=1)
    assert contents(root) == contents(corpus)


def test_another_request_on_the_same_folder_is_refused(corpus: Path) -> None:
    with pytest.raises(UserError, match="captions 10 instead of 11"):
        synthesize(corpus, **(SIZES | {"captions": 11}), seed=3, workers=1)


def test_a_real_dataset_is_never_mixed_with_synthetic_clips(tmp_path: Path) -> None:
    (tmp_path / "VALOR").mkdir()
    with pytest.raises(UserError, match="not synthesised here"):
        synthesize(tmp_path, **SIZES, seed=0, workers=1)
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize("name", ["captions", "test_clips", "train_questions"])
def test_counts_must_be_positive(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} is 0"):
        synthesize(tmp_path / "data", **(SIZES | {name: 0}), seed=0, workers=1)
    assert not (tmp_path / "data").exists()


def test_workers_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="workers is 0"):
        synthesize(tmp_path / "data", **SIZES, seed=0, workers=0)
    assert not (tmp_path / "data").exists()


def test_a_clip_survives_the_codecs(tmp_path: Path) -> None:
    scene = sample_scene(np.random.default_rng(1))
    write_clip(tmp_path / "clip.mp4", scene)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        names = {stream.type: stream.codec_context.name for stream in container.streams}
        assert names["audio"] == "flac"
        assert names["video"] in ("h264", "mpeg4")
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert pictures.shape == (NUM_FRAMES, 96, 96, 3)
    assert np.abs(pictures.astype(float) - frames(scene)).mean() < 6

    decoded, sent = decode(tmp_path / "clip.mp4").waveform, waveform(scene)
    assert decoded is not None
    assert len(decoded) == NUM_SAMPLES
    np.testing.assert_allclose(decoded, sent, atol=2e-5)  # 16 bit


def test_writing_a_clip_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for seed in range(4):
        scene = sample_scene(np.random.default_rng(seed))
        for name in ("a.mp4", "b.mp4"):
            write_clip(tmp_path / name, scene)
        assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_file_may_lack_a_track(tmp_path: Path) -> None:
    scene = Scene((Player("drum", "left", (0.0, CLIP_SECONDS), ((0.1, 0.7),), True),), "indoor", None, 0)
    encode(str(tmp_path / "sound.mp4"), None, waveform(scene))
    encode(str(tmp_path / "picture.mp4"), frames(scene), None)
    for name, kind in (("sound", "audio"), ("picture", "video")):
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            assert [stream.type for stream in container.streams] == [kind]
