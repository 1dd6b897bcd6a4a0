import resource
from collections.abc import Iterator

import pytest
from matplotlib.figure import Figure

from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.figures import save_figure
from tokcom_phy.utils.files import write_atomically


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 1000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_finds_no_room_is_not_there(tmp_path, small_files):
    file = tmp_path / "point.json"
    file.write_text("before")
    with pytest.raises(UserError, match=f"cannot write {file}: .*make room"), write_atomically(file) as path:
        path.write_bytes(bytes(2000))
    assert [p.name for p in tmp_path.iterdir()] == ["point.json"]
    assert file.read_text() == "before"


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "results.csv").mkdir()
    with (
        pytest.raises(UserError, match=r"cannot write .*results\.csv: Is a directory; move that folder away"),
        write_atomically(tmp_path / "results.csv") as path,
    ):
        path.write_text("a,b")
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


@pytest.mark.parametrize("suffix", ["pdf", "png", "svg"])
def test_a_figure_that_finds_no_room_is_not_there(tmp_path, small_files, suffix):
    figure = Figure()
    figure.subplots().plot([0, 1])
    with pytest.raises(UserError, match=f"cannot write .*figure.{suffix}: .*make room"):
        save_figure(figure, tmp_path / f"figure.{suffix}")
    assert not list(tmp_path.iterdir())
