"""Measured throughput: nothing below the cliff, all bits above it, concave between; and its concave hull."""

import numpy as np
import pytest

from tokcom_phy.allocation.throughput import concave_hull, measured_efficiency
from tokcom_phy.radio import load_link
from tokcom_phy.utils.errors import UserError


@pytest.mark.slow  # the table of block error rates is measured first
def test_throughput_of_a_fixed_scheme_goes_from_nothing_to_its_rate() -> None:
    points = measured_efficiency(load_link("digital-awgn"), 128)
    snrs, bits = np.array(points).T
    assert bits[0] == 0
    assert bits[-1] == pytest.approx(4, abs=0.05)  # 2 bits a value, two values a use
    assert snrs[-1] < 10**2
    assert (np.diff(np.diff(bits) / np.diff(snrs)) <= 1e-9).all()
    assert (bits <= np.log2(1 + snrs) + 1e-9).all()


@pytest.mark.slow  # the table of block error rates is measured first
def test_further_rounds_count_as_channel_uses() -> None:
    harq = {"rounds": 4, "combining": "chase"}
    points = np.array(measured_efficiency(load_link("digital-awgn", harq=harq), 128))
    assert (points[:, 1] <= np.log2(1 + points[:, 0]) + 1e-9).all()


def test_only_digital_links_have_a_throughput() -> None:
    with pytest.raises(UserError, match="'awgn' is not digital"):
        measured_efficiency(load_link("awgn"), 128)


def test_the_hull_leaves_out_what_lies_below_it() -> None:
    points = [(0.0, 0.0), (1.0, 0.1), (2.0, 2.0), (3.0, 2.1), (4.0, 3.0), (5.0, 3.0)]
    assert concave_hull(points) == [(0.0, 0.0), (2.0, 2.0), (4.0, 3.0)]
