"""Checking a dataset: all that is missing or odd is told before any compute is spent."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from tokcom_phy.data.formats import (
    CAPTIONS_LAYOUT,
    QUESTION_TYPES,
    QUESTIONS_LAYOUT,
    Caption,
    Question,
    caption_splits,
    dataset_folders,
    deleted_questions,
    load_captions,
    load_questions,
    normalise_answer,
    question_splits,
)
from tokcom_phy.data.media import find_clip, frame_paths, list_clips, probe_clip
from tokcom_phy.utils.errors import MediaError, UserError

EXAMPLES = 5
"""Findings of a kind that the table tells in full, unless it is asked for all."""

_Item = TypeVar("_Item", Caption, Question)


@dataclass(frozen=True)
class Finding:
    """One thing that is missing or odd: ``kind`` is the same for all of its like, ``detail`` names file and clip."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Report:
    """What a dataset holds, and what is wrong with it.

    Attributes
    ----------
    counts : list of (str, int)
        What there is: annotations of each split, clips.
    findings : list of Finding
        What is missing or odd; empty if nothing is.
    """

    counts: list[tuple[str, int]]
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Whether nothing is missing or odd."""
        return not self.findings

    def table(self, everything: bool = False) -> Group:
        """The report for a Rich console: what there is, then each kind of finding with a few examples, or with all."""
        there = Table("what there is", "", box=box.SIMPLE_HEAD)
        for what, count in self.counts:
            there.add_row(escape(what), f"{count:,}")
        if self.sound:
            return Group(there, "[green]✓[/] nothing is missing or odd")
        odd = Table("what is missing or odd", "", box=box.SIMPLE_HEAD)
        odd.add_column("which", overflow="fold")
        for kind, count in Counter(finding.kind for finding in self.findings).most_common():
            details = [finding.detail for finding in self.findings if finding.kind == kind]
            if count > EXAMPLES and not everything:
                details[EXAMPLES:] = [f"… and {count - EXAMPLES:,} more: --all names them"]
            odd.add_row(escape(kind), f"{count:,}", escape("\n".join(details)))
        return Group(there, odd)


def check(root: str | Path) -> Report:
    """Look through a dataset: annotations of every split, and the media of every clip that they speak of.

    Media are opened and their tracks counted and begun to decode, but not decoded to the end.

    Parameters
    ----------
    root : path
        A dataset's folder, or the folder that holds ``VALOR`` and ``MUSIC-AVQA``.

    Raises
    ------
    UserError
        If there is no such folder.
    """
    counts: list[tuple[str, int]] = []
    findings: list[Finding] = []
    for folder in dataset_folders(root):
        captioned, asked = caption_splits(folder), question_splits(folder)
        captions = _read(folder, captioned, load_captions, findings)
        questions = _read(folder, asked, load_questions, findings)
        if not captioned and not asked:
            detail = f"{folder}: expected {CAPTIONS_LAYOUT} or {QUESTIONS_LAYOUT}"
            findings.append(Finding("no annotations", detail))
        counts += [(f"{folder.name}: captions, {split}", len(items)) for split, items in captions.items()]
        for split, items in questions.items():
            counts.append((f"{folder.name}: questions, {split}", len(items)))
            counts.append((f"{folder.name}: question templates, {split}", len({item.template for item in items})))
            answers = {normalise_answer(item.answer) for item in items}
            counts.append((f"{folder.name}: different answers, {split}", len(answers)))
            counts.append((f"{folder.name}: deleted questions, {split}", deleted_questions(folder, split)))
        for split in sorted({"train", "test"} - set(asked)) if asked else []:
            findings.append(Finding("missing split", f"{folder}: no questions, {split}"))
        if captioned and "train" not in captioned:
            findings.append(Finding("missing split", f"{folder}: no captions, train"))
        findings += _odd_captions(captions)
        findings += _odd_questions(questions)
        findings += _shared_clips(captions)
        findings += _shared_clips(questions)
        annotated = {video_id for ids in [*_clips(captions).values(), *_clips(questions).values()] for video_id in ids}
        there = set(list_clips(folder))
        counts.append((f"{folder.name}: clips with annotations", len(annotated)))
        counts.append((f"{folder.name}: clips with media", len(there)))
        if annotated:
            counts.append((f"{folder.name}: clips without annotations, left alone", len(there - annotated)))
        findings += _bad_media(folder, sorted(annotated or there))
    return Report([(what, count) for what, count in counts if count], findings)


def _read(
    folder: Path, splits: Iterable[str], load: Callable[[Path, str], list[_Item]], findings: list[Finding]
) -> dict[str, list[_Item]]:
    """All splits that can be read; the others become findings."""
    items = {}
    for split in splits:
        try:
            items[split] = load(folder, split)
        except UserError as error:
            findings.append(Finding("unusable annotations", str(error)))
    return items


def _odd_captions(splits: dict[str, list[Caption]]) -> Iterator[Finding]:
    for split, captions in splits.items():
        for video_id, count in Counter(caption.video_id for caption in captions).items():
            if count > 1:
                yield Finding("clip captioned more than once", f"{split}: {video_id} has {count} captions")


def _odd_questions(splits: dict[str, list[Question]]) -> Iterator[Finding]:
    trained = {normalise_answer(question.answer) for question in splits.get("train", [])}
    for split, questions in splits.items():
        for question in questions:
            if question.type not in QUESTION_TYPES:
                yield Finding("unknown question type", f"{split}: question {question.question_id} is {question.type}")
        answers: dict[tuple[str, str], set[str]] = defaultdict(set)
        for question in questions:
            answers[question.video_id, question.text].add(normalise_answer(question.answer))
        for (video_id, text), found in answers.items():
            if len(found) > 1:
                detail = f"{split}: {video_id}, {text} {' or '.join(sorted(found))}"
                yield Finding("one question, several answers", detail)
        if trained:
            for answer in sorted(set().union(*answers.values()) - trained):
                yield Finding("answer that training never sees", f"{split}: {answer}")


def _shared_clips(splits: dict[str, list[_Item]]) -> Iterator[Finding]:
    clips = _clips(splits)
    for split in sorted(clips.keys() - {"train"}):
        for video_id in sorted(clips[split] & clips.get("train", set())):
            yield Finding("clip in two splits", f"{video_id} is in train and {split}")


def _clips(splits: dict[str, list[_Item]]) -> dict[str, set[str]]:
    return {split: {item.video_id for item in items} for split, items in splits.items()}


def _bad_media(folder: Path, video_ids: list[str]) -> Iterator[Finding]:
    for video_id in track(video_ids, f"looking at the media in {folder.name}", transient=True):
        files = find_clip(folder, video_id)
        if files is None:
            yield Finding("clip without media", f"{folder / video_id}.mp4")
            continue
        if files.video and files.video.is_dir():
            yield from _gaps(files.video)
        try:
            probe_clip(files)
        except MediaError as error:
            yield Finding("media that cannot be used", str(error))


def _gaps(folder: Path) -> Iterator[Finding]:
    """Extracted frames whose numbers do not run from 1 on: each missing one would shift those after it."""
    numbers = {int(path.stem.removeprefix("frame_")) for path in frame_paths(folder) if path.stem[6:].isdigit()}
    absent = sorted(set(range(1, max(numbers, default=0))) - numbers)
    if absent:
        yield Finding("extracted frames with gaps", f"{folder}: no frame_{absent[0]:04d}, {len(absent)} are missing")
