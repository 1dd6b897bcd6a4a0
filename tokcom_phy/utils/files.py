"""Where built-in files lie, and how a file is written so that a kill never leaves half of one."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokcom_phy.utils.errors import UserError, nearest, quoted

_PACKAGE = Path(__file__).resolve().parents[1]
TEMPORARY = ".tokcom-"
"""Begins the name of each file and folder that is being written, or that locks another."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a file finds no room."""

_LONGEST_NAME = 255
"""Of a file, on all common systems [bytes]."""

_SUFFIX = {"links": ".yaml", "experiments": ".yaml", "plots": ".py"}


def builtin_folder(kind: str) -> Path:
    """The folder of the built-in ``links``, ``experiments``, ``plots`` or ``schemas``: inside the wheel, or beside the
    package in a checkout."""
    in_wheel = _PACKAGE / "builtin" / kind
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / kind


def builtin_names(kind: str) -> list[str]:
    """Names of all built-in files of one kind, sorted."""
    return sorted(path.stem for path in builtin_folder(kind).glob(f"*{_SUFFIX[kind]}"))


def find(kind: str, name_or_path: str | Path) -> Path:
    """Find a link, experiment or plot: a built-in one by its name, a user's own by its path.

    Raises
    ------
    UserError
        If there is neither a built-in of that name nor a file at that path; the nearest names are suggested.
    """
    suffix = _SUFFIX[kind]
    if max(map(len, str(name_or_path).encode(errors="surrogatepass").split(b"/"))) > _LONGEST_NAME - len(suffix):
        raise UserError(f"unknown {kind[:-1]} {quoted(str(name_or_path))}: the name is too long for a file")
    candidate = Path(name_or_path)
    if candidate.suffix == suffix:
        if candidate.is_file():
            return candidate
        raise UserError(
            f"no {kind[:-1]} file at {candidate}: give the path of an existing {suffix} file or a built-in name"
        )
    path = builtin_folder(kind) / f"{name_or_path}{suffix}"
    if path.is_file() and path.parent == builtin_folder(kind):
        return path
    raise UserError(f"unknown {kind[:-1]} '{name_or_path}': {nearest(str(name_or_path), builtin_names(kind))}")


def cache_folder() -> Path:
    """Where what was computed once is kept for later runs: ``$TOKCOM_CACHE``, by default ``~/.cache/tokcom-phy``."""
    return Path(os.environ.get("TOKCOM_CACHE") or Path.home() / ".cache" / "tokcom-phy")


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path`` in one step, on failure it is removed.

    The temporary name begins with `TEMPORARY`: what a kill left behind is known by it.

    Raises
    ------
    UserError
        If the folder cannot be made or written to, a folder has the file's name, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{path.stem[:100]}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (*NO_ROOM, errno.EISDIR):
            raise cannot_write(path, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def is_marked(file: Path, beginning: str) -> bool:
    """Whether a JSON file by which we know a folder of ours is there, and not another program's of that name.

    Parameters
    ----------
    file : Path
    beginning : str
        How it begins, blanks left out; a damaged one may have broken off before that.
    """
    try:
        with file.open("rb") as opened:
            head = b"".join(opened.read(10 * len(beginning)).split())
    except OSError:
        return False
    return head.startswith(beginning.encode()) or beginning.encode().startswith(head)


def follow_umask(folder: Path) -> None:
    """Give the files of a folder the mode of new files; some libraries write for the owner alone."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~_umask())


def cannot_write(path: Path, error: OSError) -> UserError:
    """What to tell the user of a file or folder that could not be written."""
    if error.errno in NO_ROOM:
        mend = "make room, then give the same command again"
    else:
        mend = "move that folder away" if error.errno == errno.EISDIR else "choose a folder you may write to"
    return UserError(f"cannot write {path}: {error.strerror or error}; {mend}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
