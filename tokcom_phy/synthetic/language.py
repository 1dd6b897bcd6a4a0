"""What is said of a synthetic clip: its caption, the questions that can be asked of it, and what there is to hear and
see at each moment.

Captions are English sentences in VALOR's manner. Questions keep MUSIC-AVQA's nine types, its slot notation and its
answers' spelling. Everything said here is true of the `Scene`, and a question is only asked where it has one answer.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from tokcom_phy.synthetic.scene import INSTRUMENTS, POSITIONS, Player, Scene

NUMBERS = ("zero", "one", "two", "three")

OVERLAP_SECONDS = 0.25
"""Two players sound "at the same time" when they share at least this much time [s]."""

_ABSENT_ASKED = 3
"""How many instruments that are not in the clip are asked after."""


@dataclass(frozen=True)
class QAPair:
    """One question about a clip and its answer, in MUSIC-AVQA's terms.

    ``type`` is the dataset's pair, such as ``("Audio-Visual", "Temporal")``; ``values`` fill the ``<Slots>`` of
    ``template`` in order.
    """

    type: tuple[str, str]
    template: str
    values: tuple[str, ...]
    answer: str

    @property
    def text(self) -> str:
        """The question as it is asked: the template with its slots filled."""
        values = iter(self.values)
        return re.sub(r"<\w+>", lambda _: next(values), self.template)


# Captions


def caption(scene: Scene) -> str:
    """Describe a clip in English sentences; ``scene.seed`` chooses among wordings.

    The caption tells the place, who stands where, the order of sounding, who is loud or soft and brief or long, who
    sound together, who stays silent, and whether somebody speaks.
    """
    return " ".join(clauses(scene))


def clauses(scene: Scene) -> list[str]:
    """The caption cut at its joints: each clause holds one fact."""
    rng = np.random.default_rng(scene.seed)
    rest = [_silent(scene, rng), _voice(scene, rng), *([s] for s in _together(scene, rng))]
    sentences = [_setting(scene, rng), _sounding(scene, rng), *(rest[i] for i in rng.permutation(len(rest)))]
    return [clause for sentence in sentences for clause in sentence]


def _setting(scene: Scene, rng: np.random.Generator) -> list[str]:
    opening = _choose(
        rng, f"{scene.place.capitalize()}s,", f"In an {scene.place} scene,", f"The place is {scene.place} and"
    )
    verb = _choose(rng, "there is", "we see", "one sees")
    placed = [f"{_article(p.instrument)} {_placed(p)}" for p in scene.players]
    placed[0] = f"{verb} {placed[0]}"
    return [opening, *_enumerate(placed)]


def _sounding(scene: Scene, rng: np.random.Generator) -> list[str]:
    sounding = scene.sounding
    if len(sounding) == 1:
        return [f"Only {_sounds(scene, sounding[0], rng)}."]
    between = [_choose(rng, "then", "next")] * (len(sounding) - 2)
    openings = ["First", *between, _choose(rng, "and finally", "and lastly")]
    played = [f"{o} {_sounds(scene, p, rng)}" for o, p in zip(openings, sounding, strict=True)]
    return [f"{clause}," for clause in played[:-1]] + [f"{played[-1]}."]


def _sounds(scene: Scene, player: Player, rng: np.random.Generator) -> str:
    name = _name(scene, player)
    verb = _choose(rng, "plays", "sounds")
    length = _choose(rng, "for a long time", "at length") if player.long else _choose(rng, "briefly", "for a moment")
    loudness = "loud" if player.loud else "soft"
    return _choose(rng, f"the {loudness} {name} {verb} {length}", f"the {name} is {loudness} and {verb} {length}")


def _silent(scene: Scene, rng: np.random.Generator) -> list[str]:
    names = [f"the {_name(scene, p)}" for p in scene.players if not p.sounds]
    if not names:
        return [_choose(rng, "Nobody stays silent.", "Nobody is silent.")]
    if len(names) == 1:
        return [f"{names[0].capitalize()} {_choose(rng, 'stays', 'is')} silent."]
    return [f"{', '.join(names[:-1]).capitalize()} and", f"{names[-1]} {_choose(rng, 'stay', 'are')} silent."]


def _voice(scene: Scene, rng: np.random.Generator) -> list[str]:
    if scene.voiceover:
        return [_choose(rng, "A voice-over is heard.", "Somebody speaks over the music.")]
    return [_choose(rng, "There is no voice-over.", "Nobody speaks.")]


def _together(scene: Scene, rng: np.random.Generator) -> list[str]:
    pairs = [(a, b) for a, b in combinations(scene.sounding, 2) if _shared(a, b) >= OVERLAP_SECONDS]
    verb = _choose(rng, "sound together", "sound at the same time")
    return [f"The {_name(scene, a)} and the {_name(scene, b)} {verb}." for a, b in pairs]


def _shared(a: Player, b: Player) -> float:
    """How long two players sound together [s]; negative where they lie apart."""
    return min(a.end, b.end) - max(a.start, b.start)


def _name(scene: Scene, player: Player) -> str:
    return _spoken(player.instrument) if scene.unique(player) else _placed(player)


def _placed(player: Player) -> str:
    preposition = "in" if player.position == "middle" else "on"
    return f"{_spoken(player.instrument)} {preposition} the {player.position}"


def _spoken(instrument: str) -> str:
    return instrument.replace("_", " ")


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeio" else "a"


def _enumerate(parts: list[str]) -> list[str]:
    """End clauses as a list in prose: ``["a,", "b", "and c."]``."""
    if len(parts) == 1:
        return [f"{parts[0]}."]
    return [f"{part}," for part in parts[:-2]] + [parts[-2], f"and {parts[-1]}."]


def _choose(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]


# Moments


def heard(scene: Scene, moment: float) -> list[tuple[str, float]]:
    """What sounds at one moment, as phrases with their gains: 1 for a loud sound, 0.5 for a soft one or a voice.

    A phrase says of a sound what the tiny audio encoder's tokens learn of it: whether it is the first or the last one
    to begin, soft or loud, brief or long.

    Parameters
    ----------
    moment : float
        Time since the clip's beginning [s].

    Returns
    -------
    list of (str, float)
        Such as ``[("first loud long cello", 1.0), ("voice", 0.5)]``; ``[("silence", 1.0)]`` when nothing is heard.
    """
    phrases = []
    sounding = scene.sounding
    for player in sounding:
        if player.start <= moment < player.end:
            order = "first " * (player is sounding[0]) + "last " * (player is sounding[-1])
            loudness, gain = ("loud", 1.0) if player.loud else ("soft", 0.5)
            length = "long" if player.long else "brief"
            phrases.append((f"{order}{loudness} {length} {_spoken(player.instrument)}", gain))
    if scene.voiceover:
        phrases.append(("voice", 0.5))
    return phrases or [("silence", 1.0)]


def seen(scene: Scene, moment: float, column: int) -> str:
    """What is seen at one moment in one of the picture's three columns, such as ``"indoor left cello playing"``."""
    position = POSITIONS[column]
    for player in scene.players:
        if player.position == position:
            action = "playing" if player.start <= moment < player.end else "still"
            return f"{scene.place} {position} {_spoken(player.instrument)} {action}"
    return f"{scene.place} {position} empty"


# Questions


def questions(scene: Scene) -> list[QAPair]:
    """Everything that can be asked of a clip, over MUSIC-AVQA's nine types.

    Counting and naming avoid what two players of one instrument would make ambiguous; comparisons are made only between
    a loud and a soft, or a long and a brief sound.
    """
    return [
        *_audio_counting(scene),
        *_audio_comparative(scene),
        *_visual_counting(scene),
        *_visual_location(scene),
        *_audio_visual_existential(scene),
        *_audio_visual_counting(scene),
        *_audio_visual_location(scene),
        *_audio_visual_comparative(scene),
        *_audio_visual_temporal(scene),
    ]


def stepping_stones(scene: Scene) -> list[QAPair]:
    """Simpler questions than `questions` asks: the single facts that those combine. For pretraining alone."""
    stones = []

    def ask(template: str, value: str, answer: str) -> None:
        stones.append(QAPair(("Practice", "Fact"), template, (value,), answer))

    sounding = scene.sounding
    for player in _unique(scene, scene.players):
        ask("Where is the <Object>?", player.instrument, player.position)
        ask("What is the instrument on the <LR>?", player.position, player.instrument)
        if not player.sounds:
            continue
        for kind, value in (("<Object>", player.instrument), ("instrument on the <LR>", player.position)):
            ask(f"How loud is the {kind}?", value, "loud" if player.loud else "soft")
            ask(f"How long does the {kind} play?", value, "long" if player.long else "brief")
            if len(sounding) > 1:
                ask(f"When does the {kind} come in?", value, _turns(sounding)[sounding.index(player)])
    return stones


def _audio_counting(scene: Scene) -> Iterator[QAPair]:
    kind = ("Audio", "Counting")
    sounding = {p.instrument for p in scene.sounding}
    if len(sounding) == len(scene.sounding):
        template = "How many musical instruments were heard throughout the video?"
        yield QAPair(kind, template, (), NUMBERS[len(sounding)])
    for instrument in _asked_after(scene):
        yield QAPair(kind, "Is there a <Object> sound?", (instrument,), _yes_no(instrument in sounding))


def _audio_comparative(scene: Scene) -> Iterator[QAPair]:
    kind = ("Audio", "Comparative")
    for a, b in permutations(_unique(scene, scene.sounding), 2):
        values = (a.instrument, b.instrument)
        if a.loud != b.loud:
            yield QAPair(kind, "Is the <Object> louder than the <Object>?", values, _yes_no(a.loud))
        if a.long != b.long:
            yield QAPair(kind, "Is the <Object> playing longer than the <Object>?", values, _yes_no(a.long))


def _visual_counting(scene: Scene) -> Iterator[QAPair]:
    kind = ("Visual", "Counting")
    visible = [p.instrument for p in scene.players]
    template = "How many types of musical instruments appeared in the entire video?"
    yield QAPair(kind, template, (), NUMBERS[len(set(visible))])
    for instrument in _asked_after(scene):
        answer = _yes_no(instrument in visible)
        yield QAPair(kind, "Is there a <Object> in the entire video?", (instrument,), answer)
        answer = NUMBERS[visible.count(instrument)]
        yield QAPair(kind, "How many <Object> are in the entire video?", (instrument,), answer)


def _visual_location(scene: Scene) -> Iterator[QAPair]:
    kind = ("Visual", "Location")
    players = scene.players
    yield QAPair(kind, "Where is the performance?", (), scene.place)
    if len(players) == 1:
        yield QAPair(kind, "What kind of musical instrument is it?", (), players[0].instrument)
        return
    template = "What kind of instrument is the <LRer> instrument?"
    yield QAPair(kind, template, ("leftest",), players[0].instrument)
    yield QAPair(kind, template, ("rightest",), players[-1].instrument)
    for i, player in enumerate(players):
        for side, neighbours in (("left", players[:i]), ("right", players[i + 1 :])):
            if scene.unique(player) and len(neighbours) == 1:
                values = (side, player.instrument)
                template = "What is the instrument on the <LR> of <Object>?"
                yield QAPair(kind, template, values, neighbours[0].instrument)


def _audio_visual_existential(scene: Scene) -> Iterator[QAPair]:
    kind = ("Audio-Visual", "Existential")
    yield QAPair(kind, "Is there a voiceover?", (), _yes_no(scene.voiceover))
    for player in _unique(scene, scene.players):
        template = "Is the <Object> in the video playing?"
        yield QAPair(kind, template, (player.instrument,), _yes_no(player.sounds))


def _audio_visual_counting(scene: Scene) -> Iterator[QAPair]:
    kind = ("Audio-Visual", "Counting")
    if all(scene.unique(p) for p in scene.players):
        silent = len(scene.players) - len(scene.sounding)
        template = "How many instruments in the video did not sound from beginning to end?"
        yield QAPair(kind, template, (), NUMBERS[silent])
    sounding = [p.instrument for p in scene.sounding]
    for instrument in dict.fromkeys(p.instrument for p in scene.players):
        answer = NUMBERS[sounding.count(instrument)]
        yield QAPair(kind, "How many sounding <Object> in the video?", (instrument,), answer)


def _audio_visual_location(scene: Scene) -> Iterator[QAPair]:
    kind = ("Audio-Visual", "Location")
    sounding = scene.sounding
    for player in _unique(scene, sounding):
        shared = [(_shared(player, other), other) for other in sounding if other is not player]
        together = [other for seconds, other in shared if seconds >= OVERLAP_SECONDS]
        if len(together) == 1 and all(seconds <= 0 for seconds, other in shared if other is not together[0]):
            template = "Which is the musical instrument that sounds at the same time as the <Object>?"
            yield QAPair(kind, template, (player.instrument,), together[0].instrument)


def _audio_visual_comparative(scene: Scene) -> Iterator[QAPair]:
    kind = ("Audio-Visual", "Comparative")
    for a, b in permutations(_unique(scene, scene.sounding), 2):
        values = (a.instrument, a.position, b.instrument, b.position)
        if a.loud != b.loud:
            template = "Is the <Object> on the <LR> louder than the <Object> on the <LR>?"
            yield QAPair(kind, template, values, _yes_no(a.loud))
        if a.long != b.long:
            template = "Is the <Object> on the <LR> playing longer than the <Object> on the <LR>?"
            yield QAPair(kind, template, values, _yes_no(a.long))


def _audio_visual_temporal(scene: Scene) -> Iterator[QAPair]:
    kind = ("Audio-Visual", "Temporal")
    sounding = scene.sounding
    if len(sounding) < 2:
        return
    for turn, player in zip(_turns(sounding), sounding, strict=True):
        yield QAPair(kind, "What is the <TH> instrument that comes in?", (turn,), player.instrument)
    template = "Which instrument makes sounds <BA> the <Object>?"
    for i, player in enumerate(sounding):
        if scene.unique(player):
            for side, others in (("before", sounding[:i]), ("after", sounding[i + 1 :])):
                if len(others) == 1:
                    yield QAPair(kind, template, (side, player.instrument), others[0].instrument)


def _turns(sounding: Sequence[Player]) -> tuple[str, ...]:
    """What the turns of two or three players are called."""
    return ("first", "last") if len(sounding) == 2 else ("first", "second", "last")


def _unique(scene: Scene, players: Sequence[Player]) -> list[Player]:
    return [p for p in players if scene.unique(p)]


def _asked_after(scene: Scene) -> list[str]:
    """The clip's instruments and a few that are not in it."""
    visible = list(dict.fromkeys(p.instrument for p in scene.players))
    absent = [i for i in INSTRUMENTS if i not in visible]
    rng = np.random.default_rng([scene.seed, 1])
    return visible + [absent[i] for i in rng.choice(len(absent), _ABSENT_ASKED, replace=False)]


def _yes_no(truth: bool) -> str:
    return "yes" if truth else "no"


def balanced_questions(scenes: Sequence[Scene], count: int, rng: np.random.Generator) -> list[tuple[int, QAPair]]:
    """Choose questions so that templates are about equally frequent, and answers too within each template.

    Templates take turns, and so do the answers of each; within them, the clip is drawn at random. An exhausted answer
    or template passes its turn, so fewer than ``count`` come back when the clips hold no more.

    Returns
    -------
    list of (int, QAPair)
        Index of the scene and the question, in random order.
    """
    pools: dict[str, dict[str, list[tuple[int, QAPair]]]] = defaultdict(lambda: defaultdict(list))
    for index, scene in enumerate(scenes):
        for question in questions(scene):
            pools[question.template][question.answer].append((index, question))
    queues = []
    for template in sorted(pools):
        answers = [pools[template][answer] for answer in sorted(pools[template])]
        for pool in answers:
            rng.shuffle(pool)
        rng.shuffle(answers)
        queues.append(_in_turns(answers))
    chosen = [item for item, _ in zip(_in_turns(queues), range(count), strict=False)]
    rng.shuffle(chosen)
    return chosen


def _in_turns(sources: Sequence) -> Iterator:
    """Take one item of each source by turns, until all are exhausted."""
    waiting = [iter(source) for source in sources]
    while waiting:
        remaining = []
        for source in waiting:
            for item in source:
                yield item
                remaining.append(source)
                break
        waiting = remaining
