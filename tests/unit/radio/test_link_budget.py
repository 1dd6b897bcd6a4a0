"""Link budgets: the SNR that follows, by user, over every family; and a user's mistakes."""

import math
from collections.abc import Callable

import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.cost import SYMBOL_ENERGY
from tokcom_phy.utils.errors import UserError

TOKENS = {"audio": 512, "video": 512}


def test_the_snr_is_power_over_noise() -> None:
    link = load_link("awgn", budget={"tx_power_dbm": 23, "path_loss_db": 122, "noise_figure_db": 5})
    assert link.budget_of(None).noise_power_dbm == pytest.approx(-174 + 5 + 60, abs=0.05)
    assert link.budget_snr_db == pytest.approx(23 - 122 + 174 - 5 - 60, abs=0.05)
    state = link.draw(4, TOKENS, seed=0)
    assert state.effective_snr_db["audio"] == pytest.approx(link.budget_snr_db, abs=1e-3)


def test_users_differ_by_their_path_loss() -> None:
    link = load_link("awgn", budget={"path_loss_db": {"audio": 110, "video": 130}})
    snrs = link.draw(4, TOKENS, seed=0).effective_snr_db
    assert snrs["audio"] - snrs["video"] == pytest.approx(20, abs=1e-3)
    snrs = link.draw(4, TOKENS, snr_db=7.0, seed=0).effective_snr_db  # the mean of both
    assert (snrs["audio"], snrs["video"]) == pytest.approx((17, -3), abs=1e-3)
    snrs = link.draw(4, TOKENS, snr_db={"audio": 1.0, "video": 2.0}, seed=0).effective_snr_db
    assert (snrs["audio"], snrs["video"]) == pytest.approx((1, 2), abs=1e-3)


def test_lists_follow_the_order_of_the_users() -> None:
    by_list = load_link("ofdm-tdl-c", budget={"distance_m": [50, 100, 200]})
    by_name = load_link("ofdm-tdl-c", budget={"distance_m": {"audio": 50, "video": 100, "text": 200}})
    assert by_list.config.budget == by_name.config.budget


def test_a_wider_band_has_more_noise_and_takes_less_time() -> None:
    narrow, wide = (load_link("awgn", budget={"path_loss_db": 110, "bandwidth_hz": hz}) for hz in (1e6, 1e7))
    assert narrow.budget_snr_db - wide.budget_snr_db == pytest.approx(10)  # type: ignore[operator]
    assert narrow.cost(TOKENS).latency == pytest.approx(10 * wide.cost(TOKENS).latency)
    assert narrow.cost(TOKENS).energy == pytest.approx(10 * wide.cost(TOKENS).energy)
    assert narrow.cost(TOKENS).energy == pytest.approx(load_link("awgn").cost(TOKENS, SYMBOL_ENERGY).energy, rel=0.01)


def test_bands_of_their_own_are_used_at_once() -> None:
    bands = {"audio": 1e6, "video": 4e6}
    cost = load_link("awgn", budget={"path_loss_db": 110, "bandwidth_hz": bands}).cost(TOKENS)
    assert cost.latency == pytest.approx((512 + 64) / 1e6)
    assert cost.bandwidth == 5e6


def test_ofdm_takes_the_bandwidth_of_its_subcarriers() -> None:
    together = load_link("ofdm-tdl-c", budget={"path_loss_db": 110})
    apart = load_link("ofdm-tdl-c", access="ofdma", budget={"path_loss_db": 110})
    assert together.budget_of(None).bandwidth_hz == 132 * 30e3
    assert apart.budget_snr_db - together.budget_snr_db == pytest.approx(10 * math.log10(3))  # type: ignore[operator]


def test_a_digital_link_has_the_budget_of_the_link_below() -> None:
    link = load_link("digital-awgn", budget={"path_loss_db": {"audio": 100, "video": 110}})
    assert link.config.over.budget.users == ["audio", "video"]
    snrs = link.draw(2, TOKENS, seed=0).effective_snr_db
    assert snrs["audio"] - snrs["video"] == pytest.approx(10, abs=1e-3)


def test_shadowing_is_log_normal_and_belongs_to_the_realisation() -> None:
    link = load_link("awgn", budget={"path_loss_db": 110, "shadowing_db": {"audio": 6, "video": 0}})
    state = link.draw(4000, {"audio": 1, "video": 1}, seed=0)
    snr_db = 10 * torch.log10(state.sinr["audio"][:, 0].double())
    assert snr_db.std() == pytest.approx(6, rel=0.05)
    assert snr_db.mean() == pytest.approx(link.budget_snr_db, abs=0.4)
    assert state.sinr["video"].std() == 0
    again = link.draw(2, {"audio": 1, "video": 1}, seed=0, indices=[7, 3])
    assert torch.equal(again.sinr["audio"], state.sinr["audio"][[7, 3]])


def test_true_path_gains_take_the_place_of_power_control() -> None:
    link = load_link("ofdm-umi", power_control="none", budget={"tx_power_dbm": 10})
    gain = link.mean_path_gain_db()
    assert gain is not None
    assert -140 < gain < -80
    louder = load_link("ofdm-umi", power_control="none", budget={"tx_power_dbm": 16})
    louder._path_gain_db = gain
    assert louder.budget_snr_db - link.budget_snr_db == pytest.approx(6)  # type: ignore[operator]
    assert link.budget_snr_db == pytest.approx(10 + gain - link.budget_of(None).noise_power_dbm)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "nothing lost": (lambda: load_link("awgn", budget={}), "distance_m or path_loss_db"),
    "lost twice": (lambda: load_link("awgn", budget={"distance_m": 50, "path_loss_db": 90}), "leave one out"),
    "no bandwidth": (lambda: load_link("awgn", budget={"distance_m": 50, "bandwidth_hz": 0}), "budget.bandwidth_hz"),
    "NaN": (lambda: load_link("awgn", budget={"distance_m": math.nan}), "budget.distance_m"),
    "infinite power": (lambda: load_link("awgn", budget={"distance_m": 50, "tx_power_dbm": math.inf}), "tx_power_dbm"),
    "words": (lambda: load_link("awgn", budget={"distance_m": "far"}), "give a number"),
    "truth": (lambda: load_link("awgn", budget={"distance_m": True}), "true or false"),
    "misspelt": (lambda: load_link("awgn", budget={"distanse_m": 50}), "'distance_m'"),
    "no mapping": (lambda: load_link("awgn", budget=3), "budget"),
    "too few numbers": (lambda: load_link("awgn", budget={"distance_m": [1, 2]}), "budget.distance_m: 2 numbers"),
    "no numbers": (lambda: load_link("awgn", budget={"distance_m": []}), "0 numbers"),
    "a user without power": (
        lambda: load_link("awgn", budget={"distance_m": {"audio": 50}, "tx_power_dbm": {"video": 3}}),
        "'audio' has none",
    ),
    "unknown user": (lambda: load_link("ofdm-tdl-c", budget={"distance_m": {"camera": 50}}), "'camera'"),
    "a user without gain": (
        lambda: load_link("awgn", budget={"distance_m": {"audio": 50}}).draw(2, {"video": 8}),
        "none for user 'video'",
    ),
    "too near": (lambda: load_link("awgn", budget={"distance_m": 3}).budget_snr_db, "10 to 5000 m"),
    "too high a carrier": (
        lambda: (
            load_link("awgn", budget={"distance_m": 30, "path_loss": "rma", "carrier_frequency": 60e9}).budget_snr_db
        ),
        "30 GHz",
    ),
    "offsets too": (lambda: load_link("awgn", budget={"distance_m": 50}, snr_offset_db={"audio": 3}), "leave one out"),
    "another band": (
        lambda: load_link("ofdm-tdl-c", budget={"distance_m": 50, "bandwidth_hz": 1e6}),
        "num_subcarriers",
    ),
    "another carrier": (
        lambda: load_link("ofdm-tdl-c", budget={"distance_m": 50, "carrier_frequency": 1e9}),
        "its carrier_frequency",
    ),
    "a shared band divided": (
        lambda: load_link("rayleigh-mimo", budget={"distance_m": 50, "bandwidth_hz": {"audio": 1e6, "video": 1e6}}),
        "share one band",
    ),
    "distance and true path gains": (
        lambda: load_link("ofdm-umi", power_control="none", budget={"distance_m": 50}),
        "power_control none",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(name: str) -> None:
    action, words = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        action()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
