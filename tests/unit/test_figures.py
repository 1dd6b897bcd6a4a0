import pandas as pd

from tokcom_phy.experiments.figures import draw_figures
from tokcom_phy.experiments.results import COLUMNS, Point, read_points, write_point, write_tables
from tokcom_phy.experiments.schema import MAJORITY, as_yaml, load_experiment


def test_a_run_whose_systems_all_failed_still_draws_its_control(tmp_path):
    """The figure must not hide, by failing itself, which jobs are missing."""
    experiment = load_experiment("quickstart")
    (tmp_path / "config.yaml").write_text(as_yaml(experiment))
    for snr_db in (0.0, 20.0):
        write_point(tmp_path, Point(MAJORITY, "awgn", snr_db, 0, "0110", "0110", [], {}, {}))
    write_tables(tmp_path, experiment, read_points(tmp_path), ["Audio/Counting"] * 4, pd.DataFrame(columns=COLUMNS))
    (figure,) = draw_figures(tmp_path)
    assert figure.stat().st_size > 10_000
