"""What is drawn at random has the same distribution on every engine: Kolmogorov–Smirnov, two samples each."""

import numpy as np
import pytest
from references import NUM_BLOCKS, RANDOM, random
from scipy.stats import ks_2samp

from tokcom_phy.radio.engine import engine

LEAST_P = 1e-3
"""Of 29 tests of two equal distributions, one falls below this in 3 % of all seeds; the seed is fixed."""


def references() -> dict[str, np.ndarray]:
    with np.load(RANDOM) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.skipif(engine() == "torch", reason="the references are the torch engine's own")
def test_same_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    expected, found = references(), random(NUM_BLOCKS)
    assert sorted(found) == sorted(expected)
    p_values = {name: ks_2samp(found[name], expected[name]).pvalue for name in expected}
    with capsys.disabled():
        for name, p in p_values.items():
            print(f"\n{name}: {len(found[name])} against {len(expected[name])} samples, p = {p:.3f}", end="")
    assert {name: p for name, p in p_values.items() if p < LEAST_P} == {}


@pytest.mark.skipif(engine() != "torch", reason="the references are the torch engine's")
def test_references_are_of_this_source() -> None:
    """A reference is a sorted sample: that of two blocks is part of it."""
    expected = references()
    for name, samples in random(4).items():
        whole = expected[name]
        nearest = whole[np.abs(whole[:, None] - samples).argmin(axis=0)]
        np.testing.assert_allclose(nearest, samples, rtol=1e-4, atol=1e-4, err_msg=name)
        assert len(whole) == len(samples) * NUM_BLOCKS // 4


def test_the_test_can_fail() -> None:
    """A channel of half as much power again is detected."""
    gain = references()["TDL-C: gain"]
    assert ks_2samp(gain, 1.5 * gain).pvalue < LEAST_P
