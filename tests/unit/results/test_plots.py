"""Every built-in experiment's figure, drawn from made-up points: what is shown, by which labels, over which axes."""

import json
from runpy import run_path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from safetensors.numpy import save_file

from tokcom_phy.experiments.loading import as_yaml, load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.run_dir import alignment_folder, checkpoint_folder
from tokcom_phy.results.budget import tabulate_budgets
from tokcom_phy.results.console import losses_table
from tokcom_phy.results.points import Point, write_point
from tokcom_phy.results.run import Run
from tokcom_phy.results.tables import tabulate_losses, write_tables
from tokcom_phy.utils.files import builtin_folder, builtin_names

TYPES = ["Audio/Counting", "Visual/Location", "Audio-Visual/Temporal"]
matplotlib.use("Agg")


def made_up_run(folder, name, finished=lambda job: True):
    """A run directory with a point wherever the plan has one, of jobs that have finished; accuracy rises with SNR."""
    experiment = load_experiment(name)
    (folder / "config.yaml").write_text(as_yaml(experiment))
    (folder / "questions.json").write_text(json.dumps([{"type": TYPES[i % 3], "question": "Why?"} for i in range(60)]))
    settings = {link: experiment.resolved().links[link].settings() for link in experiment.resolved().links}
    (folder / "links.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    points = []
    for job in filter(finished, experiment.resolved().jobs):
        if job.stage == "evaluate":
            for snr_db in job.snr_db:
                share = 0.3 if job.subject in ("blind", "majority") else 0.3 + 0.6 / (1 + np.exp(-snr_db / 8))
                marks = "".join("01"[int(u < share)] for u in rng.uniform(size=60))
                points.append(Point(job.subject, job.link, snr_db, job.seed, marks, marks, [], {}, {}))
                write_point(folder, points[-1])
            continue
        where = alignment_folder if job.stage == "align" else checkpoint_folder
        kept = where(folder, job.subject, job.seed)
        kept.mkdir(parents=True)
        (kept / "losses.json").write_text(json.dumps(np.geomspace(4, 1, 150).tolist()))
        if experiment.keep_features and job.stage == "align":
            modalities = [*experiment.encoders, "text"]
            features = {f"{m}-{when}": rng.normal(size=(12, 8)) for m in modalities for when in ("before", "after")}
            save_file({key: value.astype(np.float32) for key, value in features.items()}, kept / "features.safetensors")
    kinds = [TYPES[i % 3] for i in range(60)]
    write_tables(folder, experiment, points, kinds, tabulate_budgets(experiment, ["Why?"]))
    return Run(folder)


def drawn(run, name):
    figure = run_path(str(builtin_folder("plots") / f"{name}.py"))["draw"](run)
    figure.canvas.draw()
    return figure


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


CONTROLS = ["blind", "majority"]
SPEAKERS = ["both near", "audio 20 dB weaker", "video 20 dB weaker"]
LENGTHS = [4, 8, 16, 32]
LEGENDS = {
    "quickstart": ["aligned", "unaligned", "text-only-alignment", *CONTROLS],
    "channels": ["aligned", "unaligned", *CONTROLS],
    "fig2a": [f"{kind}, {s} audio tokens" for s in LENGTHS for kind in ("aligned", "unaligned")],
    "fig2b": [f"{kind}, {s} video tokens" for s in LENGTHS for kind in ("aligned", "unaligned")],
    "fig3": [f"{kind}, {s} tokens" for s in LENGTHS for kind in ("aligned", "unaligned")] + CONTROLS,
    "temperature": ["τ = 0.03", "τ = 0.07", "τ = 0.13", "unaligned", *CONTROLS],
    "tsne": ["audio", "video", "text"],
    "robustness": ["trained at 10 dB", "trained at −10 dB to 20 dB", *CONTROLS],
    "csi": [
        "perfect CSI",
        "LS, 4 pilot symbols a slot",
        "LS, 2 pilot symbols a slot",
        "LS, 1 pilot symbol a slot",
        "LS, 2 pilot symbols, nearest",
        *CONTROLS,
    ],
    "mobility": ["−15 dB", "−10 dB", "0 dB", "20 dB", *CONTROLS],
    "antennas": ["−20 dB", "−15 dB", "−10 dB", "0 dB", *CONTROLS],
    "users": ["−15 dB", "−10 dB", "0 dB", "10 dB", *CONTROLS],
    "digital": [
        "analog tokens",
        "1 bit a value, 16-QAM",
        "2 bits a value, 64-QAM",
        *CONTROLS,
    ],
    "rate": ["awgn", "ofdm-tdl-c", "Pareto front", *CONTROLS],
    "near-far": [*SPEAKERS, *CONTROLS],
}


def test_every_experiment_is_drawn_here():
    all_of_them = (load_experiment(name, overrides=["data.root=/data"]) for name in builtin_names("experiments"))
    own = {experiment.name for experiment in all_of_them if experiment.figures != ("accuracy_vs_snr",)}
    assert own | {"quickstart"} == set(LEGENDS)


@pytest.mark.parametrize("name", sorted(LEGENDS))
def test_a_figure_names_its_axes_and_every_line_and_has_its_controls(name, tmp_path):
    run = made_up_run(tmp_path, name)
    figure = drawn(run, run.config["figures"][0])
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(LEGENDS[name])
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert all(axis.get_xlabel() for axis in shown)
    assert all(axis.get_ylabel() for axis in shown[:: len(shown)])
    assert figure.get_suptitle().startswith(run.config["title"])
    looks = {
        (line.get_color(), line.get_marker(), line.get_linestyle(), line.get_fillstyle()) for line in legend.get_lines()
    }
    assert len(looks) == len(LEGENDS[name])  # no two lines look alike
    in_grey = {(line.get_marker(), line.get_linestyle()) for line in legend.get_lines()}
    assert len(in_grey) == len(LEGENDS[name])  # nor without colour
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.canvas.get_width_height()[0]
    if run.config["evaluate"]:
        assert any(axis.collections for axis in figure.axes)  # bands
        control = [line for line in legend.get_lines() if line.get_color() == "0.3"]
        assert {line.get_linestyle() for line in control} >= {"--", ":"}


@pytest.mark.parametrize("name", sorted(LEGENDS))
def test_a_run_of_which_only_the_control_succeeded_is_still_drawn(name, tmp_path):
    """The figure must not hide, by failing itself, which jobs are missing."""
    run = made_up_run(tmp_path, name, finished=lambda job: job.subject == MAJORITY)
    assert drawn(run, run.config["figures"][0]).axes


def test_a_run_without_points_tells_its_losses(tmp_path):
    made_up_run(tmp_path, "fig2a")
    table = losses_table(tabulate_losses(load_experiment("fig2a"), tmp_path))
    variants, losses = ([*column.cells] for column in table.columns)
    assert variants == list(load_experiment("fig2a").variants)
    assert set(losses) == {f"{np.geomspace(4, 1, 150)[-15:].mean():.3f}"}


def test_the_papers_figure_draws_what_the_paper_states_at_its_profile_alone(tmp_path):
    run = made_up_run(tmp_path, "fig3")
    left, right = drawn(run, "fig3").axes
    tiny = len(left.lines), len(right.lines)
    run.config["profile"] = "paper"
    left, right = drawn(run, "fig3").axes
    levels = [line.get_ydata()[0] for line in left.lines[tiny[0] :]]
    assert levels == [47.9, 47.6, 43.0]
    (gains,) = right.lines[tiny[1] :]
    assert gains.get_xydata().tolist() == [[0, 7.3], [6, 13.7]]


def test_the_crossing_of_analog_and_digital_is_found():
    crossing = run_path(str(builtin_folder("plots") / "digital.py"))["crossing"]
    table = pd.DataFrame({"snr_db": [0, 5, 10, 20], "value": [0.3, 0.2, -0.1, -0.05]})
    assert crossing(table) == pytest.approx(5 + 5 * 2 / 3)
    assert crossing(table.assign(value=[0.3, 0.2, 0.1, 0.05])) is None
    assert crossing(table.assign(value=[-0.3, -0.2, -0.1, -0.05])) is None


def test_the_pareto_front_holds_what_nothing_beats():
    front = run_path(str(builtin_folder("plots") / "rate.py"))["pareto_front"]
    table = pd.DataFrame({"cost": [1, 1, 2, 3, 4], "value": [0.4, 0.5, 0.45, 0.8, 0.8]})
    assert front(table, "cost")[["cost", "value"]].to_numpy().tolist() == [[1, 0.5], [3, 0.8]]


def test_retrieval_in_the_feature_figure_counts_own_captions():
    found_text = run_path(str(builtin_folder("plots") / "tsne.py"))["found_text"]
    texts = np.eye(4)
    assert found_text(texts, texts) == 1.0
    assert found_text(texts[[1, 0, 2, 3]], texts) == 0.5
