"""Reading what a run wrote: JSON of a known shape, and one line that says what is wrong with a file."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from tokcom_phy.utils.errors import UserError, one_line, printable

Value = TypeVar("Value")

RESTORE = "restore it, or start the run anew with --fresh"
"""The mend for a file that all results rest on."""


def read_json(path: Path, shape: TypeAdapter[Value], mend: str = RESTORE) -> Value:
    """A JSON file's content, checked against its shape.

    Raises
    ------
    UserError
        If the file cannot be read or is of another shape; ``mend`` says what to do.
    """
    try:
        return shape.validate_json(path.read_text(encoding="utf-8-sig"))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise damaged(path, f"{where}: {fault['msg']}" if where else fault["msg"], mend) from error
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {mend}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, one_line(error), mend) from error


def damaged(path: Path, fault: str, mend: str = RESTORE) -> UserError:
    """What to tell the user of a file that is not as the run wrote it."""
    return UserError(f"{path} is damaged ({printable(' '.join(fault.split()))[:200]}): {mend}")
