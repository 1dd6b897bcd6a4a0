"""The figure of a grid: a cell for each combination, with its accuracy."""

import pytest
from test_plots import drawn, made_up_run

from tokcom_phy.experiments.loading import load_experiment

SERIES = "evaluate=[{variants: [aligned, blind], links: [ofdm-tdl-c], snr_db: [0, 10]}]"


def run_of(tmp_path, grid):
    return made_up_run(tmp_path, load_experiment("quickstart", overrides=[f"grid={grid}", SERIES]))


def test_two_keys_make_a_heat_map_a_snr_with_the_accuracies_written_in(tmp_path):
    run = run_of(tmp_path, "{speed: [1, 30, 120], delay_spread: [3e-8, 3e-7]}")
    assert run.experiment.figures == ("accuracy_vs_snr", "grid")
    figure = drawn(run, "grid")
    assert [axis.get_title() for axis in figure.axes] == ["aligned, 0 dB", "aligned, 10 dB"]
    for axis, snr_db in zip(figure.axes, (0, 10), strict=True):
        (image,) = axis.images
        shown = run.accuracy[(run.accuracy["variant"] == "aligned") & (run.accuracy["snr_db"] == snr_db)]
        expected = {name: 100 * value for name, value in zip(shown["link"], shown["value"], strict=True)}
        links = run.experiment.resolved().evaluated_links
        assert image.get_array().ravel().tolist() == pytest.approx([expected[link] for link in links])
        assert (axis.get_ylabel(), axis.get_xlabel()) == ("speed", "delay_spread")
        assert [label.get_text() for label in axis.get_xticklabels()] == ["3e-08", "3e-07"]
        assert len(axis.texts) == 6


def test_one_key_makes_a_line_with_its_band(tmp_path):
    figure = drawn(run_of(tmp_path, "{stage2.snr_db: [0, 10, 20]}"), "grid")
    assert all(len(axis.lines) == 1 and axis.collections for axis in figure.axes)
    assert figure.axes[0].get_xlabel() == "stage2.snr_db"


def test_differences_compare_the_first_cell_with_each_other_one(tmp_path):
    run = run_of(tmp_path, "{speed: [1, 30]}")
    pairs = run.differences[run.differences["variant"] == run.differences["than_variant"]]
    assert set(zip(pairs["link"], pairs["than_link"], strict=True)) == {("ofdm-tdl-c-speed1", "ofdm-tdl-c-speed30")}
