"""What can be asked of a synthetic clip: MUSIC-AVQA's nine types, its wording where it has one, and its answers.

A question is only asked where it has one answer that the clip leaves no doubt of. Each `Template` notes which tokens an
answer needs: those of one moment, of all moments, or any.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Literal

import numpy as np

from tokcom_phy.synthetic.captions import HALVES, OVERLAP_SECONDS, plays_in
from tokcom_phy.synthetic.scene import INSTRUMENTS, MAX_NOTES, Player, Scene

NUMBERS = ("zero", "one", "two", "three", "four")

APART_SECONDS = 0.4
"""Events are put in an order only where they lie this far apart or more [s]."""

_LONGER = 1.8
"""Who plays longer than another plays so many times as long, at least."""

_ABSENT_ASKED = 3
"""How many instruments that are not in the clip are asked after."""


@dataclass(frozen=True)
class Template:
    """A question with open slots, and which tokens its answer needs.

    ``when`` is "a moment" where some tokens hold the answer and most do not, "all moments" where it is only known from
    the tokens of the whole clip, "any moment" where nearly each token tells it. ``modality`` is whose tokens
    tell the answer, the names of instruments in the question being known.
    """

    type: tuple[str, str]
    text: str
    modality: Literal["audio", "video", "both"]
    when: Literal["a moment", "all moments", "any moment"]
    where: bool = False
    """Whether it needs to be known who stands where."""


_A, _V, _AV = "Audio", "Visual", "Audio-Visual"

HEARD = Template(
    (_A, "Counting"), "How many musical instruments were heard throughout the video?", "audio", "all moments"
)
SOUND = Template((_A, "Counting"), "Is there a <Object> sound?", "audio", "a moment")
TIMES = Template((_A, "Counting"), "How many times does the <Object> play?", "audio", "all moments")
LOUDER = Template((_A, "Comparative"), "Is the <Object> louder than the <Object>?", "audio", "a moment")
LONGER = Template((_A, "Comparative"), "Is the <Object> playing longer than the <Object>?", "audio", "all moments")
KINDS = Template(
    (_V, "Counting"), "How many types of musical instruments appeared in the entire video?", "video", "all moments"
)
SIGHT = Template((_V, "Counting"), "Is there a <Object> in the entire video?", "video", "a moment")
PLACE = Template((_V, "Location"), "Where is the performance?", "video", "any moment")
OUTERMOST = Template((_V, "Location"), "What kind of instrument is the <LRer> instrument?", "video", "a moment", True)
BESIDE = Template((_V, "Location"), "What is the instrument on the <LR> of <Object>?", "video", "a moment", True)
NEWEST = Template((_V, "Location"), "What kind of instrument enters last?", "video", "all moments")
VOICE = Template((_AV, "Existential"), "Is there a voiceover?", "audio", "a moment")
PLAYING = Template((_AV, "Existential"), "Is the <Object> in the video playing?", "audio", "a moment")
SILENT = Template(
    (_AV, "Counting"),
    "How many instruments in the video did not sound from beginning to end?",
    "both",
    "all moments",
)
WHERE_TURN = Template((_AV, "Location"), "Where is the <FL> sounding instrument?", "both", "a moment", True)
WHERE_LOUDEST = Template((_AV, "Location"), "Where is the loudest instrument?", "both", "a moment", True)
TOGETHER = Template(
    (_AV, "Location"),
    "Which is the musical instrument that sounds at the same time as the <Object>?",
    "audio",
    "a moment",
)
LOUDER_THERE = Template(
    (_AV, "Comparative"),
    "Is the instrument on the <LR> louder than the instrument on the <RL>?",
    "both",
    "a moment",
    True,
)
LONGER_THERE = Template(
    (_AV, "Comparative"),
    "Is the instrument on the <LR> playing longer than the instrument on the <RL>?",
    "both",
    "all moments",
    True,
)
TURN = Template((_AV, "Temporal"), "What is the <TH> instrument that comes in?", "audio", "all moments")
BEFORE_AFTER = Template((_AV, "Temporal"), "Which instrument makes sounds <BA> the <Object>?", "audio", "all moments")
LAST_BEFORE = Template(
    (_AV, "Temporal"), "Which instrument plays last before the <Object> comes in?", "audio", "a moment"
)
LAST_NOTE = Template((_AV, "Temporal"), "Which instrument plays the last note?", "audio", "a moment")
WHILE_SILENT = Template(
    (_AV, "Temporal"), "Which instrument sounds while the <Object> is silent?", "audio", "all moments"
)
LOUDEST_HALF = Template((_AV, "Temporal"), "Which is the loudest instrument in the <TH> half?", "audio", "a moment")

TEMPLATES = tuple(value for value in list(globals().values()) if isinstance(value, Template))
"""All of them, type by type."""


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


def questions(scene: Scene) -> list[QAPair]:
    """Everything that can be asked of a clip, over MUSIC-AVQA's nine types."""
    asked = [*_of_sound(scene), *_of_sight(scene), *_of_both(scene), *_of_time(scene)]
    return [QAPair(template.type, template.text, values, answer) for template, values, answer in asked]


def stepping_stones(scene: Scene, sentences: bool = True) -> list[QAPair]:
    """Simpler questions than `questions` asks: the single facts that those combine. For pretraining alone.

    They end like real questions, so that a fact is looked up from the same place. Comparisons are asked in a few words,
    "left louder than right?", and with ``sentences`` also as "Is the left louder than the right?", which leads to the
    real question.
    """
    stones = []

    def ask(template: str, values: tuple[str, ...], answer: str) -> None:
        stones.append(QAPair(("Practice", "Fact"), f"{template}?", values, answer))

    def compare(first: str, second: str, values: tuple[str, str], a: Player, b: Player) -> None:
        for wording in ("{} {} than {}", "Is the {} {} than the {}")[: 1 + sentences]:
            if a.loud != b.loud:
                ask(wording.format(first, "louder", second), values, _yes_no(a.loud))
            if _clearly(a, b):
                ask(wording.format(first, "playing longer", second), values, _yes_no(a.seconds > b.seconds))

    for player in scene.players:
        ask("<Object> where", (player.instrument,), player.position)
        ask("<Object> plays", (player.instrument,), NUMBERS[len(player.notes)])
        if player.sounds:
            ask("<Object> level", (player.instrument,), _level(player))
    for a, b in permutations(scene.sounding, 2):
        compare("<Object>", "<Object>", (a.instrument, b.instrument), a, b)
    for position, player in _alone(scene).items():
        ask("<LR> who", (position,), player.instrument)
        ask("<LR> plays", (position,), NUMBERS[len(player.notes)])
        if player.sounds:
            ask("<LR> level", (position,), _level(player))
    for (here, a), (there, b) in _pairs_apart(scene):
        compare("<LR>", "<RL>", (here, there), a, b)
    for player, turn in zip(scene.sounding, _turns(scene), strict=False):
        ask("<Object> begins", (player.instrument,), turn)
    for instrument in _asked_after(scene):
        ask("<Object> there", (instrument,), _yes_no(any(p.instrument == instrument for p in scene.players)))
    return stones


_Asked = Iterator[tuple[Template, tuple[str, ...], str]]


def _of_sound(scene: Scene) -> _Asked:
    sounding = scene.sounding
    yield HEARD, (), NUMBERS[len(sounding)]
    for instrument in _asked_after(scene):
        yield SOUND, (instrument,), _yes_no(any(p.instrument == instrument for p in sounding))
    for player in sounding:
        yield TIMES, (player.instrument,), NUMBERS[min(len(player.notes), MAX_NOTES)]
    for a, b in permutations(sounding, 2):
        if a.loud != b.loud:
            yield LOUDER, (a.instrument, b.instrument), _yes_no(a.loud)
        if _clearly(a, b):
            yield LONGER, (a.instrument, b.instrument), _yes_no(a.seconds > b.seconds)


def _of_sight(scene: Scene) -> _Asked:
    players = scene.players
    visible = [p.instrument for p in players]
    yield KINDS, (), NUMBERS[len(visible)]
    for instrument in _asked_after(scene):
        yield SIGHT, (instrument,), _yes_no(instrument in visible)
    yield PLACE, (), scene.place
    for side, outer in (("leftest", players[0]), ("rightest", players[-1])):
        if _alone(scene).get(outer.position) is outer:
            yield OUTERMOST, (side,), outer.instrument
    columns = list(dict.fromkeys(p.position for p in players))
    for player in players:
        i = columns.index(player.position)
        for side, beyond in (("left", columns[:i]), ("right", columns[i + 1 :])):
            others = [p for p in players if p.position in beyond]
            if len(others) == 1:
                yield BESIDE, (side, player.instrument), others[0].instrument
    entered = sorted((p for p in players if p.seen[0] > 0), key=lambda p: p.seen[0])
    if entered and (len(entered) == 1 or entered[-1].seen[0] - entered[-2].seen[0] >= APART_SECONDS):
        yield NEWEST, (), entered[-1].instrument


def _of_both(scene: Scene) -> _Asked:
    sounding = scene.sounding
    yield VOICE, (), _yes_no(scene.voice is not None)
    for player in scene.players:
        yield PLAYING, (player.instrument,), _yes_no(player.sounds)
    if (silent := len(scene.players) - len(sounding)) <= 2:
        yield SILENT, (), NUMBERS[silent]
    for turn, player in _first_and_last(sounding):
        yield WHERE_TURN, (turn,), player.position
    loud = [p for p in sounding if p.loud]
    if len(loud) == 1 and len(sounding) > 1:
        yield WHERE_LOUDEST, (), loud[0].position
    for player in sounding:
        together = [p for p in sounding if p is not player and p.plays_with(player) > 0]
        if len(together) == 1 and together[0].plays_with(player) >= OVERLAP_SECONDS:
            yield TOGETHER, (player.instrument,), together[0].instrument
    for (here, a), (there, b) in _pairs_apart(scene):
        if a.loud != b.loud:
            yield LOUDER_THERE, (here, there), _yes_no(a.loud)
        if _clearly(a, b):
            yield LONGER_THERE, (here, there), _yes_no(a.seconds > b.seconds)


def _of_time(scene: Scene) -> _Asked:
    sounding = scene.sounding
    for turn, player in zip(_turns(scene), sounding, strict=False):
        yield TURN, (turn,), player.instrument
    for i, player in enumerate(sounding):
        for side, others in (("before", sounding[:i]), ("after", sounding[i + 1 :])):
            if len(others) == 1 and _apart(others[0].notes[0][0], player.notes[0][0]):
                yield BEFORE_AFTER, (side, player.instrument), others[0].instrument
    notes = sorted((note, p.instrument) for p in sounding for note in p.notes)
    for player in sounding[1:]:
        begins = player.notes[0][0]
        earlier = [(start, end, name) for (start, end), name in notes if start < begins]
        nearer = [item for item in earlier if begins - item[0] < APART_SECONDS]
        if earlier and not nearer and _unrivalled([end for _, end, _ in earlier], [n for *_, n in earlier]):
            yield LAST_BEFORE, (player.instrument,), max(earlier, key=lambda item: item[1])[2]
    if len(sounding) > 1 and _unrivalled([end for (_, end), _ in notes], [name for _, name in notes]):
        yield LAST_NOTE, (), max(notes, key=lambda item: item[0][1])[1]
    for player in sounding:
        without = [(p, p.seconds - p.plays_with(player)) for p in sounding if p is not player]
        clear = [p for p, seconds in without if seconds >= OVERLAP_SECONDS]
        if len(without) > 1 and len(clear) == 1 and sum(seconds > 0.1 for _, seconds in without) == 1:
            yield WHILE_SILENT, (player.instrument,), clear[0].instrument
    for half in HALVES:
        here = [p for p in sounding if plays_in(p, half)]
        loud = [p for p in here if p.loud]
        if len(here) > 1 and len(loud) == 1:
            yield LOUDEST_HALF, (half,), loud[0].instrument


def _alone(scene: Scene) -> dict[str, Player]:
    """The players who share their column with nobody, by column."""
    columns = defaultdict(list)
    for player in scene.players:
        columns[player.position].append(player)
    return {position: players[0] for position, players in columns.items() if len(players) == 1}


def _pairs_apart(scene: Scene) -> Iterator[tuple[tuple[str, Player], tuple[str, Player]]]:
    """Ordered pairs of sounding players with their columns, each alone in it."""
    return permutations(((position, p) for position, p in _alone(scene).items() if p.sounds), 2)


def _turns(scene: Scene) -> tuple[str, ...]:
    """What the turns of two or three players are called; nothing where they begin too close to one another."""
    onsets = [p.notes[0][0] for p in scene.sounding]
    if not all(_apart(a, b) for a, b in pairwise(onsets)):
        return ()
    return {2: ("first", "last"), 3: ("first", "second", "last")}.get(len(onsets), ())


def _first_and_last(sounding: Sequence[Player]) -> Iterator[tuple[str, Player]]:
    onsets = [p.notes[0][0] for p in sounding]
    if len(onsets) > 1 and _apart(onsets[0], onsets[1]):
        yield "first", sounding[0]
    if len(onsets) > 1 and _apart(onsets[-2], onsets[-1]):
        yield "last", sounding[-1]


def _apart(a: float, b: float) -> bool:
    return abs(a - b) >= APART_SECONDS


def _unrivalled(ends: list[float], names: list[str]) -> bool:
    """Whether the note that ends last ends clearly after those of all other instruments."""
    last = max(range(len(ends)), key=ends.__getitem__)
    return all(ends[last] - end >= APART_SECONDS for end, name in zip(ends, names, strict=True) if name != names[last])


def _clearly(a: Player, b: Player) -> bool:
    """Whether one of them plays much longer than the other."""
    return max(a.seconds, b.seconds) >= _LONGER * min(a.seconds, b.seconds)


def _asked_after(scene: Scene) -> list[str]:
    """The clip's instruments and a few that are not in it."""
    visible = [p.instrument for p in scene.players]
    absent = [i for i in INSTRUMENTS if i not in visible]
    rng = np.random.default_rng([scene.seed, 1])
    return visible + [absent[i] for i in rng.choice(len(absent), _ABSENT_ASKED, replace=False)]


def _level(player: Player) -> str:
    return "loud" if player.loud else "soft"


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
