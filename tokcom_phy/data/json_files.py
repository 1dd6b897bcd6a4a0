"""JSON files of annotations: a list of objects, each of whose fields is checked before it is used."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

from tokcom_phy.utils.errors import UserError, printable, quoted, reason


def read_entries(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Each entry of a JSON list of objects, and words for where it stands.

    Raises
    ------
    UserError
        If the file cannot be read or is not such a list.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): get the file again") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}): get the file again"
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number with too many digits
        raise UserError(f"{path} cannot be read as JSON ({reason(error)}): get the file again") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} is not a list of objects, as annotations are")
    return [(entry, f"{path} entry {position}") for position, entry in enumerate(entries)]


def field(entry: dict[str, Any], name: str, kinds: type | tuple[type, ...], where: str) -> Any:
    """A field of an entry that must be there, of a type, and no empty text.

    Raises
    ------
    UserError
        If it is not, or if a text is no valid Unicode; ``where`` says which file and entry.
    """
    if name not in entry:
        there = ", ".join(printable(key[:40]) for key in islice(entry, 10)) or "no fields"
        raise UserError(f"{where}: no '{name}', it has {there}")
    value = entry[name]
    if not isinstance(value, kinds) or isinstance(value, bool):
        expected = kinds.__name__ if isinstance(kinds, type) else " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{where}: '{name}' is {quoted(value)}, expected {expected}")
    if isinstance(value, str):
        _check_unicode(value, name, where)
        if not value.strip():
            raise UserError(f"{where}: '{name}' is empty")
    return value


def strings_in(entry: dict[str, Any], name: str, where: str) -> list[str]:
    """A field that is a JSON list of strings written as a string.

    Raises
    ------
    UserError
        If it is none.
    """
    text = field(entry, name, str, where)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UserError(f'{where}: \'{name}\' is {quoted(text)}, expected a list of strings such as "[\\"piano\\"]"')
    for value in values:
        _check_unicode(value, name, where)
    return values


def check_identifier(video_id: str, where: str) -> str:
    """Return ``video_id`` if it is a plain file name, so that a path made of it stays in the dataset's folder.

    Raises
    ------
    UserError
        If it is empty, absolute, has a path separator or is ``.`` or ``..``; ``where`` says where it stands.
    """
    if video_id in ("", ".", "..") or any(character in video_id for character in "/\\:\0"):
        raise UserError(f"{where}: video_id {quoted(video_id)} would leave the dataset's folder, use a plain file name")
    return video_id


def _check_unicode(text: str, name: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: '{name}' is {quoted(text)}, half of a surrogate pair is no text: get the file again"
        ) from error
