"""The one exception that a user's mistake raises, and how a misspelt name is answered."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

_QUOTED = reprlib.Repr()
_QUOTED.maxlevel, _QUOTED.maxstring, _QUOTED.maxother, _QUOTED.maxlong = 3, 80, 80, 40


LONGEST = 1500
"""Length of a message [characters]."""


class UserError(Exception):
    """A mistake that the user can mend: one line that says what, where and how to mend it.

    The command line prints the message alone and exits with code 2; ``--debug`` shows the traceback. The middle of a
    message longer than `LONGEST` is left out: what it quotes may be of any length.
    """

    # Not in __init__: TensorFlow raises an error again by its type only where that has no constructor of its own.
    def __str__(self) -> str:
        message = super().__str__()
        return message if len(message) <= LONGEST else f"{message[: LONGEST - 300]} … {message[-290:]}"


class MediaError(UserError):
    """A clip that cannot be used: one line that names the file and what is wrong with it."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Suggest what ``name`` may have meant.

    Returns
    -------
    str
        ``"did you mean 'a' or 'b'?"``, or the whole list of choices when none is close.
    """
    choices = sorted(choices)
    return close_names(name, choices) or "choose one of " + ", ".join(choices)


def close_names(name: str, choices: Iterable[str]) -> str:
    """``"did you mean 'a' or 'b'?"``, or nothing when no choice is close."""
    close = difflib.get_close_matches(name, sorted(choices), n=3, cutoff=0.5)
    return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?" if close else ""


def reason(error: Exception) -> str:
    """What another library's error says, for a message that names the rest: its first line, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def one_line(error: BaseException) -> str:
    """An error in one line: a user's mistake in its own words, any other with its type before them."""
    words = " ".join(str(error).split())
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}"


def quoted(value: Any) -> str:
    """A value for a message, as Python writes it, cut where it is long or deep."""
    return _QUOTED.repr(value)


def printable(text: str) -> str:
    """A text for a terminal: what does not print, such as an escape sequence, is written as Python escapes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
