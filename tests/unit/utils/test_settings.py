"""A boolean is no number, in settings of any kind."""

from typing import Any

import pytest

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.validation import check
from tokcom_phy.radio import load_link
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.settings import Strict


class Inner(Strict):
    on: bool = False
    level: float = 0.0


class Outer(Strict):
    number: float | None = None
    pair: float | tuple[float, float] = 0.0
    table: dict[str, float] = {"a": 1.0}  # noqa: RUF012
    anything: Any = None
    switch: bool = False
    either: bool | int = 0
    inner: Inner = Inner()
    several: list[Inner] = []  # noqa: RUF012


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"number": True}, "number"),
        ({"pair": [1.0, False]}, "pair"),
        ({"table": {"a": True}}, "table"),
        ({"inner": {"level": True}}, "inner: level"),
        ({"several": [{"on": True}, {"level": False}]}, "several.1: level"),
    ],
)
def test_a_boolean_is_no_number(values: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"^here: {key} is true or false where a number is asked for"):
        check(Outer, values, "here")


def test_booleans_stay_where_they_are_asked_for() -> None:
    values = {"switch": True, "either": True, "anything": {"a": [True]}, "inner": {"on": True}, "several": [{"on": 1}]}
    assert check(Outer, values, "here").model_dump(include=set(values)) == {
        **values,
        "inner": {"on": True, "level": 0.0},
        "several": [{"on": True, "level": 0.0}],
    }
    assert check(Outer, {"number": 1, "pair": [1, 2]}, "here").pair == (1.0, 2.0)


@pytest.mark.parametrize(
    ("link", "overrides", "key"),
    [
        ("ofdm-tdl-c", {"num_rx_ant": True}, "num_rx_ant"),
        ("ofdm-tdl-c", {"impairments": {"phase_noise": True}}, "impairments: phase_noise"),
        ("awgn", {"snr_offset_db": {"audio": True}}, "snr_offset_db"),
        ("digital-ofdm-tdl-c", {"over": {"speed": True}}, "speed"),
    ],
)
def test_no_link_takes_one(link: str, overrides: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"{key}.* is true or false where a number is asked for"):
        load_link(link, **overrides)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seeds=[true]", "seeds"),
        ("stage1.steps=true", "steps"),
        ("stage2.lora.r=true", "r"),
        ("lengths.audio=true", "lengths"),
        ("threads=false", "threads"),
        ("data.fps=true", "fps"),
    ],
)
def test_no_experiment_takes_one(override: str, key: str) -> None:
    with pytest.raises(UserError, match=f"{key} is true or false where a number is asked for"):
        load_experiment("quickstart", overrides=[override])
