"""Figures for a journal or a talk: sizes, fonts, titles, kinds of files, their data, and the text of the setup."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from made_up_runs import made_up_run
from matplotlib import pyplot
from matplotlib.text import Text

from tokcom_phy.cli import execute
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.results.bibliography import bibtex, cited
from tokcom_phy.results.figure_data import figure_data
from tokcom_phy.results.figures import draw_figures
from tokcom_phy.results.plotting import looks, panels
from tokcom_phy.results.run import Run
from tokcom_phy.results.setup_text import by_link, parameters, setup_text
from tokcom_phy.results.styles import COLUMN_IN, PAGE_HEIGHT_IN, PAGE_IN, STYLES, find_style, styled
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.latex import latex_text

matplotlib.use("Agg")
HOSTILE = r"Ba$$in, $5 against $10: 100 % of a_b & #1 {x} \input{y} ~^"
SMALL = "[{variants: [aligned, unaligned, blind], links: [awgn, ofdm-tdl-c], snr_db: [-10, 0, 10]}]"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    experiment = load_experiment("quickstart", overrides=[f"evaluate={SMALL}"])
    made_up_run(folder, experiment.model_copy(update={"title": HOSTILE}))
    return folder


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def drawn(run_dir) -> Path:
    arguments = ["plot", str(run_dir), "--style", "ieee", "--format", "pdf,svg,pgf,png"]
    assert execute(arguments) == 0
    return run_dir / "figures"


def test_each_format_and_the_data_are_written(drawn):
    names = {path.name for path in drawn.iterdir()}
    assert {f"accuracy_vs_snr-ieee.{suffix}" for suffix in ("pdf", "svg", "pgf", "png", "csv")} <= names
    assert {"setup.tex", "setup.bib"} <= names


def test_a_pdf_is_a_column_wide_and_has_truetype_fonts(drawn):
    content = (drawn / "accuracy_vs_snr-ieee.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", content)
    assert box
    assert float(box[1]) == pytest.approx(3.5 * 72, abs=0.01)
    assert b"/Type3" not in content
    assert b"/CIDFontType2" in content


@pytest.mark.parametrize("name", STYLES)
def test_texts_have_the_size_of_the_style(run_dir, name, monkeypatch):
    figures = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    draw_figures(Run.open(run_dir), style=name, formats=["png"])
    texts = [text for text in figures[0].findobj(Text) if text.get_text()]
    assert {text.get_fontsize() for text in texts} <= {STYLES[name].size, STYLES[name].small, 15.0}
    shown = " ".join(text.get_text() for text in texts)
    assert ("Ba$$in" in shown) == STYLES[name].titled
    monkeypatch.undo()


def test_lines_in_print_differ_by_dashes_too(run_dir):
    with styled(find_style("ieee")):
        found = looks(["a", "b", "c", "d"])
    assert len({str(look.dashes) for look in found.values()}) == 4
    assert {look.dashes for look in looks(["a", "b", "c", "d"]).values()} == {"-"}


def test_many_panels_take_both_columns_unless_a_width_is_asked_for():
    with styled(find_style("ieee")):
        few, many = panels(4)[0], panels(15)[0]
    assert few.get_figwidth() == COLUMN_IN
    assert many.get_figwidth() == PAGE_IN
    assert many.get_figheight() < PAGE_HEIGHT_IN
    with styled(find_style("ieee"), COLUMN_IN):
        assert panels(15)[0].get_figwidth() == COLUMN_IN


def test_four_panels_on_a_slide_stand_two_by_two():
    with styled(find_style("slides")):
        _, axes = panels(4)
    assert [axis.get_subplotspec().colspan.start for axis in axes] == [0, 1, 0, 1]


def test_a_name_is_text_in_every_format(run_dir):
    assert draw_figures(Run.open(run_dir), style="slides", formats=["pdf", "svg", "pgf", "png"])
    svg = (run_dir / "figures" / "accuracy_vs_snr-slides.svg").read_text("utf-8")
    assert "Ba$$in, $5 against $10: 100 % of a_b &amp; #1 {x} \\input{y}" in " ".join(svg.split())
    pgf = (run_dir / "figures" / "accuracy_vs_snr-slides.pgf").read_text("utf-8")
    assert latex_text(HOSTILE.split(":")[0]) in pgf
    assert "\\input{y}" not in pgf
    for line in pgf.splitlines():
        if r"\pgftext" in line:
            assert not re.search(r"(?<!\\)\$", re.sub(r"\\ensuremath\{[^}]*\}", "", line))


def test_braces_of_a_pgf_file_match(drawn):
    text = re.sub(r"\\.", "", (drawn / "accuracy_vs_snr-ieee.pgf").read_text("utf-8"))
    assert text.count("{") == text.count("}")
    assert r"\setmainfont" not in (drawn / "accuracy_vs_snr-ieee.pgf").read_text("utf-8")


def test_the_data_are_those_of_the_run(run_dir, drawn):
    data = pd.read_csv(drawn / "accuracy_vs_snr-ieee.csv")
    accuracy = Run.open(run_dir).accuracy
    for (link, variant), curve in accuracy.groupby(["link", "variant"]):
        shown = data[(data["title"] == link) & (data["series"] == variant)].sort_values("x")
        np.testing.assert_allclose(shown["x"], sorted(curve["snr_db"]))
        np.testing.assert_allclose(shown["y"], 100 * curve.sort_values("snr_db")["value"])
        if variant in ("aligned", "unaligned"):
            np.testing.assert_allclose(shown["low"], 100 * curve.sort_values("snr_db")["ci_low"], atol=1e-9)
            np.testing.assert_allclose(shown["high"], 100 * curve.sort_values("snr_db")["ci_high"], atol=1e-9)
    assert set(data["y_label"]) == {"answer accuracy [%]"}


def test_data_of_whiskers_points_and_heat_maps():
    figure, (left, middle, right) = pyplot.subplots(1, 3)
    left.errorbar([1, 2], [3, 4], [[0.5, 1], [1, 2]], label="a")
    left.axhline(0)
    left.legend()
    middle.scatter([5], [6], label="b")
    right.imshow([[7, 8]])
    right.set_xticks([0, 1], ["p", "q"])
    right.set_yticks([0], ["r"])
    data = figure_data(figure)
    assert data[data["panel"] == 1][["x", "y", "low", "high"]].to_numpy().tolist() == [[1, 3, 2.5, 4], [2, 4, 3, 6]]
    assert data[data["panel"] == 2][["x", "y"]].to_numpy().tolist() == [[5, 6]]
    assert data[data["panel"] == 3][["x", "y", "value"]].to_numpy().tolist() == [["p", "r", 7], ["q", "r", 8]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--style", "iee"], "did you mean 'ieee'"),
        (["--format", "pdf,sgv"], "did you mean 'svg'"),
        (["--format", ""], "figures cannot be drawn as ''"),
    ],
)
def test_mistakes_are_answered_in_one_line(run_dir, capsys, arguments, expected):
    assert execute(["plot", str(run_dir), *arguments]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ba$$in", r"Ba\$\$in"),
        ("50 % & more", r"50 \% \& more"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a_b^c~d#e", r"a\_b\textasciicircum{}c\textasciitilde{}d\#e"),
        ("−5 dB, τ < 1", r"\ensuremath{-}5 dB, \ensuremath{\tau} \textless{} 1"),
        ("one\ntwo\x1b", "one two?"),
    ],
)
def test_text_is_no_markup_in_latex(text, expected):
    assert latex_text(text) == expected


def test_the_setup_names_what_the_run_used(run_dir):
    run = Run.open(run_dir)
    keys = cited(run)
    assert {"tokencommunication", "sionna", "tr38901", "ts38211", "lora"} <= set(keys)
    assert not {"sionnart", "ts38212", "musicavqa", "tokentransmission"} & set(keys)
    text = setup_text(run)
    entries = re.findall(r"@\w+\{(\w+),", bibtex(run))
    assert set(re.findall(r"\w+", " ".join(re.findall(r"\\cite\{([^}]*)\}", text)))) == set(entries)
    assert parameters(run)["Channel model"] == "TDL-C"
    assert parameters(run)["Receive antennas"] == "awgn: 1; ofdm-tdl-c: 8"
    assert parameters(run)["Channel knowledge"] == "LS estimates"
    assert parameters(run)["SNR per antenna"] == "−10, 0, 10 dB"
    assert "Power control" not in parameters(run)
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")


def test_other_links_and_models_bring_other_entries(tmp_path):
    links = "[digital-awgn, ofdm-munich]"
    overrides = [f"evaluate=[{{variants: [aligned], links: {links}, snr_db: [0]}}]", "selector=mean-pool"]
    experiment = load_experiment("quickstart", overrides=overrides)
    run = made_up_run(tmp_path / "run", experiment, finished=lambda job: False)
    assert {"sionnart", "ts38212", "tokentransmission"} <= set(cited(run))
    assert "tr38901" not in cited(run)


@pytest.mark.parametrize(
    ("values", "partly", "expected"),
    [
        ({"a": "1", "b": "1"}, False, "1"),
        ({"a": "1", "b": "1"}, True, "a, b: 1"),
        ({"a": "1", "b": "2"}, False, "a: 1; b: 2"),
        ({"a": "1", "b": "2", "c": "1"}, False, "b: 2; others: 1"),
        ({"a": "1", "b": "2", "c": "1"}, True, "b: 2; a, c: 1"),
    ],
)
def test_links_are_named_where_their_values_differ(values, partly, expected):
    assert by_link(values, partly) == expected


def test_an_unknown_style_is_refused():
    with pytest.raises(UserError, match="did you mean 'slides'"):
        find_style("slide")
