"""``tokcom map`` on a small run: its files, what it refuses, and how it continues."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from tests.endtoend.commands import Tokcom
from tokcom_phy.radio.llvm import obstacle
from tokcom_phy.results.intervals import wilson

pytestmark = pytest.mark.skipif(bool(obstacle()) and not torch.cuda.is_available(), reason=f"ray tracing {obstacle()}")

CANYON = """\
# A street canyon for devices of little power; see it with: tokcom links show canyon.yaml
extends: munich
scene:
  name: simple_street_canyon
  base_station: [-33, 0, 32]
  facing: [20, 0, 1.5]
  radius: 60
  positions: 16
  max_depth: 1
  diffraction: false
num_rx_ant: 2
"""


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("links") / "canyon.yaml"
    path.write_text(CANYON)
    return path


@pytest.fixture(scope="module")
def mapped(link: Path, finished_run: Path, tokcom: Tokcom) -> tuple[list[str | Path], Path, str]:
    out = link.parent / "map"
    arguments: list[str | Path] = [
        "map",
        link,
        "--system",
        f"{finished_run}:aligned",
        "--cell-size",
        "20",
        "--places",
        "3",
        "--out",
        out,
    ]
    done = tokcom(*arguments)
    assert done.returncode == 0, done.stderr
    return arguments, out, done.stdout


def test_a_map_is_tables_and_a_figure(mapped: tuple[list[str | Path], Path, str]) -> None:
    _, out, printed = mapped
    assert sorted(path.name for path in out.iterdir()) == [
        "figures",
        "map.csv",
        "map.json",
        "measured",
        "places",
        "places.csv",
    ]
    places, check = pd.read_csv(out / "map.csv"), pd.read_csv(out / "places.csv")
    assert {"x_m", "y_m", "snr_db", "sinr_db", "sinr_db_audio", "sinr_db_video"} <= set(places)
    assert (
        places[["accuracy_low", "accuracy", "accuracy_high"]]
        .apply(lambda row: row.is_monotonic_increasing, axis=1)
        .all()
    )
    assert len(check) == 3
    for row in check.itertuples():
        assert (row.simulated_low, row.simulated_high) == pytest.approx(wilson(round(40 * row.simulated), 40))
        assert row.within == (row.simulated_low <= row.predicted <= row.simulated_high)
        there = places[(places["x_m"] == row.x_m) & (places["y_m"] == row.y_m)]
        assert there["accuracy"].tolist() == pytest.approx([row.predicted])
    assert f"at {int(check['within'].sum())} of 3 places" in printed
    with Image.open(out / "figures" / "map.png") as picture:
        assert picture.width == 1432  # 7.16 in at 200 dpi


def test_a_map_continues_and_is_drawn_in_other_styles(
    mapped: tuple[list[str | Path], Path, str], tokcom: Tokcom
) -> None:
    arguments, out, _ = mapped
    before = (out / "places.csv").read_bytes()
    (out / "places" / "001.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*.json")}
    done = tokcom(*arguments, "--style", "ieee")
    assert done.returncode == 0, done.stderr
    assert (out / "places.csv").read_bytes() == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    with Image.open(out / "figures" / "map-ieee.png") as picture:
        assert picture.width == 1432  # no room in a column


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        (["--seed", "1"], "seed is 0 there and 1 now; choose another --out, or --fresh"),
        (["--set", "num_rx_ant=4"], "link.num_rx_ant is 2 there and 4 now"),
        (["--system", "RUN:blind"], "'blind' sends nothing"),
        (["--system", "RUN:alined"], "no variant 'alined'"),
        (["--system", "nowhere:aligned"], "there is no run nowhere"),
        (["--system", "nowhere"], "'nowhere' names no trained variant"),
        (["--snr", "1e9"], "--snr: "),
        (["--style", "science"], "unknown style 'science'"),
        (["--out", "new", "--set", "budget=null"], "has no SNR: give --snr DB"),
        (["--out", "new", "--places", "900"], "lower --places"),
        (["--out", "new", "--cell-size", "0.1"], "choose cells of at least"),
    ],
)
def test_mistakes_are_one_line(
    change: list[str],
    mend: str,
    mapped: tuple[list[str | Path], Path, str],
    finished_run: Path,
    tokcom: Tokcom,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, out, _ = mapped
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.chdir(tmp_path)
    done = tokcom(*arguments, *(word.replace("RUN", str(finished_run)) for word in change))
    assert done.returncode == 2
    assert done.stdout == ""
    assert mend in done.stderr
    assert done.stderr.count("\n") == 1
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_links_without_places_are_refused(finished_run: Path, tokcom: Tokcom, tmp_path: Path) -> None:
    done = tokcom("map", "awgn", "--system", f"{finished_run}:aligned", "--out", tmp_path / "map")
    assert done.returncode == 2
    assert done.stderr.startswith("error: link 'awgn' has no places: give a ray-traced one")
    assert not (tmp_path / "map").exists()
