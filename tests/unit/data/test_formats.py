"""Annotations as published: every template filled, every answer kept, every fault named in one line."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tokcom_phy.data import formats
from tokcom_phy.training.evaluate import majority_per_template
from tokcom_phy.utils.errors import UserError

PUBLISHED = Path(__file__).resolve().parents[4] / "shared" / "data"
published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"no published annotation files in {PUBLISHED}")

QUESTION = {
    "video_id": "00000108",
    "question_id": 10,
    "type": '["Audio", "Comparative"]',
    "question_content": "Is the <Object> louder than the <Object>?",
    "templ_values": '["guzheng", "acoustic_guitar"]',
    "question_deleted": 0,
    "anser": "yes",
}


def write_questions(root: Path, *entries: object, split: str = "val") -> Path:
    path = root / "MUSIC-AVQA" / "annotation" / f"avqa-{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def write_captions(root: Path, *entries: object, split: str = "train") -> Path:
    path = root / "VALOR" / "annotations" / f"desc_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_question_is_filled_in_order(tmp_path: Path) -> None:
    write_questions(tmp_path, QUESTION)
    (question,) = formats.load_questions(tmp_path, "val")
    assert question == formats.Question(
        video_id="00000108",
        question_id=10,
        type=("Audio", "Comparative"),
        template="Is the <Object> louder than the <Object>?",
        text="Is the guzheng louder than the acoustic_guitar?",
        answer="yes",
    )
    assert formats.load_questions(tmp_path / "MUSIC-AVQA", "val") == [question]


def test_a_value_that_looks_like_a_slot_is_not_filled_again() -> None:
    assert formats.fill_template("<LR> of <Object>?", ["<Object>", "drum"], "here") == "<Object> of drum?"


def test_captions_keep_order_and_text(tmp_path: Path) -> None:
    write_captions(tmp_path, {"video_id": "b_0.000", "desc": "A dog."}, {"video_id": "a", "desc": "Wind – “quoted”."})
    captions = formats.load_captions(tmp_path, "train")
    assert captions == [formats.Caption("b_0.000", "A dog."), formats.Caption("a", "Wind – “quoted”.")]
    assert formats.caption_splits(tmp_path) == ["train"]
    assert formats.question_splits(tmp_path) == []


def test_deleted_questions_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_questions(tmp_path, QUESTION, {**QUESTION, "question_id": 11, "question_deleted": 1})
    assert [question.question_id for question in formats.load_questions(tmp_path, "val")] == [10]
    assert "1 deleted" in caplog.text
    assert formats.deleted_questions(tmp_path, "val") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"templ_values": '["guzheng"]'}, ["question 10", "slot <Object>", "louder than"]),
        ({"templ_values": '["a", "b", "c"]'}, ["question 10", "2 slots", "3 values"]),
        ({"templ_values": "guzheng"}, ["question 10", "templ_values", "list of strings"]),
        ({"type": '["Audio"]'}, ["question 10", "type", "pair"]),
        ({"anser": " "}, ["'anser' is empty"]),
        ({"question_id": "x"}, ["entry 0", "question_id", "int"]),
        ({"video_id": "../secret"}, ["'../secret'", "leave"]),
        ({"video_id": "/etc/passwd"}, ["leave"]),
        ({"video_id": ".."}, ["leave"]),
        ({"video_id": "a\\b"}, ["leave"]),
        ({"video_id": "C:clip"}, ["leave"]),
    ],
)
def test_a_fault_in_a_question_is_named(tmp_path: Path, change: dict[str, object], words: list[str]) -> None:
    path = write_questions(tmp_path, {**QUESTION, **change})
    with pytest.raises(UserError) as raised:
        formats.load_questions(tmp_path, "val")
    message = str(raised.value)
    assert all(word in message for word in [str(path), *words]), message
    assert "\n" not in message


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = write_captions(tmp_path, {"video_id": "a", "description": "A dog."})
    with pytest.raises(UserError, match=r"entry 0: no 'desc', it has video_id, description") as raised:
        formats.load_captions(tmp_path, "train")
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{"video_id": "a", ', "is not JSON (line 1, column 20"),
        (b"", "is not JSON (line 1, column 1"),
        (b'{"video_id": "a"}', "is not a list of objects"),
        (b'["a"]', "is not a list of objects"),
        (b"[]", "holds no caption"),
        (b'["\xff"]', "is not UTF-8 text"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = write_captions(tmp_path)
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        formats.load_captions(tmp_path, "train")
    assert str(path) in str(raised.value)
    assert words in str(raised.value)


def test_missing_folder_and_split_say_the_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected VALOR/annotations/desc_SPLIT\.json"):
        formats.load_captions(tmp_path, "train")
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        formats.dataset_folders(tmp_path / "nowhere")
    write_questions(tmp_path, QUESTION, split="train")
    with pytest.raises(UserError, match=r"no questions-trian\.json and the like in .*: did you mean 'train'\?"):
        formats.load_questions(tmp_path, "trian")


def test_answers_compare_without_case_and_blanks() -> None:
    assert formats.normalise_answer("  More than\tTEN ") == formats.normalise_answer("more  than ten")
    assert formats.normalise_answer("acoustic_guitar") != formats.normalise_answer("acoustic guitar")


@published
@pytest.mark.parametrize(("split", "count", "templates"), [("val", 4595, 33), ("train_fake", 6233, 27)])
def test_published_questions_load_whole(split: str, count: int, templates: int) -> None:
    questions = formats.load_questions(PUBLISHED, split)
    entries = json.loads((PUBLISHED / f"MUSIC-AVQA/annotation/avqa-{split}.json").read_text(encoding="utf-8"))
    assert len(questions) == len(entries) == count
    assert [question.answer for question in questions] == [entry["anser"] for entry in entries]
    assert len({question.template for question in questions}) == templates
    assert not any("<" in question.text for question in questions)
    assert all(question.text[-1] in "?？" for question in questions)
    assert len({question.type for question in questions}) == 9 or split != "val"


@published
def test_published_captions_load_whole() -> None:
    captions = formats.load_captions(PUBLISHED, "val")
    entries = json.loads((PUBLISHED / "VALOR/annotations/desc_val.json").read_text(encoding="utf-8"))
    assert Counter((caption.video_id, caption.text) for caption in captions) == Counter(
        (entry["video_id"], entry["desc"]) for entry in entries
    )
    assert len(captions) == 3500


@published
def test_published_majority_per_template() -> None:
    """Against a table of the raw entries: the most frequent answer of each template, ties to the first seen."""
    tables = [
        pd.read_json(PUBLISHED / f"MUSIC-AVQA/annotation/avqa-{split}.json")[["question_content", "anser"]]
        for split in ("val", "train_fake")
    ]
    counts = tables[0].groupby(["question_content", "anser"], sort=False).size()
    best = {template: group.idxmax()[1] for template, group in counts.groupby("question_content", sort=False)}
    expected = (tables[1]["question_content"].map(best) == tables[1]["anser"]).mean()
    val, fake = formats.load_questions(PUBLISHED, "val"), formats.load_questions(PUBLISHED, "train_fake")
    right = majority_per_template(val, fake)
    assert sum(right) / len(right) == pytest.approx(expected, abs=1e-12)
    assert len({question.answer for question in val}) == 41


def test_the_layout_of_music_avqas_own_repository_is_read(tmp_path: Path) -> None:
    path = write_questions(tmp_path, QUESTION)
    other = tmp_path / "MUSIC-AVQA" / "data" / "json" / "avqa-test.json"
    other.parent.mkdir(parents=True)
    path.rename(other)
    for root in (tmp_path, tmp_path / "MUSIC-AVQA"):
        assert formats.question_splits(root) == ["test"]
        assert formats.load_questions(root, "test")[0].text == "Is the guzheng louder than the acoustic_guitar?"
        assert formats.annotated_clips(root) == ["00000108"]
    write_questions(tmp_path, QUESTION, QUESTION)
    assert formats.question_splits(tmp_path) == ["test", "val"]


def test_annotations_of_ones_own(tmp_path: Path) -> None:
    question = {"id": "q1", "clip": "a", "question": "How far is the car?", "answer": "near"}
    typed = {**question, "id": 2, "type": "Distance", "template": "How far is the <Object>?"}
    (tmp_path / "questions-train.json").write_text(json.dumps([question, typed]))
    (tmp_path / "captions-train.json").write_text('[{"clip": "a", "caption": "A car."}]')
    assert formats.load_questions(tmp_path, "train") == [
        formats.Question("a", "q1", ("untyped",), "How far is the car?", "How far is the car?", "near"),
        formats.Question("a", 2, ("Distance",), "How far is the <Object>?", "How far is the car?", "near"),
    ]
    assert formats.load_captions(tmp_path, "train") == [formats.Caption("a", "A car.")]
    assert formats.dataset_folders(tmp_path) == [tmp_path]
    assert formats.deleted_questions(tmp_path, "train") == 0
    (tmp_path / "VALOR").mkdir()
    assert formats.dataset_folders(tmp_path) == [tmp_path / "VALOR", tmp_path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 100_000, "cannot be read as JSON"),
        ('[{"video_id": "a", "desc": ' + "9" * 5_000 + "}]", "cannot be read as JSON"),
        ('[{"video_id": "a", "desc": "\\ud800"}]', "half of a surrogate pair"),
        ('[{"video_id": "\\ud800", "desc": "x"}]', "half of a surrogate pair"),
        ('[{"video_id": true, "desc": "x"}]', "'video_id' is True, expected str"),
    ],
)
def test_hostile_json_is_named_in_a_short_line(tmp_path: Path, content: str, words: str) -> None:
    write_captions(tmp_path).write_text(content)
    with pytest.raises(UserError, match=words) as raised:
        formats.load_captions(tmp_path, "train")
    assert len(str(raised.value)) < len(str(tmp_path)) + 300


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    for change in (
        {"video_id": "x/" * 10_000},
        {"type": "x" * 10_000},
        {"templ_values": json.dumps(["y" * 10_000] * 3)},
        {"templ_values": "[" * 10_000},
        {"question_id": ["z" * 10_000]},
        {"question_id": True},
    ):
        write_questions(tmp_path, {**QUESTION, **change})
        with pytest.raises(UserError) as raised:
            formats.load_questions(tmp_path, "val")
        assert len(str(raised.value)) < len(str(tmp_path)) + 500
