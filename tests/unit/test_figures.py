from tokcom_phy.experiments.figures import draw_figures
from tokcom_phy.experiments.results import Point, read_points, tabulate, write_point, write_tables
from tokcom_phy.experiments.schema import MAJORITY, as_yaml, load_experiment


def test_a_run_whose_systems_all_failed_still_draws_its_control(tmp_path):
    """The figure must not hide, by failing itself, which jobs are missing."""
    (tmp_path / "config.yaml").write_text(as_yaml(load_experiment("quickstart")))
    for snr_db in (0.0, 20.0):
        write_point(tmp_path, Point(MAJORITY, "awgn", snr_db, 0, "0110", "0110", [], {}, {}))
    write_tables(tmp_path, tabulate("quickstart", read_points(tmp_path), ["Audio/Counting"] * 4))
    (figure,) = draw_figures(tmp_path)
    assert figure.stat().st_size > 10_000
