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
    return Counter(finding.kind for finding in check(root).findings)


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
    assert report.findings == []
    assert report.sound
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
    details = {finding.detail for finding in check(whole).findings}
    assert f"{folder / 'a'}.mp4" in details
    assert f"{folder / 'c'}.mp4: no audio track" in details
    assert dict(check(whole).counts)["MUSIC-AVQA: clips without annotations, left alone"] == 1
    assert str(folder / "b.mp4") in shown(whole)


def test_all_findings_are_named_where_that_is_asked(tmp_path: Path) -> None:
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
    (finding,) = check(whole).findings
    assert finding.kind == "extracted frames with gaps"
    assert finding.detail == f"{frames}: no frame_0003, 2 are missing"
    (frames / "frame_0005.jpg").rename(frames / "frame_0003.jpg")
    assert check(whole).sound
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
