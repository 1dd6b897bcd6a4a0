"""The sound of a scene: additive synthesis of sixteen instruments and of somebody who talks over them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.signal import butter, sosfilt

from tokcom_phy.synthetic.scene import CLIP_SECONDS, Player, Scene, Span

SAMPLE_RATE = 16_000
"""Sampling rate [Hz]."""

NUM_SAMPLES = round(CLIP_SECONDS * SAMPLE_RATE)

LOUD_RMS = 0.14
SOFT_RMS = 0.028
VOICE_RMS = 0.025
AMBIENCE_RMS = 0.0005
"""Root mean squares, full scale being 1: a loud player is 14 dB above a soft one, and brighter too."""

_EDGE_SECONDS = 0.006
_SOFT_TILT = 0.6
_SCALE = np.array([0, 2, 4, 7, 9, 12])
_VOWELS = np.array([[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]])
"""First three formants [Hz] of a, i, u, e, o."""


@dataclass(frozen=True)
class Timbre:
    """How an instrument sounds.

    ``lowest`` is the lowest tone (MIDI number), ``tone`` the length of a tone [s], ``partials`` the amplitudes of the
    partials at ``ratios`` times the fundamental (1, 2, 3, … when empty), ``attack`` the time in which a tone rises [s],
    ``decay`` the time constant of the fundamental [s] (higher partials fade faster; 0 is a sustained tone), ``vibrato``
    a rate [Hz] and a depth [semitones], ``tremolo`` a rate [Hz] and a depth (0…1), ``noise`` a share of the amplitude
    and a band [Hz, Hz].
    """

    lowest: int
    tone: float
    partials: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    attack: float = 0.02
    decay: float = 0.0
    vibrato: tuple[float, float] = (0.0, 0.0)
    tremolo: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, int, int] = (0.0, 20, 7900)


TIMBRES = {
    "accordion": Timbre(
        60,
        0.60,
        (1, 1, 0.8, 0.8, 0.6, 0.6, 0.5, 0.5),
        (1, 1.012, 1.5, 1.518, 2, 2.024, 3, 4.03),
        0.04,
        tremolo=(8, 0.5),
    ),
    "acoustic_guitar": Timbre(48, 0.26, (1, 0.9, 0.2, 0.7, 0.5, 0.15, 0.4, 0.3), attack=0.003, decay=0.22),
    "bagpipe": Timbre(
        70,
        0.28,
        (1, 0.7, 0.5, 0.8, 1, 1, 0.9, 0.8, 0.6),
        (0.25, 0.5, 1, 2, 3, 4, 5, 6, 7),
        0.01,
    ),
    "banjo": Timbre(60, 0.13, (0.5, 0.8, 1, 1, 0.9, 0.8, 0.7, 0.6), attack=0.002, decay=0.09),
    "cello": Timbre(38, 0.70, (0.6, 1, 0.9, 0.7, 0.8, 0.4, 0.35, 0.3, 0.2, 0.2), attack=0.08, vibrato=(5, 0.35)),
    "clarinet": Timbre(64, 0.36, (1, 0.8, 0.6, 0.35, 0.2), (1, 3, 5, 7, 9), attack=0.03),
    "congas": Timbre(50, 0.17, (1, 0.7, 0.4), (1, 1.51, 2.3), attack=0.001, decay=0.08),
    "drum": Timbre(32, 0.20, (1, 0.6), (1, 1.59), attack=0.001, decay=0.07, noise=(0.9, 200, 7500)),
    "erhu": Timbre(69, 0.50, (0.25, 1, 0.3, 0.9, 0.2, 0.6, 0.15, 0.4), attack=0.05, vibrato=(5.5, 1.1)),
    "flute": Timbre(81, 0.45, (1, 0.18, 0.05), attack=0.06, tremolo=(5, 0.4), noise=(0.25, 2500, 7000)),
    "piano": Timbre(
        62, 0.19, (1, 0.8, 0.7, 0.5, 0.35, 0.2), (1, 2.003, 2.52, 3.01, 4.03, 5.04), attack=0.002, decay=0.3
    ),
    "saxophone": Timbre(
        51, 0.40, (0.3, 0.5, 0.7, 1, 1, 0.9, 0.7, 0.4, 0.3), attack=0.03, tremolo=(26, 0.7), noise=(0.2, 800, 3000)
    ),
    "trumpet": Timbre(69, 0.30, (0.5, 0.8, 1, 1, 0.9, 0.8, 0.7, 0.5, 0.3), attack=0.025, vibrato=(6, 0.1)),
    "tuba": Timbre(31, 0.34, (0.8, 1, 0.8, 0.5, 0.3, 0.2, 0.1), attack=0.05),
    "violin": Timbre(77, 0.55, (0.8, 1, 0.7, 0.8, 0.6, 0.5, 0.4), attack=0.06, vibrato=(6.5, 0.6)),
    "xylophone": Timbre(86, 0.12, (1, 0.5, 0.3), (1, 3.93, 5.4), attack=0.001, decay=0.06, noise=(0.1, 3000, 7500)),
}


def waveform(scene: Scene) -> np.ndarray:
    """Render what is heard in a scene.

    Every player is heard during its notes and nowhere else; somebody speaks during ``scene.voice``, over a faint
    ambience. The same scene always sounds the same.

    Returns
    -------
    float32 [163840]
        One channel at 16 kHz, within ±1.
    """
    rng = np.random.default_rng([scene.seed, 1])
    mix = AMBIENCE_RMS * _noise(rng, NUM_SAMPLES, 50, 7000)
    for player in scene.sounding:
        for note in player.notes:
            here = _samples(note)
            mix[here] += _play(player, here.stop - here.start, rng)
    if scene.voice:
        here = _samples(scene.voice)
        mix[here] += _babble(here.stop - here.start, rng)
    return np.tanh(mix)


def _samples(span: Span) -> slice:
    return slice(round(span[0] * SAMPLE_RATE), min(round(span[1] * SAMPLE_RATE), NUM_SAMPLES))


def _play(player: Player, length: int, rng: np.random.Generator) -> np.ndarray:
    """One note of a player, float32 [length]: a snatch of a melody on a pentatonic scale."""
    timbre = TIMBRES[player.instrument]
    time = np.arange(length) / SAMPLE_RATE
    index, in_tone = np.divmod(time, timbre.tone)
    index, in_tone = index.astype(np.intp), in_tone.astype(np.float32)
    pitch = timbre.lowest + rng.integers(3) + rng.choice(_SCALE, size=index[-1] + 1)[index]
    rate, depth = timbre.vibrato
    if depth:
        pitch = pitch + depth * np.sin(2 * np.pi * rate * time)
    cycles = np.cumsum(440 / SAMPLE_RATE * 2 ** ((pitch - 69) / 12))

    ratios = np.asarray(timbre.ratios or range(1, len(timbre.partials) + 1), dtype=float)
    amplitudes = np.asarray(timbre.partials)
    if not player.loud:
        amplitudes = amplitudes * ratios**-_SOFT_TILT
    phase = np.outer(ratios, cycles)
    phase -= np.floor(phase)
    partials = np.sin(np.float32(2 * np.pi) * phase.astype(np.float32))
    if timbre.decay:
        partials *= np.exp(np.outer(-np.sqrt(ratios) / timbre.decay, in_tone).astype(np.float32))
    sound = np.einsum("k,kn->n", amplitudes.astype(np.float32), partials)

    share, low, high = timbre.noise
    if share:
        burst = np.exp(-in_tone / timbre.decay) if timbre.decay else 1.0
        sound += share * burst * _noise(rng, length, low, high)
    sound *= np.minimum(in_tone / timbre.attack, 1.0) * np.minimum((timbre.tone - in_tone) / 0.01, 1.0)
    rate, depth = timbre.tremolo
    if depth:
        sound *= 1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * rate * time))
    level = (LOUD_RMS if player.loud else SOFT_RMS) * 10 ** rng.uniform(-0.05, 0.05)
    sound *= level / np.sqrt(np.mean(sound**2))
    return _fade(sound)


def _babble(length: int, rng: np.random.Generator) -> np.ndarray:
    """Speech-like sound without words, float32 [length]: voiced syllables whose formants jump from vowel to vowel."""
    count = 1 + int(length / SAMPLE_RATE / 0.16)
    bounds = np.cumsum(rng.uniform(0.16, 0.28, count))
    time = np.arange(length) / SAMPLE_RATE
    syllable = np.searchsorted(bounds, time)
    starts = np.concatenate([[0.0], bounds[:-1]])
    progress = (time - starts[syllable]) / (bounds - starts)[syllable]

    register = rng.choice([115.0, 205.0])
    intonation = rng.uniform(0.88, 1.12, count)
    cycles = np.cumsum(register * intonation[syllable] * (1.08 - 0.16 * progress) / SAMPLE_RATE)
    harmonics = np.arange(1, 1 + int(3600 / register))
    formants = _VOWELS[rng.integers(len(_VOWELS), size=count)]
    resonance = 1 / (1 + ((harmonics * register)[None, :, None] - formants[:, None, :]) ** 2 / 120.0**2)
    amplitudes = resonance @ np.array([1.0, 0.6, 0.3])
    grid = np.outer(harmonics, np.arange(256) / 256)
    tables = np.einsum("sk,kn->sn", amplitudes, np.sin(2 * np.pi * grid))
    voice = tables[syllable, (256 * cycles).astype(np.intp) & 255] * np.sqrt(np.sin(np.pi * progress))
    voice *= VOICE_RMS / np.sqrt(np.mean(voice**2))
    return _fade(voice.astype(np.float32))


def _fade(sound: np.ndarray) -> np.ndarray:
    """Soften the first and the last milliseconds, so that nothing clicks."""
    ramp = np.linspace(0, 1, min(round(_EDGE_SECONDS * SAMPLE_RATE), len(sound) // 2), dtype=np.float32)
    sound[: len(ramp)] *= ramp
    sound[len(sound) - len(ramp) :] *= ramp[::-1]
    return sound


def _noise(rng: np.random.Generator, length: int, low: int, high: int) -> np.ndarray:
    """Noise of unit power in a band [Hz], float32 [length], cut from a random place of a long recording."""
    recording = _recorded_noise(low, high)
    first = rng.integers(len(recording) - length)
    return recording[first : first + length].copy()


@cache
def _recorded_noise(low: int, high: int) -> np.ndarray:
    noise = np.random.default_rng([low, high]).standard_normal(3 * NUM_SAMPLES)
    noise = sosfilt(butter(2, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos"), noise)
    return (noise / noise.std()).astype(np.float32)
