"""Opening a run directory: for one run at a time, of one configuration, without what a kill left half-written."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock, Timeout

from tokcom_phy.experiments.loading import as_yaml
from tokcom_phy.experiments.run_dir import CONFIG, PROVENANCE, UNFINISHED, WRITTEN, is_run_dir
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.sweep.provenance import provenance
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import TEMPORARY, cannot_write, write_atomically
from tokcom_phy.utils.yaml_files import parse_yaml, read_yaml


def open_run(run_dir: Path, experiment: Experiment, fresh: bool) -> None:
    """Make a run directory, or make sure that the one there is of this experiment.

    Parameters
    ----------
    run_dir : Path
    experiment : Experiment
    fresh : bool
        Delete what an earlier run wrote.

    Raises
    ------
    UserError
        If the folder holds something else, or a run of another configuration.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"{run_dir} is no folder: choose another --out")
    begun_before = is_run_dir(run_dir)
    if not begun_before and run_dir.is_dir() and any(run_dir.iterdir()):
        raise UserError(f"{run_dir} holds files of something else: choose another --out")
    if begun_before:
        _remove_temporary_files(run_dir)
        if fresh:
            _remove_run(run_dir)
    text = as_yaml(experiment)
    has_results = any((run_dir / part).is_dir() for part in ("points", "checkpoints"))
    if has_results and (difference := first_difference(_read_config(run_dir), parse_yaml(text, CONFIG))):
        raise UserError(
            f"{run_dir} holds a run of another configuration: {difference}; choose another --out, or --fresh to "
            "start anew"
        )
    if not has_results:
        with write_atomically(run_dir / PROVENANCE) as path:
            path.write_text(json.dumps(provenance(experiment), indent=2) + "\n")
        with write_atomically(run_dir / CONFIG) as path:
            path.write_text(text, encoding="utf-8")


def _read_config(run_dir: Path) -> object:
    try:
        return read_yaml(run_dir / CONFIG)
    except UserError as error:
        raise UserError(f"{run_dir / CONFIG} is missing or damaged: restore it, or start anew with --fresh") from error


def _remove_run(run_dir: Path) -> None:
    """Remove what a run wrote, its mark last: a removal that is interrupted can be begun again."""
    for name in sorted(WRITTEN, key=PROVENANCE.__eq__):
        _remove(run_dir / name)


def _remove_temporary_files(run_dir: Path) -> None:
    """Remove what a kill left half-written; checkpoints of trainings that go on stay."""
    for folder in (run_dir, *(run_dir / name for name in WRITTEN if (run_dir / name).is_dir())):
        for path in folder.glob(f"{TEMPORARY}*") if folder == run_dir else list(folder.rglob(f"{TEMPORARY}*")):
            if not path.name.endswith(UNFINISHED):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keep a second run out of a directory, by whichever path it is named.

    Raises
    ------
    UserError
        If another run works there, or its parent cannot be written.
    """
    run_dir = Path(os.path.realpath(run_dir))
    lock = FileLock(run_dir.parent / f"{TEMPORARY}{run_dir.name}.lock")
    try:
        run_dir.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=run_dir.parent):
            lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another run works in {run_dir}: wait for it, or choose another --out") from None
    except OSError as error:
        raise cannot_write(run_dir, error) from error
    try:
        yield
    finally:
        lock.release()


def write_inputs(file: Path, content: object, resting: Sequence[str] = ("points",)) -> None:
    """Write down what a run rests on: once there is a folder of ``resting``, the run keeps to it.

    Raises
    ------
    UserError
        If there is one, and it rests on something else, or the file is damaged.
    """
    try:
        before = json.loads(file.read_text(encoding="utf-8-sig")) if file.is_file() else None
    except ValueError as error:
        raise UserError(f"{file} is damaged: restore it, or start anew with --fresh") from error
    difference = first_difference(before, json.loads(json.dumps(content)))
    if not difference:
        return
    if before is not None and any((file.parent / name).is_dir() for name in resting):
        raise UserError(
            f"{file} has changed since this run began: {difference}; restore what it was made from, or start anew with "
            "--fresh"
        )
    with write_atomically(file) as path:
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def first_difference(before: object, now: object, key: str = "") -> str:
    """The first setting in which two configurations differ, in words; empty when they are the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = [(name, before.get(name), now.get(name)) for name in sorted(before.keys() | now.keys())]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(str(index), *both) for index, both in enumerate(zip(before, now, strict=True))]
    else:
        return "" if before == now else f"{key or 'its length'} is {_short(before)} there and {_short(now)} now"
    for name, one, other in pairs:
        if found := first_difference(one, other, f"{key}.{name}" if key else name):
            return found
    return ""


def _short(value: object) -> str:
    """A setting's value; of a long list or table, its length."""
    words = json.dumps(value, ensure_ascii=False)
    if len(words) <= 100:
        return words
    return f"{len(value)} entries" if isinstance(value, dict | list) else f"{words[:100]}…"
