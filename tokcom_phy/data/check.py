"""Checking a dataset: all that is missing or odd is reported before any compute is spent."""

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

from tokcom_phy.data.extracted import missing_frames
from tokcom_phy.data.formats import (
    CAPTIONS_LAYOUTS,
    QUESTION_TYPES,
    QUESTIONS_LAYOUTS,
    Caption,
    Question,
    caption_splits,
    dataset_folders,
    deleted_questions,
    has_published_types,
    is_own_dataset,
    load_captions,
    load_questions,
    normalise_answer,
    question_splits,
)
from tokcom_phy.data.media import ClipFiles, find_clips, probe_clip
from tokcom_phy.model.encoders import AST_BASE_SECONDS, WINDOW
from tokcom_phy.utils.errors import MediaError, UserError, printable

EXAMPLES = 5
"""DatasetIssues of a kind that the table tells in full, unless it is asked for all."""

MIN_TRUNCATED_SECONDS = 0.1
"""Sound that is left out is counted from here on [s]: codecs pad a clip by less."""

_Item = TypeVar("_Item", Caption, Question)


@dataclass(frozen=True)
class DatasetIssue:
    """One thing that is missing or odd: ``kind`` is the same for all of its like, ``detail`` names file and clip."""

    kind: str
    detail: str


@dataclass(frozen=True)
class DatasetReport:
    """What a dataset holds, and what is wrong with it.

    Attributes
    ----------
    counts : list of (str, int)
        What there is: annotations of each split, clips.
    issues : list of DatasetIssue
        What is missing or odd; empty if nothing is.
    """

    counts: list[tuple[str, int]]
    issues: list[DatasetIssue]

    @property
    def clean(self) -> bool:
        """Whether nothing is missing or odd."""
        return not self.issues

    def table(self, everything: bool = False) -> Group:
        """The report for a Rich console: what there is, then each kind of issue with a few examples, or with all."""
        there = Table("what there is", "", box=box.SIMPLE_HEAD)
        for what, count in self.counts:
            there.add_row(escape(printable(what)), f"{count:,}")
        if self.clean:
            return Group(there, "[green]✓[/] nothing is missing or odd")
        odd = Table("what is missing or odd", "", box=box.SIMPLE_HEAD)
        odd.add_column("which", overflow="fold")
        for kind, count in Counter(issue.kind for issue in self.issues).most_common():
            details = [printable(issue.detail) for issue in self.issues if issue.kind == kind]
            if count > EXAMPLES and not everything:
                details[EXAMPLES:] = [f"… and {count - EXAMPLES:,} more: --all names them"]
            odd.add_row(escape(kind), f"{count:,}", escape("\n".join(details)))
        return Group(there, odd)


def check(root: str | Path) -> DatasetReport:
    """Look through a dataset: annotations of every split, and the media of every clip that they speak of.

    Media are opened and their tracks counted and begun to decode, but not decoded to the end. A folder with captions or
    questions of one's own and no media at all passes: its features may come from arrays.

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
    issues: list[DatasetIssue] = []
    for folder in dataset_folders(root):
        captioned, asked = caption_splits(folder), question_splits(folder)
        captions = _read(folder, captioned, load_captions, issues)
        questions = _read(folder, asked, load_questions, issues)
        if not captioned and not asked:
            detail = f"{folder}: expected {', '.join(CAPTIONS_LAYOUTS + QUESTIONS_LAYOUTS)}"
            issues.append(DatasetIssue("no annotations", detail))
        counts += [(f"{folder.name}: captions, {split}", len(items)) for split, items in captions.items()]
        for split, items in questions.items():
            counts.append((f"{folder.name}: questions, {split}", len(items)))
            counts.append((f"{folder.name}: question templates, {split}", len({item.template for item in items})))
            answers = {normalise_answer(item.answer) for item in items}
            counts.append((f"{folder.name}: different answers, {split}", len(answers)))
            counts.append((f"{folder.name}: deleted questions, {split}", deleted_questions(folder, split)))
        for split in sorted({"train", "test"} - set(asked)) if asked else []:
            issues.append(DatasetIssue("missing split", f"{folder}: no questions, {split}"))
        if captioned and "train" not in captioned:
            issues.append(DatasetIssue("missing split", f"{folder}: no captions, train"))
        published = {split for split in questions if has_published_types(folder, split)}
        issues += _odd_captions(captions)
        issues += _odd_questions(questions, published)
        issues += _shared_clips(captions)
        issues += _shared_clips(questions)
        annotated = {video_id for ids in [*_clips(captions).values(), *_clips(questions).values()] for video_id in ids}
        media = find_clips(folder)
        counts.append((f"{folder.name}: clips with annotations", len(annotated)))
        counts.append((f"{folder.name}: clips with media", len(media)))
        if annotated:
            counts.append((f"{folder.name}: clips without annotations, left alone", len(media.keys() - annotated)))
        if media or not is_own_dataset(folder):
            issues += _look_at_media(folder, sorted(annotated or media), media, counts)
    return DatasetReport([(what, count) for what, count in counts if count], issues)


def _read(
    folder: Path, splits: Iterable[str], load: Callable[[Path, str], list[_Item]], issues: list[DatasetIssue]
) -> dict[str, list[_Item]]:
    """All splits that can be read; the others become issues."""
    items = {}
    for split in splits:
        try:
            items[split] = load(folder, split)
        except UserError as error:
            issues.append(DatasetIssue("unusable annotations", str(error)))
    return items


def _odd_captions(splits: dict[str, list[Caption]]) -> Iterator[DatasetIssue]:
    for split, captions in splits.items():
        for video_id, count in Counter(caption.video_id for caption in captions).items():
            if count > 1:
                yield DatasetIssue("clip captioned more than once", f"{split}: {video_id} has {count} captions")


def _odd_questions(splits: dict[str, list[Question]], published: set[str]) -> Iterator[DatasetIssue]:
    """What is odd about questions; the types of those in the ``published`` splits are known."""
    trained = {normalise_answer(question.answer) for question in splits.get("train", [])}
    for split, questions in splits.items():
        for question in questions:
            if split in published and question.type not in QUESTION_TYPES:
                detail = f"{split}: question {question.question_id} is {question.type}"
                yield DatasetIssue("unknown question type", detail)
        for number, count in Counter(question.question_id for question in questions).items():
            if count > 1:
                yield DatasetIssue("question number used more than once", f"{split}: {number}, {count} times")
        answers: dict[tuple[str, str], set[str]] = defaultdict(set)
        for question in questions:
            answers[question.video_id, question.text].add(normalise_answer(question.answer))
        for (video_id, text), found in answers.items():
            if len(found) > 1:
                detail = f"{split}: {video_id}, {text} {' or '.join(sorted(found))}"
                yield DatasetIssue("one question, several answers", detail)
        if trained:
            for answer in sorted(set().union(*answers.values()) - trained):
                yield DatasetIssue("answer that training never sees", f"{split}: {answer}")


def _shared_clips(splits: dict[str, list[_Item]]) -> Iterator[DatasetIssue]:
    clips = _clips(splits)
    for split in sorted(clips.keys() - {"train"}):
        for video_id in sorted(clips[split] & clips.get("train", set())):
            yield DatasetIssue("clip in two splits", f"{video_id} is in train and {split}")


def _clips(splits: dict[str, list[_Item]]) -> dict[str, set[str]]:
    return {split: {item.video_id for item in items} for split, items in splits.items()}


def _look_at_media(
    folder: Path, video_ids: list[str], media: dict[str, ClipFiles], counts: list[tuple[str, int]]
) -> Iterator[DatasetIssue]:
    """What is wrong with the media of clips; adds to ``counts`` how many are longer than one window of AST base."""
    longer = 0
    for video_id in track(video_ids, f"looking at the media in {folder.name}", transient=True):
        if video_id not in media:
            yield DatasetIssue("clip without media", f"{folder / video_id}.mp4")
            continue
        files = media[video_id]
        if files.video and files.video.is_dir():
            count, first = missing_frames(files.video)
            if count:
                detail = f"{files.video}: no frame_{first:04d}, {count} are missing"
                yield DatasetIssue("extracted frames with gaps", detail)
        try:
            longer += probe_clip(files, WINDOW) > AST_BASE_SECONDS + MIN_TRUNCATED_SECONDS
        except MediaError as error:
            yield DatasetIssue("media that cannot be used", str(error))
    what = f"{folder.name}: clips of more than the {AST_BASE_SECONDS} s that one window of AST base takes"
    counts.append((what, longer))
