"""What happens in a synthetic clip: who is seen where, who sounds when, how loud and for how long.

A `Scene` is the ground truth from which the picture, the sound, the caption and the questions of one clip are made.
"""

from dataclasses import dataclass

import numpy as np

INSTRUMENTS = (
    "accordion",
    "acoustic_guitar",
    "cello",
    "clarinet",
    "drum",
    "flute",
    "piano",
    "saxophone",
    "trumpet",
    "tuba",
    "violin",
    "xylophone",
)
"""Twelve of MUSIC-AVQA's 22 instruments, spelt as that dataset spells its answers."""

POSITIONS = ("left", "middle", "right")
PLACES = ("indoor", "outdoor")

CLIP_SECONDS = 5.12
"""Length of a clip [s]."""

BRIEF_SECONDS = (0.4, 0.8)
LONG_SECONDS = (1.8, 3.0)
"""A player's sound is either brief or long; its duration [s] is uniform in one of these ranges."""

ONSET_GAP_SECONDS = 0.5
"""Players start at least this far apart [s], so that "first" and "last" are audible."""


@dataclass(frozen=True)
class Player:
    """One instrument in a clip.

    ``start`` and ``end`` are in seconds; a player who never sounds has ``start == end == 0``.
    """

    instrument: str
    position: str
    start: float
    end: float
    loud: bool

    @property
    def sounds(self) -> bool:
        return self.end > self.start

    @property
    def long(self) -> bool:
        """Whether the sound is a long one rather than a brief one."""
        return self.end - self.start >= LONG_SECONDS[0]


@dataclass(frozen=True)
class Scene:
    """The ground truth of one clip.

    ``players`` are ordered from left to right, with distinct positions; at least one of them sounds. ``voiceover`` says
    whether somebody speaks over the music; ``seed`` drives everything that carries no meaning (pitch, tempo, shades).
    """

    players: tuple[Player, ...]
    place: str
    voiceover: bool
    seed: int

    @property
    def sounding(self) -> tuple[Player, ...]:
        """The players who sound, in the order in which they start."""
        return tuple(sorted((p for p in self.players if p.sounds), key=lambda p: p.start))

    def unique(self, player: Player) -> bool:
        """Whether no other player holds the same instrument, so that its name alone points at it."""
        return sum(p.instrument == player.instrument for p in self.players) == 1


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw one scene.

    One to three players stand at distinct positions; one in five scenes with company shows an instrument twice. Each
    player sounds with probability 0.75 (at least one does), starts at a random moment at least `ONSET_GAP_SECONDS` away
    from every other, is brief or long, soft or loud. Half of the scenes are outdoors, half have a voice-over.
    """
    count = int(rng.choice([1, 2, 3], p=[0.2, 0.35, 0.45]))
    positions = sorted(rng.choice(len(POSITIONS), size=count, replace=False))
    instruments = [INSTRUMENTS[i] for i in rng.choice(len(INSTRUMENTS), size=count, replace=False)]
    if count > 1 and rng.random() < 0.2:
        instruments[1] = instruments[0]
        rng.shuffle(instruments)
    sounds = rng.random(count) < 0.75
    sounds[rng.integers(count)] = True
    starts = _separated_onsets(rng, count)
    players = []
    for position, instrument, sounding, start in zip(positions, instruments, sounds, starts, strict=True):
        low, high = LONG_SECONDS if rng.random() < 0.5 else BRIEF_SECONDS
        end = min(start + rng.uniform(low, high), CLIP_SECONDS)
        loud = bool(rng.random() < 0.5)
        if not sounding:
            start = end = 0.0
        players.append(Player(instrument, POSITIONS[position], round(float(start), 3), round(float(end), 3), loud))
    place = PLACES[int(rng.integers(2))]
    voiceover = bool(rng.random() < 0.5)
    return Scene(tuple(players), place, voiceover, seed=int(rng.integers(2**31)))


def _separated_onsets(rng: np.random.Generator, count: int) -> np.ndarray:
    """``count`` onsets [s] in random order, `ONSET_GAP_SECONDS` apart or more, early enough for a long sound."""
    latest = CLIP_SECONDS - LONG_SECONDS[0] - 0.02
    slack = latest - (count - 1) * ONSET_GAP_SECONDS
    onsets = np.sort(rng.uniform(0.0, slack, count)) + ONSET_GAP_SECONDS * np.arange(count)
    return rng.permutation(onsets)
