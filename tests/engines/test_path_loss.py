"""Path loss on every engine against the closed forms of 3GPP TR 38.901, table 7.4.1-1."""

from math import log10, pi

import pytest

from tokcom_phy.radio.path_loss import path_loss

C, CARRIER_GHZ, USER_M = 3e8, 3.5, 1.5


def umi(d_2d: float, line_of_sight: bool, h_bs: float = 10.0) -> float:
    d = (d_2d**2 + (h_bs - USER_M) ** 2) ** 0.5
    breakpoint_m = 4 * (h_bs - 1) * (USER_M - 1) * CARRIER_GHZ * 1e9 / C
    los = (
        32.4 + 21 * log10(d) + 20 * log10(CARRIER_GHZ)
        if d_2d <= breakpoint_m
        else 32.4 + 40 * log10(d) + 20 * log10(CARRIER_GHZ) - 9.5 * log10(breakpoint_m**2 + (h_bs - USER_M) ** 2)
    )
    nlos = 35.3 * log10(d) + 22.4 + 21.3 * log10(CARRIER_GHZ) - 0.3 * (USER_M - 1.5)
    return los if line_of_sight else max(los, nlos)


def uma(d_2d: float, line_of_sight: bool, h_bs: float = 25.0) -> float:
    d = (d_2d**2 + (h_bs - USER_M) ** 2) ** 0.5
    breakpoint_m = 4 * (h_bs - 1) * (USER_M - 1) * CARRIER_GHZ * 1e9 / C
    los = (
        28.0 + 22 * log10(d) + 20 * log10(CARRIER_GHZ)
        if d_2d <= breakpoint_m
        else 28.0 + 40 * log10(d) + 20 * log10(CARRIER_GHZ) - 9 * log10(breakpoint_m**2 + (h_bs - USER_M) ** 2)
    )
    nlos = 13.54 + 39.08 * log10(d) + 20 * log10(CARRIER_GHZ) - 0.6 * (USER_M - 1.5)
    return los if line_of_sight else max(los, nlos)


def rma(d_2d: float, line_of_sight: bool, h_bs: float = 35.0, height: float = 5.0, width: float = 20.0) -> float:
    def first(d: float) -> float:
        return (
            20 * log10(40 * pi * d * CARRIER_GHZ / 3)
            + min(0.03 * height**1.72, 10) * log10(d)
            - min(0.044 * height**1.72, 14.77)
            + 0.002 * log10(height) * d
        )

    d = (d_2d**2 + (h_bs - USER_M) ** 2) ** 0.5
    breakpoint_m = 2 * pi * h_bs * USER_M * CARRIER_GHZ * 1e9 / C
    los = first(d) if d_2d <= breakpoint_m else first(breakpoint_m) + 40 * log10(d / breakpoint_m)
    nlos = (
        161.04
        - 7.1 * log10(width)
        + 7.5 * log10(height)
        - (24.37 - 3.7 * (height / h_bs) ** 2) * log10(h_bs)
        + (43.42 - 3.1 * log10(h_bs)) * (log10(d) - 3)
        + 20 * log10(CARRIER_GHZ)
        - (3.2 * log10(11.75 * USER_M) ** 2 - 4.97)
    )
    return los if line_of_sight else max(los, nlos)


@pytest.mark.parametrize("line_of_sight", [True, False])
@pytest.mark.parametrize("distance_m", [20.0, 150.0, 1000.0, 4500.0])
def test_path_loss_is_that_of_the_table(distance_m: float, line_of_sight: bool) -> None:
    for model, closed_form in {"umi": umi, "uma": uma, "rma": rma}.items():
        found = path_loss(model, distance_m, CARRIER_GHZ * 1e9, line_of_sight)
        assert found == pytest.approx(closed_form(distance_m, line_of_sight), abs=0.02), model


def test_heights_and_free_space() -> None:
    assert path_loss("umi", 300.0, 3.5e9, False, 20.0) == pytest.approx(umi(300.0, False, 20.0), abs=0.02)
    assert path_loss("free-space", 1000.0, 1e9) == pytest.approx(20 * log10(1000) + 20 * log10(1) + 32.45, abs=0.01)
