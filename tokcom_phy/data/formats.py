"""Annotations exactly as published: VALOR-32K captions and MUSIC-AVQA questions.

Expected layouts, below a data folder or as the folder that is given:

    VALOR/annotations/desc_{train,val,test}.json          [{"video_id", "desc"}, …]
    MUSIC-AVQA/annotation/avqa-{train,val,test}.json      [{"video_id", "question_id", "type", "question_content",
                                                            "templ_values", "question_deleted", "anser"}, …]
"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tokcom_phy.utils.errors import UserError, nearest

logger = logging.getLogger(__name__)

CAPTIONS_LAYOUT = "VALOR/annotations/desc_SPLIT.json"
QUESTIONS_LAYOUT = "MUSIC-AVQA/annotation/avqa-SPLIT.json"

QUESTION_TYPES = (
    ("Audio", "Counting"),
    ("Audio", "Comparative"),
    ("Visual", "Counting"),
    ("Visual", "Location"),
    ("Audio-Visual", "Existential"),
    ("Audio-Visual", "Counting"),
    ("Audio-Visual", "Location"),
    ("Audio-Visual", "Comparative"),
    ("Audio-Visual", "Temporal"),
)
"""MUSIC-AVQA's nine types of question: what they need, what they ask."""

_SLOT = re.compile(r"<\w+>")


@dataclass(frozen=True)
class Caption:
    """One VALOR caption: what is seen and heard in clip ``video_id``."""

    video_id: str
    text: str


@dataclass(frozen=True)
class Question:
    """One MUSIC-AVQA question about clip ``video_id``.

    ``type`` is the published pair, e.g. ``("Audio-Visual", "Counting")``; ``template`` is the question with its slots
    open, ``text`` with its slots filled; ``answer`` is kept as published (``"acoustic_guitar"``, ``"more than ten"``).
    """

    video_id: str
    question_id: int
    type: tuple[str, str]
    template: str
    text: str
    answer: str


_Item = TypeVar("_Item", Caption, Question)


def normalise_answer(text: str) -> str:
    """Fold case and blanks: two answers are equal if and only if their normalised forms are."""
    return " ".join(text.casefold().split())


def load_captions(root: str | Path, split: str) -> list[Caption]:
    """Read the captions of one split of VALOR, in the file's order.

    Parameters
    ----------
    root : path
        The folder ``VALOR``, or the folder that holds it.
    split : str
        ``train``, ``val`` or ``test``: whichever ``desc_SPLIT.json`` there is.

    Raises
    ------
    UserError
        If the folder or file is missing, is not such JSON, holds no caption, or an identifier would leave the folder.
    """
    path = _annotation_file(root, CAPTIONS_LAYOUT, split)
    captions = [
        Caption(_identifier(entry, where), _field(entry, "desc", str, where)) for entry, where in _entries(path)
    ]
    return _not_empty(captions, path, "caption")


def load_questions(root: str | Path, split: str) -> list[Question]:
    """Read the questions of one split of MUSIC-AVQA, in the file's order, with every template filled.

    Entries that the dataset marks ``question_deleted`` are left out; how many is logged, see `deleted_questions`.

    Parameters
    ----------
    root : path
        The folder ``MUSIC-AVQA``, or the folder that holds it.
    split : str
        ``train``, ``val`` or ``test``: whichever ``avqa-SPLIT.json`` there is.

    Raises
    ------
    UserError
        If the folder or file is missing, is not such JSON, holds no question, an identifier would leave the folder,
        or a template's slots and values do not match.
    """
    path = _annotation_file(root, QUESTIONS_LAYOUT, split)
    entries = list(_entries(path))
    questions = [_question(entry, where) for entry, where in entries if not entry.get("question_deleted")]
    if len(questions) < len(entries):
        _warn(f"{path}: {len(entries) - len(questions)} deleted questions are left out")
    return _not_empty(questions, path, "question")


def deleted_questions(root: str | Path, split: str) -> int:
    """How many entries of a split `load_questions` leaves out because the dataset marks them as deleted."""
    path = _annotation_file(root, QUESTIONS_LAYOUT, split)
    return sum(bool(entry.get("question_deleted")) for entry, _ in _entries(path))


def caption_splits(root: str | Path) -> list[str]:
    """The splits of VALOR that are there, sorted; empty if the dataset is not."""
    return _splits(root, CAPTIONS_LAYOUT)


def question_splits(root: str | Path) -> list[str]:
    """The splits of MUSIC-AVQA that are there, sorted; empty if the dataset is not."""
    return _splits(root, QUESTIONS_LAYOUT)


def dataset_folders(root: str | Path) -> list[Path]:
    """The folders of datasets in ``root``: ``root/VALOR`` and ``root/MUSIC-AVQA`` where they exist, else ``root``.

    Raises
    ------
    UserError
        If ``root`` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"no folder {root}: give a data folder that holds {CAPTIONS_LAYOUT} or {QUESTIONS_LAYOUT}")
    return [root / name for name in ("VALOR", "MUSIC-AVQA") if (root / name).is_dir()] or [root]


def annotated_clips(root: str | Path) -> list[str]:
    """Identifiers of all clips that the annotations in a dataset's folder speak of, sorted; empty without annotations.

    Raises
    ------
    UserError
        If an annotation file cannot be used, see `load_captions` and `load_questions`.
    """
    captioned = {item.video_id for split in caption_splits(root) for item in load_captions(root, split)}
    asked = {item.video_id for split in question_splits(root) for item in load_questions(root, split)}
    return sorted(captioned | asked)


def check_identifier(video_id: str, where: str) -> str:
    """Return ``video_id`` if it is a plain file name, so that a path made of it stays in the dataset's folder.

    Raises
    ------
    UserError
        If it is empty, absolute, has a path separator or is ``.`` or ``..``; ``where`` says where it stands.
    """
    if video_id in ("", ".", "..") or any(character in video_id for character in "/\\:\0"):
        raise UserError(f"{where}: video_id {video_id!r} would leave the dataset's folder, use a plain file name")
    return video_id


def fill_template(template: str, values: list[str], where: str) -> str:
    """Put ``values``, in order, into the slots ``<Object>``, ``<LR>``… of ``template``; outer blanks are stripped.

    Raises
    ------
    UserError
        If there are fewer or more values than slots; ``where`` says which file and question.
    """
    slots = _SLOT.findall(template)
    if len(values) < len(slots):
        raise UserError(
            f"{where}: slot {slots[len(values)]} of {template!r} has no value in {values}, add it to templ_values"
        )
    if len(values) > len(slots):
        raise UserError(f"{where}: template {template!r} has {len(slots)} slots for the {len(values)} values {values}")
    remaining = iter(values)
    return _SLOT.sub(lambda _: next(remaining), template).strip()


@cache
def _warn(what: str) -> None:
    """Log a warning, once however often the file is read."""
    logger.warning(what)


def _question(entry: dict[str, Any], where: str) -> Question:
    question_id = _field(entry, "question_id", int, where)
    where = f"{where} (question {question_id})"
    kind = _strings(entry, "type", where)
    if len(kind) != 2:
        raise UserError(f'{where}: \'type\' is {kind}, expected a pair such as ["Audio", "Counting"]')
    template = _field(entry, "question_content", str, where)
    return Question(
        video_id=_identifier(entry, where),
        question_id=question_id,
        type=(kind[0], kind[1]),
        template=template,
        text=fill_template(template, _strings(entry, "templ_values", where), where),
        answer=_field(entry, "anser", str, where),
    )


def _locate(root: str | Path, layout: str) -> tuple[Path, str, str]:
    """The annotation folder of a layout, and what stands before and after the split in its files' names."""
    dataset, folder, name = layout.split("/")
    prefix, suffix = name.split("SPLIT")
    root = Path(root)
    base = root / dataset if (root / dataset).is_dir() else root
    return base / folder, prefix, suffix


def _splits(root: str | Path, layout: str) -> list[str]:
    folder, prefix, suffix = _locate(root, layout)
    return sorted(path.name[len(prefix) : -len(suffix)] for path in folder.glob(f"{prefix}*{suffix}"))


def _annotation_file(root: str | Path, layout: str, split: str) -> Path:
    folder, prefix, suffix = _locate(root, layout)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: expected {layout} in {root}")
    splits = _splits(root, layout)
    if split not in splits:
        mend = nearest(split, splits) if splits else f"expected {layout}"
        raise UserError(f"no file {folder / f'{prefix}{split}{suffix}'}: {mend}")
    return folder / f"{prefix}{split}{suffix}"


def _entries(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Each entry of a JSON list of objects, and words for where it stands."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): get the file again") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}): get the file again"
        ) from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} is not a list of objects, as the published annotations are")
    return ((entry, f"{path} entry {position}") for position, entry in enumerate(entries))


def _field(entry: dict[str, Any], name: str, kind: type, where: str) -> Any:
    if name not in entry:
        raise UserError(f"{where}: no '{name}', it has {', '.join(entry) or 'no fields'}")
    if not isinstance(entry[name], kind):
        raise UserError(f"{where}: '{name}' is {entry[name]!r}, expected {kind.__name__}")
    if kind is str and not entry[name].strip():
        raise UserError(f"{where}: '{name}' is empty")
    return entry[name]


def _strings(entry: dict[str, Any], name: str, where: str) -> list[str]:
    """A field that is a JSON list of strings written as a string."""
    text = _field(entry, name, str, where)
    try:
        values = json.loads(text)
    except json.JSONDecodeError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UserError(f'{where}: \'{name}\' is {text!r}, expected a list of strings such as "[\\"piano\\"]"')
    return values


def _identifier(entry: dict[str, Any], where: str) -> str:
    return check_identifier(_field(entry, "video_id", str, where), where)


def _not_empty(items: list[_Item], path: Path, what: str) -> list[_Item]:
    if not items:
        raise UserError(f"{path} holds no {what}: an empty split cannot be trained or tested on")
    return items
