"""Every built-in experiment's figure, drawn from made-up points: what is shown, by which labels, over which axes."""

import json
from dataclasses import replace
from itertools import pairwise
from runpy import run_path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from made_up_runs import control_alone, made_up_run
from matplotlib import pyplot
from matplotlib.collections import PolyCollection

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.results.console import losses_table
from tokcom_phy.results.figure_data import figure_data
from tokcom_phy.results.figures import draw_figures
from tokcom_phy.results.run import Run
from tokcom_phy.results.styles import COLUMN_IN, PAGE_IN, styled
from tokcom_phy.utils.files import builtin_folder, builtin_names

matplotlib.use("Agg")


def drawn(run, name, width=PAGE_IN, laid_out=True):
    """The figure of a run; where everything stands is known once it is laid out, which takes as long again."""
    with styled(width=width):
        figure = run_path(str(builtin_folder("plots") / f"{name}.py"))["draw"](run)
        if laid_out:
            figure.canvas.draw()
    return figure


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


CONTROLS = ["blind", "majority"]
SPEAKERS = ["both near", "audio 20 dB weaker", "video 20 dB weaker"]
LENGTHS = [8, 16, 32, 64]
LEGENDS = {
    "quickstart": ["aligned", "unaligned", *CONTROLS],
    "channels": ["aligned", "unaligned", *CONTROLS],
    "fig2a": [f"{kind}, {s} audio tokens" for s in LENGTHS for kind in ("aligned", "unaligned")],
    "fig2b": [f"{kind}, {s} video tokens" for s in LENGTHS for kind in ("aligned", "unaligned")],
    "fig3": [f"{kind}, {s} tokens" for s in LENGTHS for kind in ("aligned", "unaligned")] + CONTROLS,
    "temperature": ["τ = 0.03", "τ = 0.07", "τ = 0.13", "without alignment", *CONTROLS],
    "tsne": ["audio", "video", "text"],
    "robustness": ["trained at 10 dB", "trained at −10 dB to 20 dB", *CONTROLS],
    "csi": [
        "perfect CSI",
        "LS, 4 pilot symbols a slot",
        "LS, 2 pilot symbols a slot",
        "LS, 1 pilot symbol a slot",
        "LS, nearest, 2 pilot symbols a slot",
        "LMMSE, 2 pilot symbols a slot",
        *CONTROLS,
    ],
    "mobility": ["−15 dB", "−10 dB", "0 dB", "20 dB", *CONTROLS],
    "antennas": ["−20 dB", "−15 dB", "−10 dB", "0 dB", *CONTROLS],
    "users": ["−15 dB", "−10 dB", "0 dB", "10 dB", *CONTROLS],
    "digital": [
        "analog tokens",
        "digital, adaptive",
        "digital, adaptive, trained through it",
        "digital, adaptive, with HARQ",
        "digital, question as identifiers",
        "1 bit a value, 16-QAM",
        "2 bits a value, 64-QAM",
        "3 bits a value, 256-QAM",
        *CONTROLS,
    ],
    "rate": ["awgn", "ofdm-tdl-c", "Pareto front", *CONTROLS],
    "pooling": ["slide", "mean-pool", "max-pool", *CONTROLS],
    "impairments": [
        "perfect-radios",
        "synchronisation",
        "receivers",
        "power-control",
        "other-cell",
        "old-knowledge",
        *CONTROLS,
    ],
    "near-far": [*SPEAKERS, *CONTROLS],
    "token-lengths": ["−20 dB", "−10 dB", "0 dB", "10 dB", "20 dB", "tokens-32", "tokens-32-erasures", *CONTROLS],
}


@pytest.fixture(scope="module", params=sorted(LEGENDS))
def run(request, tmp_path_factory):
    """A run of each experiment with a figure of its own, for all tests that look at it."""
    return made_up_run(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def figure(run):
    """Its figure, as wide as a page."""
    return drawn(run, run.experiment.figures[0])


def test_every_experiment_is_drawn_here():
    all_of_them = (load_experiment(name, overrides=["data.root=/data"]) for name in builtin_names("experiments"))
    own = {experiment.name for experiment in all_of_them if experiment.figures != ("accuracy_vs_snr",)}
    assert own | {"quickstart"} == {*LEGENDS, "allocation"}  # whose points are of a loss: test_allocation_of_a_run.py


def test_a_figure_names_its_axes_and_every_line_and_has_its_controls(run, figure):
    labels = LEGENDS[run.experiment.name]
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(labels)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert all(axis.get_xlabel() for axis in shown)
    assert all(axis.get_ylabel() for axis in shown[:: len(shown)])
    assert figure.get_suptitle().startswith(run.experiment.title)
    looks = {
        (line.get_color(), line.get_marker(), line.get_linestyle(), line.get_fillstyle()) for line in legend.get_lines()
    }
    assert len(looks) == len(labels)  # no two lines look alike
    in_grey = {(line.get_marker(), line.get_linestyle()) for line in legend.get_lines()}
    assert len(in_grey) == len(labels)  # nor without colour
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.canvas.get_width_height()[0]
    if run.experiment.evaluate:
        assert any(axis.collections for axis in figure.axes)  # bands
        assert {line.get_linestyle() for line in legend.get_lines()} >= {"--", ":"}


def test_the_data_of_a_figure_name_every_series_and_hold_no_point_twice(figure):
    data = figure_data(figure)
    heat_map = data["value"].notna() if "value" in data else False
    assert (data["series"].ne("") | heat_map).all()
    assert not data.duplicated(["panel", "series", "x", "y"]).any()


@pytest.mark.parametrize(("seeds", "bars"), [([0], False), ([0, 1, 2], True)])
def test_where_losses_end_has_the_interval_over_the_seeds(tmp_path, seeds, bars):
    made_up_run(tmp_path, load_experiment("fig2a", overrides=[f"seeds={seeds}"]))
    for number, folder in enumerate((tmp_path / "checkpoints").glob("aligned-short/seed-*")):
        (folder / "losses.json").write_text(json.dumps([1.0 + number] * 20))
    figure = drawn(Run.open(tmp_path), "fig2a", laid_out=False)
    data = figure_data(figure).query("panel == 2 and series == 'aligned, 8 audio tokens'")
    (end,) = data[["x", "y", "low", "high"]].to_numpy().tolist()
    # Student's 97.5 % quantile with two degrees of freedom, 4.303, times 1 / √3
    assert end == pytest.approx([8, 2, 2 - 2.484, 2 + 2.484] if bars else [8, 1, np.nan, np.nan], abs=1e-3, nan_ok=True)
    assert ("bars: 95 %" in figure.get_suptitle()) == bars


def data_of(figure):
    """All that a figure draws, without its texts."""
    shown = []
    for axis in figure.axes:
        shown += [line.get_xydata() for line in axis.lines]
        bands = (part for part in axis.collections if isinstance(part, PolyCollection))
        shown += [path.vertices for band in bands for path in band.get_paths()]
        shown += [np.asarray(image.get_array()) for image in axis.images]
    return shown


def test_other_names_of_the_variants_leave_a_figure_as_it_is(run, figure, tmp_path):
    names = {variant: f"v{place}" for place, variant in enumerate(reversed(run.experiment.variants))}
    renamed = made_up_run(tmp_path, run.experiment.name, rename=names.__getitem__)
    figures = [figure, drawn(renamed, renamed.experiment.figures[0], laid_out=False)]
    one, other = map(data_of, figures)
    assert len(one) == len(other) > 0
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    labels = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in figures]
    assert [names.get(label, label) for label in labels[0]] == labels[1]


@pytest.mark.parametrize("width", [COLUMN_IN, PAGE_IN])
def test_a_figure_is_as_wide_as_asked_and_nothing_overlaps_or_is_cut(run, figure, width):
    figure = figure if width == PAGE_IN else drawn(run, run.experiment.figures[0], width)
    assert figure.get_figwidth() == width
    (legend,) = figure.legends
    whole = figure.bbox
    texts = [figure._suptitle, *legend.get_texts()]
    for axis in (axis for axis in figure.axes if axis.get_visible()):
        assert axis.get_window_extent().width > 0.8 * figure.dpi
        ticks = [t for t in axis.get_xticklabels() if t.get_text() and t.get_rotation() == 0]
        edges = [t.get_window_extent() for t in ticks]
        assert all(a.x1 <= b.x0 for a, b in pairwise(edges)), [t.get_text() for t in ticks]
        texts += [axis.title, axis.xaxis.label, axis.yaxis.label]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    for text, box in boxes:
        assert min(box.x0, box.y0) >= -1, text
        assert max(box.x1 - whole.x1, box.y1 - whole.y1) <= 1, text
    for place, (text, box) in enumerate(boxes):
        for other, its_box in boxes[place + 1 :]:
            assert not box.overlaps(its_box), (text, other)


@pytest.mark.parametrize("run", ["quickstart", "mobility", "users"], indirect=True)
def test_a_line_that_another_covers_shows_around_it(figure):
    for axis in figure.axes:
        for first, second in zip(axis.lines, axis.lines[1:], strict=False):
            both = first.get_linestyle() == second.get_linestyle() == "-"
            if both and len(first.get_xdata()) > 1:
                assert first.get_linewidth() > second.get_linewidth()
                assert first.get_markersize() > second.get_markersize()


def test_a_users_text_is_no_formula_and_fonts_are_true_type(tmp_path):
    experiment = load_experiment("quickstart", overrides=["title=Ba$$in $5 against $10_x^2"])
    run = made_up_run(tmp_path, experiment, finished=control_alone)
    assert drawn(run, "accuracy_vs_snr")._suptitle.get_text().startswith(r"Ba\$\$in \$5 against \$10_x^2")
    (png,) = draw_figures(run)
    pdf = png.with_suffix(".pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert b"/CIDFontType2" in pdf or b"/TrueType" in pdf


@pytest.mark.parametrize("name", sorted(LEGENDS))
def test_a_run_of_which_only_the_control_succeeded_is_still_drawn(name, tmp_path):
    """The figure must not hide, by failing itself, which jobs are missing."""
    run = made_up_run(tmp_path, name, finished=control_alone)
    assert drawn(run, run.experiment.figures[0]).axes


def test_a_run_without_points_tells_its_losses(tmp_path):
    table = losses_table(made_up_run(tmp_path, "fig2a"))
    variants, losses = ([*column.cells] for column in table.columns)
    assert variants == list(load_experiment("fig2a").variants)
    assert set(losses) == {f"{np.geomspace(4, 1, 150)[-15:].mean():.3f}"}


def test_the_papers_figure_draws_what_the_paper_states_at_its_profile_alone(tmp_path):
    run = made_up_run(tmp_path, "fig3")
    left, right = drawn(run, "fig3", laid_out=False).axes
    tiny = len(left.lines), len(right.lines)
    paper = replace(run, experiment=run.experiment.model_copy(update={"profile": "paper"}))
    left, right = drawn(paper, "fig3", laid_out=False).axes
    levels = [line.get_ydata()[0] for line in left.lines[tiny[0] :]]
    assert levels == [47.9, 47.6, 43.0]
    (gains,) = right.lines[tiny[1] :]
    assert gains.get_xydata().tolist() == [[0, 7.3], [6, 13.7]]


def test_the_pareto_front_holds_what_nothing_beats():
    front = run_path(str(builtin_folder("plots") / "rate.py"))["pareto_front"]
    table = pd.DataFrame({"cost": [1, 1, 2, 3, 4], "value": [0.4, 0.5, 0.45, 0.8, 0.8]})
    assert front(table, "cost")[["cost", "value"]].to_numpy().tolist() == [[1, 0.5], [3, 0.8]]


def test_retrieval_in_the_feature_figure_counts_own_captions():
    found_text = run_path(str(builtin_folder("plots") / "tsne.py"))["found_text"]
    texts = np.eye(4)
    assert found_text(texts, texts) == 1.0
    assert found_text(texts[[1, 0, 2, 3]], texts) == 0.5
