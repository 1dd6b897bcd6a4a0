"""What a run prints, in terminals of several widths."""

import re
from collections import Counter
from io import StringIO

import numpy as np
import pytest
from made_up_runs import made_up_run, write_inputs
from rich.console import Console
from rich.table import Table

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.results.console import SnrTable, differences_table, results_table
from tokcom_phy.results.points import Point, write_point
from tokcom_phy.results.run import Run
from tokcom_phy.sweep.failures import failures_table
from tokcom_phy.sweep.messages import Failure


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Every point of the quickstart, with random marks; the blind variants send nothing and stay the same."""
    folder = tmp_path_factory.mktemp("run")
    experiment = load_experiment("quickstart", overrides=["evaluate.0.snr_db=[-30,-20,-10,-5,0,5,10,20]"])
    write_inputs(folder, experiment, asked=400)
    generator = np.random.default_rng(0)
    for job in experiment.resolved().jobs:
        for snr_db in job.snr_db:
            still = job.variant is None or job.variant.blind
            marks = np.arange(400) < 133 if still else generator.random(400) < 0.7
            correct = "".join(str(int(mark)) for mark in marks)
            write_point(folder, Point(job.subject, job.link.name, snr_db, 0, correct, correct, [], {}, {}))
    return Run.open(folder)


def printed(table: SnrTable | Table, width: int) -> str:
    console = Console(file=StringIO(), width=width)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert all(len(line) <= width for line in lines)
    return "\n".join(lines)


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_all_differences_and_intervals_are_shown_in_full(run, width):
    text = printed(differences_table(run), width)
    blind = [variant.name for variant in run.variants(blind=True)]
    shown = run.accuracy_differences[
        (run.accuracy_differences["than_variant"] != MAJORITY) & ~run.accuracy_differences["variant"].isin(blind)
    ]
    halves = (shown["ci_high"] - shown["ci_low"]) / 2
    assert Counter(re.findall(r"[+-]\d+\.\d", text)) == Counter(f"{100 * value:+z.1f}" for value in shown["value"])
    assert Counter(re.findall(r"±\d+\.\d", text)) == Counter(f"±{100 * half:.1f}" for half in halves)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_all_accuracies_are_shown_in_full(run, width):
    text = printed(results_table(run), width)
    curves = run.accuracy
    widest = curves.assign(half=curves["ci_high"] - curves["ci_low"]).groupby(["link", "variant"])["half"].max() / 2
    wanted = Counter(f"{100 * value:.1f}" for value in [*curves["value"], *widest])
    assert Counter(re.findall(r"\d+\.\d", text)) == wanted


def test_eight_snrs_stand_beside_each_other_in_eighty_columns(run):
    text = printed(differences_table(run), 80)
    title, header, first, *_ = text.splitlines()
    assert "95 % intervals" in title
    assert header.split() == ["-30", "-20", "-10", "-5", "0", "5", "10", "20"]
    assert first == "aligned − unaligned"


def test_where_there_is_nothing_to_compare_nothing_is_printed(tmp_path):
    series = "evaluate=[{variants: [aligned], links: [awgn], snr_db: [0]}]"
    assert (
        printed(differences_table(made_up_run(tmp_path, load_experiment("quickstart", overrides=[series]))), 80) == ""
    )


def test_points_that_miss_for_one_reason_share_a_line():
    failures = [Failure(f"my__best__awgn__{snr:+g}dB__seed0", "no room") for snr in (-10, 0, 2.5)]
    failures += [Failure("my__best__awgn__+0dB__seed1", "no room"), Failure("finetune my__best seed 2", "no room")]
    lines = [line.split() for line in printed(failures_table(failures), 120).splitlines()[2:]]
    assert lines == [
        ["my__best__awgn__{-10,+0,+2.5}dB__seed0", "no", "room"],
        ["my__best__awgn__+0dB__seed1", "no", "room"],
        ["finetune", "my__best", "seed", "2", "no", "room"],
    ]
