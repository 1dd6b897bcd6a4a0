"""What is said of synthetic clips is true of them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from tokcom_phy.synthetic.captions import caption, heard, roster, seen
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Player, Scene, sample_scene


@pytest.fixture
def trio() -> Scene:
    """A cello, then an acoustic guitar that comes and goes; a silent drum."""
    players = (
        Player("acoustic_guitar", "left", (1.5, 4.0), ((2.0, 2.6),), loud=False),
        Player("drum", "middle", (0.0, CLIP_SECONDS), (), loud=True),
        Player("cello", "right", (0.0, CLIP_SECONDS), ((0.5, 1.1), (2.2, 3.0)), loud=True),
    )
    return Scene(players, place="outdoor", voice=(0.0, 1.0), seed=3)


def test_caption_of_one_scene(trio: Scene) -> None:
    text = caption(trio)
    for fact in (
        "an acoustic guitar on the left that comes and goes, a drum in the middle and a cello on the right.",
        "First the loud cello plays twice,",
        "the soft acoustic guitar plays once.",
        "The first half has the cello and the acoustic guitar. The second half has nobody.",
        "The cello and the acoustic guitar sound",
        "Silent is the drum.",
    ):
        assert fact in text


def test_caption_tells_the_facts() -> None:
    rng = np.random.default_rng(7)
    for scene in [sample_scene(rng) for _ in range(300)]:
        text = caption(scene)
        assert scene.place in text.lower()
        for player in scene.players:
            assert f"{player.instrument.replace('_', ' ')} {'in' if player.position == 'middle' else 'on'}" in text
        assert "_" not in text
        assert re.fullmatch(r"[A-Z].*\.", text)
        assert ("voice-over is heard" in text or "Somebody speaks" in text) == (scene.voice is not None)
        assert len(re.findall(r"\bloud\b", text)) == sum(p.loud for p in scene.sounding)


def test_captions_are_seeded_and_varied(trio: Scene) -> None:
    assert caption(trio) == caption(trio)
    assert len({caption(replace(trio, seed=seed)) for seed in range(40)}) > 20


def test_roster(trio: Scene) -> None:
    assert roster(trio) == [
        "outdoor right loud cello twice",
        "outdoor left soft acoustic guitar once",
        "outdoor middle silent drum",
        "voice",
    ]


def test_moments(trio: Scene) -> None:
    assert heard(trio, 0.1) == [("voice", 0.5)]
    assert heard(trio, 2.3) == [("loud cello", 1.0), ("soft acoustic guitar", 0.5)]
    assert heard(trio, 1.5) == [("silence", 1.0)]
    assert seen(trio, 2.2, 0) == "outdoor left acoustic guitar playing"
    assert seen(trio, 1.4, 0) == "outdoor left empty"
    assert seen(trio, 2.2, 1) == "outdoor middle drum still"
