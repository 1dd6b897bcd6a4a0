"""Figures against transmit power: points lie where the power is, and the axis says so with its unit."""

from pathlib import Path
from runpy import run_path

from made_up_runs import made_up_run
from matplotlib import pyplot
from powers import EXPERIMENT

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.results.axes import along_axis
from tokcom_phy.utils.files import find


def test_a_figure_has_the_axis_of_its_series(tmp_path: Path) -> None:
    path = tmp_path / "powers.yaml"
    path.write_text(EXPERIMENT.format(series="links: [near, far], tx_power_dbm: [0, 10, 23]"))
    run = made_up_run(tmp_path / "run", load_experiment(str(path)))
    table, label = along_axis(run, run.accuracy[run.accuracy["link"] == "far"], "far")
    assert label == "transmit power [dBm]"
    assert set(table["x"]) == {0, 10, 23}
    differences = run.accuracy_differences
    assert len(differences[(differences["link"] == "near") & (differences["than_link"] == "far")]) == 6
    figure = run_path(str(find("plots", "accuracy_vs_snr")))["draw"](run)
    assert [axis.get_xlabel() for axis in figure.axes] == ["transmit power [dBm]"] * 2
    assert set(figure.axes[0].lines[0].get_xdata()) == {0, 10, 23}
    pyplot.close(figure)
