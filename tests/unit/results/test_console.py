"""What a run prints, in terminals of several widths."""

import re
from collections import Counter
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.results.console import SnrTable, differences_table, results_table
from tokcom_phy.results.points import Point
from tokcom_phy.results.tables import accuracy_curves, tabulate_differences
from tokcom_phy.sweep.failures import failures_table
from tokcom_phy.sweep.messages import Failure


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return load_experiment("quickstart")


@pytest.fixture(scope="module")
def points(experiment) -> list[Point]:
    """Every point of the experiment, with random marks; the blind variant sends nothing and stays the same."""
    generator = np.random.default_rng(0)
    found = []
    for series in experiment.evaluate:
        for variant in (*series.variants, MAJORITY):
            for link in series.links:
                for snr_db in series.snr_db:
                    marks = np.arange(400) < 133 if variant in ("blind", MAJORITY) else generator.random(400) < 0.7
                    correct = "".join(str(int(mark)) for mark in marks)
                    found.append(Point(variant, link, snr_db, 0, correct, correct, [], {}, {}))
    return found


def printed(table: SnrTable | Table, width: int) -> str:
    console = Console(file=StringIO(), width=width)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert all(len(line) <= width for line in lines)
    return "\n".join(lines)


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_all_differences_and_intervals_are_shown_in_full(experiment, points, width):
    differences = tabulate_differences(experiment, points)
    text = printed(differences_table(differences), width)
    shown = differences[(differences["than_variant"] != MAJORITY) & (differences["variant"] != "blind")]
    halves = (shown["ci_high"] - shown["ci_low"]) / 2
    assert Counter(re.findall(r"[+-]\d+\.\d", text)) == Counter(f"{100 * value:+z.1f}" for value in shown["value"])
    assert Counter(re.findall(r"±\d+\.\d", text)) == Counter(f"±{100 * half:.1f}" for half in halves)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_all_accuracies_are_shown_in_full(experiment, points, width):
    text = printed(
        results_table(points, experiment.resolved().evaluated_links, [*experiment.variants, MAJORITY]), width
    )
    curves = accuracy_curves(points)
    widest = curves.assign(half=curves["ci_high"] - curves["ci_low"]).groupby(["link", "variant"])["half"].max() / 2
    wanted = Counter(f"{100 * value:.1f}" for value in [*curves["value"], *widest])
    assert Counter(re.findall(r"\d+\.\d", text)) == wanted


def test_eight_snrs_stand_beside_each_other_in_eighty_columns(experiment, points):
    text = printed(differences_table(tabulate_differences(experiment, points)), 80)
    title, header, first, *_ = text.splitlines()
    assert "95 % intervals" in title
    assert header.split() == ["-30", "-20", "-10", "-5", "0", "5", "10", "20"]
    assert first == "aligned − unaligned"


def test_where_there_is_nothing_to_compare_nothing_is_printed(experiment, points):
    one = experiment.model_copy(
        update={"evaluate": (experiment.evaluate[0].model_copy(update={"variants": ("aligned",), "links": ("awgn",)}),)}
    )
    assert printed(differences_table(tabulate_differences(one, points)), 80) == ""


def test_points_that_miss_for_one_reason_share_a_line():
    failures = [Failure(f"my__best__awgn__{snr:+g}dB__seed0", "no room") for snr in (-10, 0, 2.5)]
    failures += [Failure("my__best__awgn__+0dB__seed1", "no room"), Failure("finetune my__best seed 2", "no room")]
    lines = [line.split() for line in printed(failures_table(failures), 120).splitlines()[2:]]
    assert lines == [
        ["my__best__awgn__{-10,+0,+2.5}dB__seed0", "no", "room"],
        ["my__best__awgn__+0dB__seed1", "no", "room"],
        ["finetune", "my__best", "seed", "2", "no", "room"],
    ]
