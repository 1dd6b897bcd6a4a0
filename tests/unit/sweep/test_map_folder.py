"""The folder of a map: what it may hold, and what ``--fresh`` deletes."""

import json
from pathlib import Path

import pytest

from tokcom_phy.sweep.map_folder import open_map
from tokcom_phy.utils.errors import UserError

SETTINGS = {"run": "/runs/a", "variant": "aligned", "snr_db": 3.0, "seed": 0}


def test_a_map_continues_with_the_same_settings_alone(tmp_path: Path) -> None:
    folder = tmp_path / "map"
    open_map(folder, SETTINGS, fresh=False)
    (folder / "measured").mkdir()
    (folder / "measured" / "000.json").write_text("{}")
    open_map(folder, SETTINGS, fresh=False)
    with pytest.raises(UserError, match=r"snr_db is 3.0 there and 4.0 now; choose another --out, or --fresh"):
        open_map(folder, {**SETTINGS, "snr_db": 4.0}, fresh=False)
    assert (folder / "measured" / "000.json").is_file()
    (folder / "notes.txt").write_text("mine")
    open_map(folder, {**SETTINGS, "snr_db": 4.0}, fresh=True)
    assert sorted(path.name for path in folder.iterdir()) == ["map.json", "notes.txt"]
    assert json.loads((folder / "map.json").read_text())["snr_db"] == 4.0


def test_what_is_no_map_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for fresh in (False, True):
        with pytest.raises(UserError, match="holds files of something else"):
            open_map(tmp_path, SETTINGS, fresh)
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "map.json").write_text('{"tiles": []}')
    (tmp_path / "world" / "figures").mkdir()
    for fresh in (False, True):
        with pytest.raises(UserError, match="holds files of something else"):
            open_map(tmp_path / "world", SETTINGS, fresh)
    assert (tmp_path / "world" / "figures").is_dir()
    with pytest.raises(UserError, match="is no folder"):
        open_map(tmp_path / "notes.txt", SETTINGS, fresh=False)
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "map.json").write_text("{")
    with pytest.raises(UserError, match=r"map.json is damaged .* start anew with --fresh"):
        open_map(tmp_path / "map", SETTINGS, fresh=False)
