"""Captions and questions of a dataset: VALOR-32K and MUSIC-AVQA as published, and a plain JSON for one's own.

Expected layouts, below a data folder or as the folder that is given; SPLIT is any name::

    VALOR/annotations/desc_SPLIT.json          [{"video_id", "desc"}, …]
    MUSIC-AVQA/annotation/avqa-SPLIT.json      [{"video_id", "question_id", "type", "question_content",
                                                 "templ_values", "question_deleted", "anser"}, …]
    MUSIC-AVQA/data/json/avqa-SPLIT.json       the same, where its own repository has it
    captions-SPLIT.json                        [{"clip", "caption"}, …]
    questions-SPLIT.json                       [{"id", "clip", "question", "answer", "type"?, "template"?}, …]
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tokcom_phy.data.json_files import check_identifier, field, read_entries, strings_in
from tokcom_phy.utils.errors import UserError, nearest, quoted

logger = logging.getLogger(__name__)

CAPTIONS_LAYOUTS = ("VALOR/annotations/desc_SPLIT.json", "captions-SPLIT.json")
QUESTIONS_LAYOUTS = (
    "MUSIC-AVQA/annotation/avqa-SPLIT.json",
    "MUSIC-AVQA/data/json/avqa-SPLIT.json",
    "questions-SPLIT.json",
)
"""Where the files of the splits lie; of two files of one split the first in this order is read."""

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

UNTYPED = ("untyped",)
"""Type of a question of one's own that names none."""

_SLOT = re.compile(r"<\w+>")


@dataclass(frozen=True)
class Caption:
    """One caption: what is seen and heard in clip ``video_id``."""

    video_id: str
    text: str


@dataclass(frozen=True)
class Question:
    """One question about clip ``video_id``.

    ``type`` is MUSIC-AVQA's published pair, e.g. ``("Audio-Visual", "Counting")``, or what one's own file says;
    ``template`` is the question with its slots open, ``text`` with its slots filled; ``answer`` is kept as published
    (``"acoustic_guitar"``, ``"more than ten"``).
    """

    video_id: str
    question_id: int | str
    type: tuple[str, ...]
    template: str
    text: str
    answer: str


_Item = TypeVar("_Item", Caption, Question)


def normalise_answer(text: str) -> str:
    """Fold case and blanks: two answers are equal if and only if their normalised forms are."""
    return " ".join(text.casefold().split())


def load_captions(root: str | Path, split: str) -> list[Caption]:
    """Read the captions of one split, in the file's order.

    Parameters
    ----------
    root : path
        The folder ``VALOR``, the folder that holds it, or one with ``captions-SPLIT.json``.
    split : str
        ``train``, ``val`` or ``test``: whichever file there is.

    Raises
    ------
    UserError
        If the folder or file is missing, is not such JSON, holds no caption, or an identifier would leave the folder.
    """
    path = _file(root, CAPTIONS_LAYOUTS, split)
    clip, text = ("clip", "caption") if _is_own(path) else ("video_id", "desc")
    captions = [
        Caption(check_identifier(field(entry, clip, str, where), where), field(entry, text, str, where))
        for entry, where in read_entries(path)
    ]
    return _not_empty(captions, path, "caption")


def load_questions(root: str | Path, split: str) -> list[Question]:
    """Read the questions of one split, in the file's order, with every template filled.

    Entries that MUSIC-AVQA marks ``question_deleted`` are left out; how many is logged, see `deleted_questions`.

    Parameters
    ----------
    root : path
        The folder ``MUSIC-AVQA``, the folder that holds it, or one with ``questions-SPLIT.json``.
    split : str
        ``train``, ``val`` or ``test``: whichever file there is.

    Raises
    ------
    UserError
        If the folder or file is missing, is not such JSON, holds no question, an identifier would leave the folder,
        or a template's slots and values do not match.
    """
    path = _file(root, QUESTIONS_LAYOUTS, split)
    entries = read_entries(path)
    if _is_own(path):
        return _not_empty([_own_question(entry, where) for entry, where in entries], path, "question")
    questions = [_question(entry, where) for entry, where in entries if not entry.get("question_deleted")]
    if len(questions) < len(entries):
        _warn(f"{path}: {len(entries) - len(questions)} deleted questions are left out")
    return _not_empty(questions, path, "question")


def deleted_questions(root: str | Path, split: str) -> int:
    """How many entries of a split `load_questions` leaves out because MUSIC-AVQA marks them as deleted."""
    path = _file(root, QUESTIONS_LAYOUTS, split)
    return 0 if _is_own(path) else sum(bool(entry.get("question_deleted")) for entry, _ in read_entries(path))


def caption_splits(root: str | Path) -> list[str]:
    """The splits that have captions, sorted."""
    return sorted(_files(root, CAPTIONS_LAYOUTS))


def question_splits(root: str | Path) -> list[str]:
    """The splits that have questions, sorted."""
    return sorted(_files(root, QUESTIONS_LAYOUTS))


def has_published_types(root: str | Path, split: str) -> bool:
    """Whether the questions of a split are MUSIC-AVQA's, whose types are `QUESTION_TYPES`."""
    return not _is_own(_file(root, QUESTIONS_LAYOUTS, split))


def is_own_dataset(root: str | Path) -> bool:
    """Whether there are annotations, and all of them are in the JSON for one's own."""
    paths = [*_files(root, CAPTIONS_LAYOUTS).values(), *_files(root, QUESTIONS_LAYOUTS).values()]
    return bool(paths) and all(map(_is_own, paths))


def dataset_folders(root: str | Path) -> list[Path]:
    """The folders of datasets in ``root``: ``root/VALOR`` and ``root/MUSIC-AVQA`` where they exist, and ``root`` itself
    if it has captions or questions of one's own, or neither of the others.

    Raises
    ------
    UserError
        If ``root`` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(
            f"no folder {root}: give a data folder that holds {_words(CAPTIONS_LAYOUTS + QUESTIONS_LAYOUTS)}"
        )
    published = [root / name for name in ("VALOR", "MUSIC-AVQA") if (root / name).is_dir()]
    own = any(root.glob("captions-*.json")) or any(root.glob("questions-*.json"))
    return [*published, root] if own else published or [root]


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
            f"{where}: slot {slots[len(values)]} of {quoted(template)} has no value in {quoted(values)}, add it to "
            "templ_values"
        )
    if len(values) > len(slots):
        raise UserError(
            f"{where}: template {quoted(template)} has {len(slots)} slots for the {len(values)} values {quoted(values)}"
        )
    remaining = iter(values)
    return _SLOT.sub(lambda _: next(remaining), template).strip()


@cache
def _warn(what: str) -> None:
    """Log a warning, once however often the file is read."""
    logger.warning(what)


def _question(entry: dict[str, Any], where: str) -> Question:
    question_id = field(entry, "question_id", int, where)
    where = f"{where} (question {question_id})"
    kind = strings_in(entry, "type", where)
    if len(kind) != 2:
        raise UserError(f'{where}: \'type\' is {quoted(kind)}, expected a pair such as ["Audio", "Counting"]')
    template = field(entry, "question_content", str, where)
    return Question(
        video_id=check_identifier(field(entry, "video_id", str, where), where),
        question_id=question_id,
        type=(kind[0], kind[1]),
        template=template,
        text=fill_template(template, strings_in(entry, "templ_values", where), where),
        answer=field(entry, "anser", str, where),
    )


def _own_question(entry: dict[str, Any], where: str) -> Question:
    text = field(entry, "question", str, where)
    return Question(
        video_id=check_identifier(field(entry, "clip", str, where), where),
        question_id=field(entry, "id", (int, str), where),
        type=(field(entry, "type", str, where),) if "type" in entry else UNTYPED,
        template=field(entry, "template", str, where) if "template" in entry else text,
        text=text,
        answer=field(entry, "answer", str, where),
    )


def _is_own(path: Path) -> bool:
    return path.name.startswith(("captions-", "questions-"))


def _files(root: str | Path, layouts: Sequence[str]) -> dict[str, Path]:
    """The file of each split."""
    found: dict[str, Path] = {}
    for layout in layouts:
        folder, prefix, suffix = _locate(root, layout)
        for path in folder.glob(f"{prefix}*{suffix}"):
            found.setdefault(path.name[len(prefix) : -len(suffix)], path)
    return found


def _locate(root: str | Path, layout: str) -> tuple[Path, str, str]:
    """The annotation folder of a layout, and what stands before and after the split in its files' names."""
    *folders, name = layout.split("/")
    prefix, suffix = name.split("SPLIT")
    root = Path(root)
    if folders and not (root / folders[0]).is_dir():
        folders = folders[1:]
    return root.joinpath(*folders), prefix, suffix


def _file(root: str | Path, layouts: Sequence[str], split: str) -> Path:
    if not Path(root).is_dir():
        raise UserError(f"no folder {root}: name the one that holds the annotations")
    files = _files(root, layouts)
    if split not in files:
        mend = nearest(split, files) if files else f"expected {_words(layouts)}"
        raise UserError(f"no {layouts[-1].replace('SPLIT', split)} and the like in {root}: {mend}")
    return files[split]


def _words(layouts: Sequence[str]) -> str:
    return f"{', '.join(layouts[:-1])} or {layouts[-1]}"


def _not_empty(items: list[_Item], path: Path, what: str) -> list[_Item]:
    if not items:
        raise UserError(f"{path} holds no {what}: an empty split cannot be trained or tested on")
    return items
