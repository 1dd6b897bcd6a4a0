"""What is heard and seen of a scene is what the scene says."""

import numpy as np
import pytest

from tokcom_phy.synthetic.frames import FRAME_RATE, NUM_FRAMES, frames
from tokcom_phy.synthetic.scene import CLIP_SECONDS, INSTRUMENTS, POSITIONS, Player, Scene, Span, sample_scene
from tokcom_phy.synthetic.sound import AMBIENCE_RMS, LOUD_RMS, NUM_SAMPLES, SAMPLE_RATE, SOFT_RMS, waveform

NOTES = ((1.0, 1.8), (3.0, 3.5))


def alone(instrument: str, *, loud: bool = True, position: str = "left", voice: Span | None = None) -> Scene:
    return Scene((Player(instrument, position, (0.5, 8.0), NOTES, loud),), "indoor", voice, 5)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def seconds(samples: np.ndarray, start: float, end: float) -> np.ndarray:
    return samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_player_is_heard_while_it_plays_and_at_no_other_time(instrument: str) -> None:
    sound = waveform(alone(instrument))
    assert sound.shape == (NUM_SAMPLES,)
    assert sound.dtype == np.float32
    for outside in ((0, 1.0), (1.8, 3.0), (3.5, CLIP_SECONDS)):
        assert rms(seconds(sound, *outside)) == pytest.approx(AMBIENCE_RMS, rel=0.2)
    for start in (1.0, 1.25, 1.5, 3.0, 3.25):
        assert rms(seconds(sound, start, start + 0.25)) > LOUD_RMS / 3


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_soft_and_loud_are_far_apart(instrument: str) -> None:
    loud, soft = (rms(seconds(waveform(alone(instrument, loud=loud)), 1.0, 1.8)) for loud in (True, False))
    assert loud == pytest.approx(LOUD_RMS, rel=0.2)
    assert soft == pytest.approx(SOFT_RMS, rel=0.2)


def test_instruments_have_spectra_of_their_own() -> None:
    spectra = []
    for instrument in INSTRUMENTS:
        power = np.abs(np.fft.rfft(seconds(waveform(alone(instrument)), 1.0, 1.8))) ** 2
        bands = np.add.reduceat(power, np.unique(np.geomspace(1, len(power) - 1, 24).astype(int)))
        spectra.append(np.log10(bands + 1e-3))
    distances = [np.abs(a - b).mean() for i, a in enumerate(spectra) for b in spectra[:i]]
    assert min(distances) > 0.1


def test_somebody_speaks_for_a_while() -> None:
    quiet, spoken = waveform(alone("flute")), waveform(alone("flute", voice=(5.0, 6.5)))
    for start in (5.0, 5.7):
        assert rms(seconds(spoken, start, start + 0.7)) > 10 * rms(seconds(quiet, start, start + 0.7))
    assert np.array_equal(seconds(spoken, 0, 5.0), seconds(quiet, 0, 5.0))


def test_no_scene_clips() -> None:
    rng = np.random.default_rng(0)
    assert all(np.abs(waveform(sample_scene(rng))).max() < 1 for _ in range(10))


def test_the_same_scene_sounds_and_looks_the_same() -> None:
    scene = sample_scene(np.random.default_rng(7))
    assert np.array_equal(waveform(scene), waveform(scene))
    assert np.array_equal(frames(scene), frames(scene))


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_player_moves_in_its_column_exactly_while_it_plays(instrument: str, position: str) -> None:
    video = frames(alone(instrument, position=position))
    assert video.shape == (NUM_FRAMES, 96, 96, 3)
    assert video.dtype == np.uint8
    moments = np.arange(NUM_FRAMES) / FRAME_RATE
    there = (moments >= 0.5) & (moments < 8.0)
    playing = (moments >= 1.0) & (moments < 1.8) | (moments >= 3.0) & (moments < 3.5)
    still, empty = video[1].astype(int), video[0].astype(int)
    change = np.abs(video - still).mean(axis=(1, 2, 3))
    assert (change[playing] > 1).all()
    assert (change[there & ~playing] == 0).all()
    assert np.array_equal(video[~there], np.broadcast_to(empty, video[~there].shape))

    by_column = np.abs(video - empty).mean(axis=(0, 1, 3)).reshape(3, 32).sum(axis=1)
    assert by_column.argmax() == POSITIONS.index(position)
    assert by_column.max() > 0.85 * by_column.sum()


def test_places_look_different() -> None:
    outdoor = Scene((Player("tuba", "middle", (0.0, CLIP_SECONDS), (), False),), "outdoor", None, 5)
    indoor = Scene(outdoor.players, "indoor", None, 5)
    assert np.abs(frames(outdoor)[0].astype(int) - frames(indoor)[0]).mean() > 20


def test_instruments_look_different() -> None:
    pictures = [frames(alone(instrument))[1].astype(int) for instrument in INSTRUMENTS]
    assert min(np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]) > 3
