import pytest
from made_up_runs import control_alone, made_up_run

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.results.figures import draw_figures
from tokcom_phy.utils.errors import UserError


def test_a_run_whose_systems_all_failed_still_draws_its_control(tmp_path):
    """The figure must not hide, by failing itself, which jobs are missing."""
    (figure,) = draw_figures(made_up_run(tmp_path, "quickstart", finished=control_alone))
    assert figure.stat().st_size > 10_000


def test_a_run_that_has_no_point_yet_is_drawn(tmp_path):
    (figure,) = draw_figures(made_up_run(tmp_path, "quickstart", finished=lambda job: False))
    assert figure.stat().st_size > 1_000


@pytest.mark.parametrize(
    ("script", "reason"),
    [("def draw(run): return run.nothing", "AttributeError"), ("x = 1", "KeyError: 'draw'"), ("def", "SyntaxError")],
)
def test_a_script_that_fails_is_named_in_one_line(tmp_path, script, reason):
    own = tmp_path / "own.py"
    own.write_text(script)
    experiment = load_experiment("quickstart", "tiny", [f"figures=[{own}]"])
    run = made_up_run(tmp_path / "run", experiment, finished=control_alone)
    with pytest.raises(UserError, match=f"cannot draw figure '{own}' .*{reason}.*--debug shows where") as raised:
        draw_figures(run, own=True)
    assert "\n" not in str(raised.value)


def test_a_figure_by_path_is_run_only_where_it_is_trusted(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        f"open({str(tmp_path / 'was-run')!r}, 'w')\ndef draw(run):\n    from matplotlib import pyplot\n"
        "    return pyplot.figure()\n"
    )
    experiment = load_experiment("quickstart", "tiny", [f"figures=[accuracy_vs_snr, {own}]"])
    run = made_up_run(tmp_path / "run", experiment, finished=control_alone)
    with pytest.raises(UserError, match=f"figure '{own}' .* is code of {own}: read it, then add --trust-figures"):
        draw_figures(run)
    assert not (tmp_path / "was-run").exists()
    assert not (run.path / "figures").exists()
    assert len(draw_figures(run, own=True)) == 2
    assert (tmp_path / "was-run").exists()
