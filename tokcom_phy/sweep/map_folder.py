"""The folder of a map: opened for one map at a time, of the same settings."""

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tokcom_phy.results.reading import read_json
from tokcom_phy.sweep.opening import first_difference
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import is_marked, write_atomically

SETTINGS, MEASURED, PLACES, FIGURES = "map.json", "measured", "places", "figures"
WRITTEN = (MEASURED, PLACES, FIGURES, "map.csv", "places.csv", SETTINGS)
"""All that a map writes; a fresh one deletes this and nothing else, its mark last."""

_SETTINGS = TypeAdapter(dict[str, Any])


def check_map(folder: Path, settings: dict[str, Any], fresh: bool) -> None:
    """Make sure that a folder can take a map of these settings; see `open_map`.

    Raises
    ------
    UserError
        If it holds something else, or without ``fresh`` a map of other settings.
    """
    mark = folder / SETTINGS
    marked = is_marked(mark, '{"run":"')
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder: choose another --out")
    if folder.is_dir() and not marked and any(folder.iterdir()):
        raise UserError(f"{folder} holds files of something else: choose another --out")
    if fresh or not marked:
        return
    before = read_json(mark, _SETTINGS, "start anew with --fresh")
    if difference := first_difference(before, json.loads(json.dumps(settings))):
        raise UserError(
            f"{folder} holds a map of other settings: {difference}; choose another --out, or --fresh to start anew"
        )


def open_map(folder: Path, settings: dict[str, Any], fresh: bool) -> None:
    """Make the folder of a map, or go on in the one there is.

    Parameters
    ----------
    folder : Path
    settings : dict
        All that the map depends on, as JSON values.
    fresh : bool
        Delete what an earlier map wrote.

    Raises
    ------
    UserError
        As `check_map`.
    """
    check_map(folder, settings, fresh)
    mark = folder / SETTINGS
    if fresh and mark.is_file():
        for name in WRITTEN:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    if not mark.is_file():
        with write_atomically(mark) as path:
            path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
