"""Axes of a series: SNRs, transmit powers, distances, or the SNR of a budget."""

from pathlib import Path

import pytest
from powers import EXPERIMENT

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.radio import load_link
from tokcom_phy.utils.errors import UserError


def write(tmp_path: Path, series: str) -> str:
    path = tmp_path / "powers.yaml"
    path.write_text(EXPERIMENT.format(series=series))
    return str(path)


def test_powers_become_snrs(tmp_path: Path) -> None:
    resolved = load_experiment(write(tmp_path, "links: [near, far], tx_power_dbm: [0, 10, 23]")).resolved()
    (series,) = resolved.series
    first = load_link("awgn", budget={"path_loss_db": 110, "tx_power_dbm": 0}).budget_snr_db
    assert first is not None
    assert series.snr_db["near"] == pytest.approx((first, first + 10, first + 23), abs=1e-3)
    assert series.snr_db["far"] != series.snr_db["near"]
    assert resolved.visits["system"]["far"] == tuple(sorted(series.snr_db["far"]))


def test_distances_become_snrs(tmp_path: Path) -> None:
    resolved = load_experiment(write(tmp_path, "links: [far], distance_m: [50, 100]")).resolved()
    expected = [load_link("awgn", budget={"distance_m": d, "tx_power_dbm": 20}).budget_snr_db for d in (50, 100)]
    assert resolved.series[0].snr_db["far"] == pytest.approx(expected, abs=1e-3)


def test_a_budget_says_the_snr_alone(tmp_path: Path) -> None:
    (series,) = load_experiment(write(tmp_path, "links: [two]")).resolved().series
    assert series.snr_db["two"] == pytest.approx(
        (load_link("awgn", budget={"distance_m": {"audio": 50, "video": 100}}).budget_snr_db,), abs=1e-3
    )


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ("links: [near], snr_db: [0], tx_power_dbm: [0]", "leave one out"),
        ("links: [awgn], tx_power_dbm: [0, 10]", "needs a link budget"),
        ("links: [awgn]", "no snr_db, and no budget"),
        ("links: [near], distance_m: [50]", "path_loss_db is given"),
        ("links: [two], distance_m: [50]", "one for each user"),
        ("links: [far], distance_m: [1]", "10 to 5000 m"),
        ("links: [near], tx_power_dbm: [.nan]", "tx_power_dbm"),
        ("links: [near], tx_power_dbm: []", "at least 1"),
        ("links: [near], tx_power_dbm: [3, 3]", "named twice"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, series: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_experiment(write(tmp_path, series))
