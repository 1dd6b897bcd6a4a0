"""What happens in a synthetic clip: who is seen where and when, who sounds when and how loud.

A `Scene` is the ground truth from which the picture, the sound, the caption and the questions of one clip are made.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

INSTRUMENTS = (
    "accordion",
    "acoustic_guitar",
    "bagpipe",
    "banjo",
    "cello",
    "clarinet",
    "congas",
    "drum",
    "erhu",
    "flute",
    "piano",
    "saxophone",
    "trumpet",
    "tuba",
    "violin",
    "xylophone",
)
"""Sixteen of MUSIC-AVQA's 22 instruments, spelt as that dataset spells its answers."""

POSITIONS = ("left", "middle", "right")
PLACES = ("indoor", "outdoor")

CLIP_SECONDS = 10.24
"""Length of a clip [s]."""

NOTE_SECONDS = (0.4, 0.8)
GAP_SECONDS = 0.5
"""A note's duration [s] is uniform in this range, 0.1 s less where it is played along with another's; two notes of one
player lie this far apart or more."""

MAX_NOTES = 4
MAX_TOGETHER = 2
"""Most notes of one player; most players who sound at one moment."""

VISIT_SECONDS = (1.2, 2.2)
VOICE_SECONDS = (0.8, 1.6)
"""How long a visitor is in the picture, and how long somebody speaks [s], uniform in these ranges."""

_ATTEMPTS = 8
_JITTER = 0.1

Span = tuple[float, float]
"""Beginning and end [s]."""


def shared_seconds(a: Span, b: Span) -> float:
    """How long two spans overlap [s]; 0 where they lie apart."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


@dataclass(frozen=True)
class Player:
    """One instrument in a clip.

    It is in the picture during ``seen``, and sounds during each of ``notes``, which follow one another in time and lie
    within ``seen``; one without notes is silent.
    """

    instrument: str
    position: str
    seen: Span
    notes: tuple[Span, ...]
    loud: bool

    @property
    def sounds(self) -> bool:
        return bool(self.notes)

    @property
    def seconds(self) -> float:
        """How long it sounds in all [s]."""
        return sum(end - start for start, end in self.notes)

    def plays_at(self, moment: float) -> bool:
        """Whether it sounds at a moment [s]."""
        return any(start <= moment < end for start, end in self.notes)

    def plays_with(self, other: "Player") -> float:
        """How long both sound together [s]."""
        return sum(shared_seconds(a, b) for a in self.notes for b in other.notes)


@dataclass(frozen=True)
class Scene:
    """The ground truth of one clip.

    ``players`` hold distinct instruments and are ordered from left to right, then by when they are seen; at least one
    of them sounds. ``voice`` is when somebody speaks over the music, None where nobody does; ``seed`` drives everything
    that carries no meaning (pitch, tempo, shades, wordings).
    """

    players: tuple[Player, ...]
    place: str
    voice: Span | None
    seed: int

    @property
    def sounding(self) -> tuple[Player, ...]:
        """The players who sound, in the order in which they begin."""
        return tuple(sorted((p for p in self.players if p.sounds), key=lambda p: p.notes[0]))


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw one scene.

    Two to four players stand in the picture's three columns: some from beginning to end, some enter late, leave early
    or visit for a moment, and some take the place of one who left. Of all players 87 % sound, one to four times, and at
    least one does; 8 % of these play along with another, which is tried for 35 % and seldom finds room. Half of the
    players are loud. Half of the scenes are outdoors; in half of them somebody speaks for a moment.
    """
    stays = [(position, span) for position in POSITIONS for span in _stays(rng)]
    while not 2 <= len(stays) <= 4:
        stays = [(position, span) for position in POSITIONS for span in _stays(rng)]
    instruments = [INSTRUMENTS[i] for i in rng.choice(len(INSTRUMENTS), size=len(stays), replace=False)]
    sounds = rng.random(len(stays)) < 0.8
    sounds[rng.integers(len(stays))] = True
    notes: list[tuple[Span, ...]] = [()] * len(stays)
    for i in rng.permutation(np.flatnonzero(sounds)):
        notes[i] = _notes(rng, stays[i][1], notes)
    players = tuple(
        Player(instrument, position, seen, played, bool(rng.random() < 0.5))
        for instrument, (position, seen), played in zip(instruments, stays, notes, strict=True)
    )
    voice = None
    if rng.random() < 0.5:
        length = rng.uniform(*VOICE_SECONDS)
        voice = _span(rng.uniform(0.0, CLIP_SECONDS - length), length)
    return Scene(players, PLACES[int(rng.integers(2))], voice, seed=int(rng.integers(2**31)))


def _stays(rng: np.random.Generator) -> list[Span]:
    """When somebody is seen in one column: nobody, one player or two."""
    kind = rng.random()
    if kind < 0.2:
        return []
    if kind < 0.5:
        return [(0.0, CLIP_SECONDS)]
    if kind < 0.6:
        return [(round(rng.uniform(2.0, 7.0), 3), CLIP_SECONDS)]
    if kind < 0.7:
        return [(0.0, round(rng.uniform(3.0, 8.0), 3))]
    if kind < 0.85:
        length = rng.uniform(*VISIT_SECONDS)
        return [_span(rng.uniform(0.5, CLIP_SECONDS - 0.5 - length), length)]
    change = round(rng.uniform(3.0, 7.0), 3)
    return [(0.0, change - 0.3), (change + 0.3, CLIP_SECONDS)]


def _notes(rng: np.random.Generator, seen: Span, others: list[tuple[Span, ...]]) -> tuple[Span, ...]:
    """When a player sounds who is seen in a span, beside what the others play; never more than `MAX_TOGETHER` sound."""
    played = [notes for notes in others if notes]
    if played and rng.random() < 0.35:
        leader = played[int(rng.integers(len(played)))]
        along = tuple(_span(start + rng.uniform(0, _JITTER), end - start - _JITTER) for start, end in leader)
        if seen[0] <= along[0][0] and along[-1][1] <= seen[1] and _fits(along, played):
            return along
    for count in range(int(rng.integers(1, MAX_NOTES + 1)), 0, -1):
        lengths = rng.uniform(*NOTE_SECONDS, count)
        slack = seen[1] - seen[0] - 0.2 - lengths.sum() - (count - 1) * GAP_SECONDS
        if slack < 0:
            continue
        before = np.concatenate([[0.0], np.cumsum(lengths[:-1] + GAP_SECONDS)])
        for _ in range(_ATTEMPTS):
            starts = seen[0] + 0.1 + np.sort(rng.uniform(0, slack, count)) + before
            notes = tuple(_span(start, length) for start, length in zip(starts, lengths, strict=True))
            if _fits(notes, played):
                return notes
    return ()


def _fits(notes: tuple[Span, ...], played: list[tuple[Span, ...]]) -> bool:
    """Whether the notes keep to `MAX_TOGETHER` where others are played."""
    busy = [note for other in played for note in other]
    for note in notes:
        here = sorted(b for b in busy if shared_seconds(note, b) > 0)
        if any(shared_seconds(a, b) > 0 for a, b in pairwise(here)):
            return False
    return True


def _span(start: float, length: float) -> Span:
    return round(float(start), 3), round(float(start + length), 3)
