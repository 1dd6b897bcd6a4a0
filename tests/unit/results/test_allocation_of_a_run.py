"""Allocation from a run's points: surface, the whole grid against its baselines, the figure, and predictions beside a
simulation."""

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from made_up_runs import QUESTIONS_ASKED, made_up_run
from matplotlib import pyplot

from tokcom_phy.allocation.optimize import BASELINES, OPTIMUM
from tokcom_phy.allocation.settings import AllocationSettings
from tokcom_phy.cli import execute
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.run_dir import point_file
from tokcom_phy.experiments.validation import check
from tokcom_phy.results.allocation import RunAllocation, link_settings
from tokcom_phy.results.points import Point, write_point
from tokcom_phy.results.run import Run
from tokcom_phy.sweep import allocate as commands
from tokcom_phy.sweep.preflight import check_experiment
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import find


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RunAllocation:
    folder = tmp_path_factory.mktemp("runs") / "allocation"
    settings = load_experiment("allocation", overrides=["allocation.simulate=diagonal", "seeds=[0]"])
    return RunAllocation(made_up_run(folder, settings))


def test_the_surface_is_that_of_the_points(found: RunAllocation) -> None:
    assert len(found.measured) == 9 * 3 * 5
    assert found.surface.r2 > 0.95
    lengths, snrs = {"audio": 16, "video": 4}, {"audio": 1.0, "video": 10**-0.5}
    true = 2 - 0.6 * (1 - 0.5 / 4) * 0.5 - 0.6 * 0.5 * (1 - 1 / (1 + 10**-0.5))
    assert found.surface.loss(lengths, snrs) == pytest.approx(true, abs=0.03)


def test_the_optimum_is_at_least_as_good_as_every_baseline_at_all_budgets(found: RunAllocation) -> None:
    assert len(found.grid) == 25
    for allocations in found.grid.values():
        assert set(allocations) == {OPTIMUM, *BASELINES}
        assert all(allocations[OPTIMUM].objective <= other.objective for other in allocations.values())


def test_tables_fit_a_terminal(found: RunAllocation) -> None:
    from rich.console import Console

    console = Console(width=80, record=True)
    console.print(commands.allocation_tables(found, 1e6, 9.0))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("optimum" in line for line in lines)
    assert any("R²" in line for line in lines)


def test_budgets_that_cannot_be_allocated_are_one_line(found: RunAllocation) -> None:
    with pytest.raises(UserError, match="bandwidth of 0 cannot"):
        found.allocations(0.0, 9.0)
    with pytest.raises(UserError, match="power of nan cannot"):
        found.allocations(1e6, float("nan"))


@pytest.fixture
def nothing_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation takes its variants from the experiment, not from checkpoints."""
    monkeypatch.setattr(
        commands, "trained_variant", lambda experiment, run_dir, name: experiment.variants[name].model_dump()
    )


@pytest.mark.long
@pytest.mark.usefixtures("nothing_trained")
def test_predictions_stand_beside_what_a_simulation_measured(found: RunAllocation) -> None:
    experiment = commands.simulation(found)
    assert experiment is not None
    link = experiment.resolved().links[experiment.evaluate[0].links[0]]
    one = found.grid[found.simulated_budgets()[0]][OPTIMUM]
    (snr_db,) = experiment.resolved().series[0].snr_db[link.name]
    sending = {user: snr for user, snr in one.snrs.items() if snr > 0}
    assert sending
    for user, snr in sending.items():
        assert link.user_snr_db(user, snr_db) == pytest.approx(10 * np.log10(snr), abs=0.01)
    made_up_run(found.simulation_path, experiment)
    again = RunAllocation(Run.open(found.run.path))
    assert set(again.simulated["name"]) == {OPTIMUM, *BASELINES}
    assert (again.simulated["loss"] - again.simulated["predicted_loss"]).abs().max() < 0.05
    best = again.simulated[again.simulated["name"] == OPTIMUM]
    assert (best["gain"] == 0).all()
    assert (again.simulated["gain"] > -0.05).all()
    figure = run_path(str(find("plots", "allocation")))["draw"](again.run)
    assert len(figure.axes) == 8
    pyplot.close(figure)


@pytest.mark.long
@pytest.mark.usefixtures("nothing_trained")
def test_several_seeds_are_averaged_and_widen_the_intervals(found: RunAllocation, tmp_path: Path) -> None:
    settings = load_experiment("allocation", overrides=["allocation.simulate=diagonal", "seeds=[0, 1]"])
    both = RunAllocation(made_up_run(tmp_path / "allocation", settings))
    assert len(both.measured) == len(found.measured)
    np.testing.assert_allclose(both.measured["loss"], found.measured["loss"] + 0.01)  # offsets 0 and 0.02 nat
    experiment = commands.simulation(both)
    assert experiment is not None
    run = made_up_run(both.simulation_path, experiment)
    (row,) = both.simulated.query("name == @OPTIMUM and bandwidth_hz == 1e6").to_dict("records")
    best = both.grid[1e6, row["power_dbm"]][OPTIMUM]
    variant, (link, *_) = both.system_of(best.lengths), link_settings(best)
    assert variant is not None
    points = [point for point in run.points.itertuples() if (point.variant, point.link) == (variant.name, link)]
    means = [np.mean(point.metrics["answer_loss"]) for point in points]
    assert means[1] - means[0] == pytest.approx(0.02)
    assert row["loss"] == pytest.approx(np.mean(means))
    # two seeds: their mean has a standard error of 0.01 nat, beside 0.01 nat / √questions
    assert row["loss_high"] - row["loss"] > 0.02
    (second,) = (p for p in run._points if (p.variant, p.link, p.seed) == (variant.name, link, 1))
    point_file(run.path, second.name).unlink()
    assert len(RunAllocation(both.run).simulated) < len(both.simulated)


def test_too_few_points_are_one_line(tmp_path: Path) -> None:
    settings = load_experiment("allocation", overrides=["evaluate.0.snr_db=[0]", "evaluate.0.links=[awgn]"])
    run = made_up_run(tmp_path / "run", settings)
    with pytest.raises(UserError, match="9 points are too few"):
        _ = RunAllocation(run).surface


def test_points_without_losses_are_left_out(tmp_path: Path) -> None:
    run = made_up_run(tmp_path / "run", "allocation")
    point = run._points[0]
    point_file(run.path, point.name).unlink()
    marks = "1" * QUESTIONS_ASKED
    write_point(run.path, Point(point.variant, point.link, point.snr_db, 0, marks, marks, [], {}, {}))
    assert len(RunAllocation(Run.open(run.path)).measured) < len(RunAllocation(run).measured) + 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("allocation.weight=1.5", "weight"),
        ("allocation.weight=.nan", "weight"),
        ("allocation.bandwidth_hz=[0]", "bandwidth_hz"),
        ("allocation.power_dbm=[.nan]", "power_dbm"),
        ("allocation.budget={distance_m: 50, tx_power_dbm: 3}", "what is allocated"),
        ("allocation.lengths={audio: [short, huge]}", "unknown length 'huge'"),
        ("allocation.lengths={camera: [4]}", "'camera' has no gain"),
        ("allocation.lengths={audio: [0]}", "lengths"),
        ("allocation.link=rayleigh-mimo", "share one band"),
        ("metrics=[]", "answer_loss"),
    ],
)
def test_mistakes_are_one_line(override: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_experiment("allocation", overrides=[override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("budget", [{"distance_m": {"audio": 50}}, {}])
def test_a_user_without_gain_is_one_line(budget: dict[str, object]) -> None:
    with pytest.raises(UserError, match="no gain: give"):
        check(AllocationSettings, {"budget": budget, "lengths": {"audio": [4], "video": [4]}}, "allocation")


def test_the_papers_profile_takes_it_unchanged() -> None:
    settings = load_experiment("allocation", profile="paper", overrides=["data.root=media"])
    assert settings.allocation is not None
    assert settings.allocation.lengths == {"audio": (16, 32, 64), "video": (16, 32, 64)}
    assert {tuple(v.modalities.values()) for v in settings.resolved().variants.values() if not v.blind} == {
        (audio, video) for audio in (16, 32, 64) for video in (16, 32, 64)
    }


def test_lengths_that_the_encoder_cannot_give_are_one_line() -> None:
    settings = load_experiment("allocation", overrides=["allocation.lengths.video=[4, 5000]"])
    with pytest.raises(UserError, match=r"allocation.lengths.video: token length 5000, but encoder 'tiny/video' gives"):
        check_experiment(settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bandwidth", "0"], "bandwidth of 0 cannot be allocated"),
        (["--bandwidth", "nan"], "bandwidth of nan"),
        (["--power", "nan"], "power of nan"),
        (["--power", "inf"], "power of inf"),
        ([], ""),
    ],
)
def test_the_command_prints_a_table_or_one_line(
    found: RunAllocation, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = execute(["allocate", str(found.run.path), *options])
    printed = capsys.readouterr()
    if words:
        assert code == 2
        assert words in printed.err
        assert len(printed.err.strip().splitlines()) == 1
    else:
        assert code == 0
        assert "equal split" in printed.out


def test_an_experiment_without_allocation_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["allocate", "quickstart"]) == 2
    assert "has no allocation" in capsys.readouterr().err
