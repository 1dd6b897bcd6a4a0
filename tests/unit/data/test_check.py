"""Checking a dataset tells all that is missing or odd, and passes one that is whole."""

import io
import json
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from media_files import grey_frames, tone, write_clip, write_video
from PIL import Image
from rich.console import Console

from tokcom_phy.data.check import check
from tokcom_phy.utils.errors import UserError

QUESTION = {
    "type": '["Audio", "Counting"]',
    "question_content": "Is there a <Object> sound?",
    "templ_values": '["flute"]',
    "question_deleted": 0,
    "anser": "yes",
}


def write_annotations(root: Path, **splits: list[dict[str, object]]) -> None:
    for split, entries in splits.items():
        path = root / "MUSIC-AVQA" / "annotation" / f"avqa-{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        numbered = [{**QUESTION, "question_id": number, **entry} for number, entry in enumerate(entries)]
        path.write_text(json.dumps(numbered))


def kinds(root: Path) -> Counter[str]:
    return Counter(issue.kind for issue in check(root).issues)


def shown(root: Path, everything: bool = False) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as output:
        console.print(check(root).table(everything))
    return output.get()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    write_annotations(tmp_path, train=[{"video_id": "a"}, {"video_id": "b"}], test=[{"video_id": "c"}])
    for name in "abc":
        write_clip(tmp_path / "MUSIC-AVQA" / f"{name}.mp4", seconds=0.5)
    captions = tmp_path / "VALOR" / "annotations" / "desc_train.json"
    captions.parent.mkdir(parents=True)
    captions.write_text('[{"video_id": "d_0.000", "desc": "A flute sounds."}]')
    write_clip(tmp_path / "VALOR" / "videos" / "d_0.000.mp4", seconds=0.5)
    return tmp_path


def test_a_whole_dataset_is_sound(whole: Path) -> None:
    report = check(whole)
    assert report.issues == []
    assert report.clean
    counts = dict(report.counts)
    assert counts["MUSIC-AVQA: questions, train"] == 2
    assert counts["MUSIC-AVQA: question templates, train"] == counts["MUSIC-AVQA: different answers, train"] == 1
    assert counts["MUSIC-AVQA: clips with media"] == 3
    assert counts["VALOR: captions, train"] == 1
    assert "nothing is missing or odd" in shown(whole)


def test_media_that_are_missing_or_bad_are_named(whole: Path) -> None:
    folder = whole / "MUSIC-AVQA"
    (folder / "a.mp4").unlink()
    (folder / "b.mp4").write_bytes(b"")
    write_video(folder / "c.mp4", frames=grey_frames(4))
    write_clip(folder / "extra.mp4", seconds=0.5)
    assert kinds(whole) == {"clip without media": 1, "media that cannot be used": 2}
    details = {issue.detail for issue in check(whole).issues}
    assert f"{folder / 'a'}.mp4" in details
    assert f"{folder / 'c'}.mp4: no audio track" in details
    assert dict(check(whole).counts)["MUSIC-AVQA: clips without annotations, left alone"] == 1
    assert str(folder / "b.mp4") in shown(whole)


def test_all_issues_are_named_where_that_is_asked(tmp_path: Path) -> None:
    names = [f"clip{number}.mp4" for number in range(8)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    few, everything = shown(tmp_path), shown(tmp_path, everything=True)
    assert [name in few for name in names] == [True] * 5 + [False] * 3
    assert "and 3 more" in few
    assert all(name in everything for name in names)
    assert "more" not in everything


def test_extracted_media_are_looked_at(whole: Path) -> None:
    folder = whole / "MUSIC-AVQA"
    (folder / "a.mp4").unlink()
    frames = folder / "extraction/vivit_frames/a"
    frames.mkdir(parents=True)
    for number in (1, 2, 5):
        Image.fromarray(grey_frames(1)[0]).save(frames / f"frame_{number:04d}.jpg")
    wav = folder / "extraction/ast_audio/a.wav"
    wav.parent.mkdir(parents=True)
    soundfile.write(wav, tone(440, 1), 16_000)
    (issue,) = check(whole).issues
    assert issue.kind == "extracted frames with gaps"
    assert issue.detail == f"{frames}: no frame_0003, 2 are missing"
    (frames / "frame_0005.jpg").rename(frames / "frame_0003.jpg")
    assert check(whole).clean
    soundfile.write(wav, tone(440, 1), 44_100)
    assert kinds(whole) == {"media that cannot be used": 1}


def test_odd_questions_are_named(whole: Path) -> None:
    write_annotations(
        whole,
        train=[{"video_id": "a"}, {"video_id": "a", "anser": "no"}, {"video_id": "b", "type": '["Audio", "Weather"]'}],
        test=[
            {"video_id": "c", "anser": "perhaps"},
            {"video_id": "b", "templ_values": '["drum"]'},
            {"video_id": "c", "question_deleted": 1},
        ],
    )
    assert kinds(whole) == {
        "one question, several answers": 1,
        "unknown question type": 1,
        "answer that training never sees": 1,
        "clip in two splits": 1,
    }
    assert dict(check(whole).counts)["MUSIC-AVQA: deleted questions, test"] == 1


def test_unusable_and_missing_splits_are_named_and_the_rest_is_looked_at(whole: Path) -> None:
    folder = whole / "MUSIC-AVQA"
    (folder / "annotation" / "avqa-train.json").write_text("[{]")
    (folder / "annotation" / "avqa-test.json").unlink()
    (folder / "annotation" / "avqa-val.json").write_text(
        json.dumps([{**QUESTION, "video_id": "c", "question_id": 1, "templ_values": "[]"}])
    )
    (whole / "VALOR" / "annotations" / "desc_val.json").write_text('[{"video_id": "gone", "desc": "Rain."}]')
    assert kinds(whole) == {"unusable annotations": 2, "missing split": 1, "clip without media": 1}
    assert "slot <Object>" in shown(whole)


def test_a_folder_without_annotations(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", seconds=0.5)
    (tmp_path / "b.mp4").write_bytes(b"junk")
    assert kinds(tmp_path) == {"no annotations": 1, "media that cannot be used": 1}
    with pytest.raises(UserError, match="no folder"):
        check(tmp_path / "nowhere")


def test_extracted_frames_that_preparing_would_refuse_are_named(whole: Path) -> None:
    folder = whole / "MUSIC-AVQA" / "extraction/vivit_frames"
    for name, files in {
        "a": {"frame_0001.png": 96, "frame_0002.png": 64},
        "b": {"frame_0001.png": 96, "frame_0001.jpg": 96},
        "c": {"frame_0001.PNG": 96, "frame_2000000000.png": 96},
    }.items():
        (folder / name).mkdir(parents=True)
        for file, size in files.items():
            Image.fromarray(grey_frames(1, size, size)[0]).save(folder / name / file)
    details = {issue.kind: issue.detail for issue in check(whole).issues if issue.detail.startswith(str(folder / "c"))}
    assert details == {"extracted frames with gaps": f"{folder / 'c'}: no frame_0002, 1999999998 are missing"}
    unusable = sorted(issue.detail for issue in check(whole).issues if issue.kind == "media that cannot be used")
    assert unusable == [
        f"{folder / 'a'}: frames of different sizes, extract them again",
        f"{folder / 'b'}: frame_0001.jpg, frame_0001.png have the same number, keep one of them",
    ]


@pytest.mark.parametrize("extracted", [False, True])
def test_sound_that_is_shorter_than_a_window_is_named(whole: Path, extracted: bool) -> None:
    folder = whole / "MUSIC-AVQA"
    if extracted:
        path = folder / "extraction/ast_audio/a.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, tone(440, 399 / 16_000), 16_000)
    else:
        path = folder / "a.mov"
        (folder / "a.mp4").unlink()
        write_video(path, frames=grey_frames(4), waveform=tone(440, 399 / 16_000), codecs=("mpeg4", "pcm_s16le"))
    (issue,) = check(whole).issues
    assert issue.detail == f"{path}: 399 samples of sound are fewer than the 400 that it takes"


def test_a_question_number_used_twice_is_named(whole: Path) -> None:
    write_annotations(whole, train=[{"video_id": "a", "question_id": 7}, {"video_id": "b", "question_id": 7}])
    (issue,) = check(whole).issues
    assert (issue.kind, issue.detail) == ("question number used more than once", "train: 7, 2 times")


def test_how_many_clips_are_longer_than_the_encoder_takes_is_told(whole: Path) -> None:
    write_clip(whole / "MUSIC-AVQA" / "a.mp4", seconds=11)
    report = check(whole)
    assert report.clean
    assert ("MUSIC-AVQA: clips of more than the 10.24 s that one window of AST base takes", 1) in report.counts


def test_control_characters_do_not_reach_the_terminal(whole: Path) -> None:
    write_annotations(whole, train=[{"video_id": "a\x1b[31m"}, {"video_id": "b"}])
    assert "\x1b[31m" not in shown(whole)
    assert "a\\x1b[31m.mp4" in shown(whole)


def test_annotations_of_ones_own_are_checked(tmp_path: Path) -> None:
    question = {"id": "q1", "clip": "a", "question": "How far is it?", "answer": "near"}
    for split in ("train", "test"):
        (tmp_path / f"questions-{split}.json").write_text(json.dumps([question]))
    (tmp_path / "captions-train.json").write_text('[{"clip": "a", "caption": "A car."}]')
    assert kinds(tmp_path) == {"clip in two splits": 1}
    (tmp_path / "questions-test.json").write_text(json.dumps([{**question, "clip": "b"}] * 2))
    assert kinds(tmp_path) == {"question number used more than once": 1}
    write_clip(tmp_path / "a.MOV", seconds=0.5)
    assert kinds(tmp_path) == {"question number used more than once": 1, "clip without media": 1}
    (tmp_path / "questions-test.json").write_text('[{"clip": "b", "question": "?", "answer": "x"}]')
    (issue,) = [issue for issue in check(tmp_path).issues if issue.kind == "unusable annotations"]
    assert "questions-test.json entry 0: no 'id', it has clip, question, answer" in issue.detail
