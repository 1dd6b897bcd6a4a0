"""What few tokens tell of a scene, and what a reader that mistakes nothing answers from them."""

import numpy as np
import pytest

from tokcom_phy.pretraining.perfect_reader import Erasures, accuracies, told
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Player, Scene


def test_what_is_told_of_a_scene() -> None:
    cello = Player("cello", "left", (0.0, CLIP_SECONDS), ((1.0, 1.6), (2.2, 2.8)), True)
    flute = Player("flute", "right", (4.0, 5.5), ((4.5, 5.0),), False)
    scene = Scene((cello, flute), "indoor", voice=(3.0, 4.0), seed=0)
    densely = told(scene, np.arange(0, CLIP_SECONDS, 0.1).tolist(), [(1.0, 0), (4.2, 0), (1.0, 2), (4.2, 2), (8.0, 2)])
    assert [len(player.notes) for player in densely.players] == [2, 1]
    assert densely.players[0].seen == (0.0, CLIP_SECONDS)
    assert densely.players[1].seen == pytest.approx((4.2, 4.36))
    assert densely.voice == scene.voice
    # Neighbours that both hear the cello make one note of its two; nobody is told of the flute.
    sparsely = told(scene, [1.5, 2.3, 9.0], [(1.0, 0)])
    assert [player.instrument for player in sparsely.players] == ["cello"]
    assert len(sparsely.players[0].notes) == 1
    assert sparsely.voice is None


def test_each_doubling_of_the_tokens_tells_more() -> None:
    by_length = [accuracies(length, count=500, scenes=250)["all"] for length in (8, 16, 32)]
    assert by_length[0] + 0.15 < by_length[1] < by_length[2] - 0.03
    assert by_length[2] > 0.93


def test_losses_cost_and_bursts_cost_more() -> None:
    whole, independent, bursts = (
        accuracies(32, erasures=erasures, count=500, scenes=250)["all"]
        for erasures in (None, Erasures(0.3), Erasures(0.3, mean_burst=5.0))
    )
    assert bursts + 0.02 < independent < whole - 0.05


def test_erasures_have_the_rate_and_burst_that_they_say() -> None:
    rng = np.random.default_rng(0)
    for erasures in (Erasures(0.3), Erasures(0.3, mean_burst=5.0)):
        arrives = erasures.survivors(100_000, rng)
        assert 1 - arrives.mean() == pytest.approx(0.3, abs=0.02)
        starts = np.count_nonzero(arrives[:-1] & ~arrives[1:])
        assert (~arrives).sum() / starts == pytest.approx(erasures.mean_burst or 1 / 0.7, rel=0.1)
