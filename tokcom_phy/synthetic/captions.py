"""How a synthetic clip is described: its caption in English, and in a few words what is heard and seen at a moment.

Everything said here is true of the `Scene`.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from tokcom_phy.synthetic.scene import CLIP_SECONDS, POSITIONS, Player, Scene

OVERLAP_SECONDS = 0.25
"""Two players sound "at the same time" when they share at least this much time [s]."""

HALVES = {"first": (0.0, CLIP_SECONDS / 2), "second": (CLIP_SECONDS / 2, CLIP_SECONDS)}

_TIMES = ("never", "once", "twice", "three times", "four times")


def caption(scene: Scene) -> str:
    """Describe a clip in English sentences, in VALOR's manner; ``scene.seed`` chooses among wordings.

    The caption tells the place, who stands where and how long, who begins when, how loud and how often, who plays in
    either half, who sound together, who stays silent, and whether somebody speaks.
    """
    rng = np.random.default_rng(scene.seed)
    sentences = [_setting(scene, rng), _sounding(scene, rng), *_halves(scene), *_together(scene, rng)]
    sentences += [_silent(scene), _voice(scene, rng)]
    return " ".join(sentences)


def _setting(scene: Scene, rng: np.random.Generator) -> str:
    opening = _choose(rng, f"{scene.place.capitalize()}s,", f"In an {scene.place} scene,")
    verb = _choose(rng, "there is", "we see")
    return f"{opening} {verb} {_list([_placed(p) for p in scene.players])}."


def _placed(player: Player) -> str:
    name = spoken(player.instrument)
    article = "an" if name[0] in "aeio" else "a"
    preposition = "in" if player.position == "middle" else "on"
    enters, leaves = player.seen[0] > 0, player.seen[1] < CLIP_SECONDS
    stay = {
        (False, False): "",
        (True, False): " that enters",
        (False, True): " that leaves",
        (True, True): " that comes and goes",
    }[enters, leaves]
    return f"{article} {name} {preposition} the {player.position}{stay}"


def _sounding(scene: Scene, rng: np.random.Generator) -> str:
    played = [
        f"the {'loud' if p.loud else 'soft'} {spoken(p.instrument)} plays {_TIMES[len(p.notes)]}"
        for p in scene.sounding
    ]
    if len(played) == 1:
        return f"Only {played[0]}."
    openings = ["First", *["then"] * (len(played) - 2), _choose(rng, "finally", "lastly")]
    return ", ".join(f"{o} {p}" for o, p in zip(openings, played, strict=True)) + "."


def _halves(scene: Scene) -> list[str]:
    sentences = []
    for half in HALVES:
        names = _names([p for p in scene.sounding if plays_in(p, half)])
        sentences.append(f"The {half} half has {_list(names) if names else 'nobody'}.")
    return sentences


def plays_in(player: Player, half: str) -> bool:
    """Whether a player sounds in the ``"first"`` or the ``"second"`` half of the clip."""
    begin, end = HALVES[half]
    return any(start < end and stop > begin for start, stop in player.notes)


def _silent(scene: Scene) -> str:
    names = _names([p for p in scene.players if not p.sounds])
    return f"Silent is {_list(names) if names else 'nobody'}."


def _voice(scene: Scene, rng: np.random.Generator) -> str:
    if scene.voice:
        return _choose(rng, "A voice-over is heard.", "Somebody speaks over the music.")
    return _choose(rng, "There is no voice-over.", "Nobody speaks.")


def _together(scene: Scene, rng: np.random.Generator) -> list[str]:
    verb = _choose(rng, "sound together", "sound at the same time")
    pairs = [(a, b) for a, b in combinations(scene.sounding, 2) if a.plays_with(b) >= OVERLAP_SECONDS]
    return [f"{' and '.join(_names(pair)).capitalize()} {verb}." for pair in pairs]


def _names(players: Sequence[Player]) -> list[str]:
    return [f"the {spoken(p.instrument)}" for p in players]


def spoken(instrument: str) -> str:
    """An instrument's name as a caption has it."""
    return instrument.replace("_", " ")


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _choose(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def roster(scene: Scene) -> list[str]:
    """What is to be known of each player, such as ``"indoor left loud cello twice"``: first who sounds, in the order in
    which they begin, then who stays silent; ``"voice"`` if somebody speaks."""
    silent = [p for p in scene.players if not p.sounds]
    members = [
        f"{scene.place} {p.position} {'loud' if p.loud else 'soft'} {spoken(p.instrument)} {_TIMES[len(p.notes)]}"
        for p in scene.sounding
    ] + [f"{scene.place} {p.position} silent {spoken(p.instrument)}" for p in silent]
    return members + ["voice"] * (scene.voice is not None)


def heard(scene: Scene, moment: float) -> list[tuple[str, float]]:
    """What sounds at one moment, as phrases with their gains: 1 for a loud sound, 0.5 for a soft one or a voice.

    Parameters
    ----------
    moment : float
        Time since the clip's beginning [s].

    Returns
    -------
    list of (str, float)
        Such as ``[("loud cello", 1.0), ("voice", 0.5)]``; ``[("silence", 1.0)]`` when nothing is heard.
    """
    phrases = [
        (f"{'loud' if p.loud else 'soft'} {spoken(p.instrument)}", 1.0 if p.loud else 0.5)
        for p in scene.sounding
        if p.plays_at(moment)
    ]
    if scene.voice and scene.voice[0] <= moment < scene.voice[1]:
        phrases.append(("voice", 0.5))
    return phrases or [("silence", 1.0)]


def seen(scene: Scene, moment: float, column: int) -> str:
    """What is seen at one moment in one of the picture's three columns, such as ``"indoor left cello playing"``."""
    position = POSITIONS[column]
    for player in scene.players:
        if player.position == position and player.seen[0] <= moment < player.seen[1]:
            action = "playing" if player.plays_at(moment) else "still"
            return f"{scene.place} {position} {spoken(player.instrument)} {action}"
    return f"{scene.place} {position} empty"
