import pandas as pd
import pytest

from tokcom_phy.experiments.loading import as_yaml, load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.results.figures import draw_figures
from tokcom_phy.results.points import Point, read_points, write_point
from tokcom_phy.results.tables import COLUMNS, write_tables
from tokcom_phy.utils.errors import UserError


def test_a_run_whose_systems_all_failed_still_draws_its_control(tmp_path):
    """The figure must not hide, by failing itself, which jobs are missing."""
    experiment = load_experiment("quickstart")
    (tmp_path / "config.yaml").write_text(as_yaml(experiment))
    for snr_db in (0.0, 20.0):
        write_point(tmp_path, Point(MAJORITY, "awgn", snr_db, 0, "0110", "0110", [], {}, {}))
    write_tables(tmp_path, experiment, read_points(tmp_path), ["Audio/Counting"] * 4, pd.DataFrame(columns=COLUMNS))
    (figure,) = draw_figures(tmp_path)
    assert figure.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("script", "reason"),
    [("def draw(run): return run.nothing", "AttributeError"), ("x = 1", "KeyError: 'draw'"), ("def", "SyntaxError")],
)
def test_a_script_that_fails_is_named_in_one_line(tmp_path, script, reason):
    own = tmp_path / "own.py"
    own.write_text(script)
    experiment = load_experiment("quickstart", "tiny", [f"figures=[{own}]"])
    (tmp_path / "config.yaml").write_text(as_yaml(experiment))
    write_point(tmp_path, Point(MAJORITY, "awgn", 0.0, 0, "0110", "0110", [], {}, {}))
    write_tables(tmp_path, experiment, read_points(tmp_path), ["Audio/Counting"] * 4, pd.DataFrame(columns=COLUMNS))
    with pytest.raises(UserError, match=f"cannot draw figure '{own}' .*{reason}.*--debug shows where") as raised:
        draw_figures(tmp_path)
    assert "\n" not in str(raised.value)
