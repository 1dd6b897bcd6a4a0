"""What a reader that mistakes nothing answers from few tokens: how much of a clip they tell.

The reader rebuilds the scene from what the tokens that it has stand for, and answers of that scene; what the scene
leaves open it guesses blindly. So its accuracy says which questions rest on tokens that are missing. It is no upper
bound: a model may guess better, say among the instruments that it has seen.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokcom_phy.pretraining.contexts import AST_SLOT_SECONDS, audio_moments, video_cells
from tokcom_phy.synthetic.questions import TEMPLATES, QAPair, balanced_questions, questions
from tokcom_phy.synthetic.scene import CLIP_SECONDS, POSITIONS, Player, Scene, Span, sample_scene

Cell = tuple[float, int]
"""A moment [s] and a column."""

_ABSENT_MEANS_NO = ("Is there a <Object> sound?", "Is there a <Object> in the entire video?")
_OF_SIGHT = {template.text for template in TEMPLATES if template.modality == "video"}


@dataclass(frozen=True)
class Erasures:
    """Which share of the tokens is lost, and how many in a row on average (None: independently).

    The two are named as in erasure links (`tokcom_phy.radio.erasure_config.ErasureConfig`).
    """

    loss_rate: float = 0.0
    mean_burst: float | None = None

    def survivors(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Which of ``count`` tokens arrive, bool [count]: the good states of a Gilbert–Elliott channel."""
        if self.mean_burst is None:
            return rng.random(count) >= self.loss_rate
        lost = np.empty(count, dtype=bool)
        state = rng.random() < self.loss_rate
        for i in range(count):
            lost[i] = state
            leaves, enters = 1 / self.mean_burst, self.loss_rate / (1 - self.loss_rate) / self.mean_burst
            state = rng.random() >= leaves if state else rng.random() < enters
        return ~lost


def told(scene: Scene, heard_at: Sequence[float], seen_at: Sequence[Cell]) -> Scene:
    """The scene as far as it is told by what is heard at some moments and seen in some columns at some moments.

    A note is told by neighbouring moments at which a player sounds; a player who is never seen has an empty ``seen``.
    """
    players = []
    for player in scene.players:
        notes = _runs([player.plays_at(moment) for moment in heard_at], heard_at)
        looks = [moment for moment, column in seen_at if POSITIONS[column] == player.position]
        present = [moment for moment in looks if player.seen[0] <= moment < player.seen[1]]
        if not present and not notes:
            continue
        span = (0.0, 0.0)
        if present:
            span = (
                0.0 if present[0] == looks[0] else present[0],
                CLIP_SECONDS if present[-1] == looks[-1] else present[-1] + AST_SLOT_SECONDS,
            )
        players.append(replace(player, seen=span, notes=notes))
    voice = scene.voice
    if voice and not any(voice[0] <= moment < voice[1] for moment in heard_at):
        voice = None
    return Scene(tuple(players), scene.place, voice, scene.seed)


def _runs(sounds: Sequence[bool], moments: Sequence[float]) -> tuple[Span, ...]:
    """One note per run of neighbouring moments, from one slot before the first to one slot after the last."""
    notes: list[Span] = []
    for i, moment in enumerate(moments):
        if sounds[i]:
            begin = notes.pop()[0] if i and sounds[i - 1] else moment - AST_SLOT_SECONDS
            notes.append((begin, moment + AST_SLOT_SECONDS))
    return tuple(notes)


def accuracies(
    length: int, *, erasures: Erasures | None = None, count: int = 3000, scenes: int = 1500, seed: int = 0
) -> dict[str, float]:
    """Share of right answers of the perfect reader, by template, ``"all"`` among them.

    What the told scene leaves open is guessed: one of the template's answers, all equally likely.

    Parameters
    ----------
    length : int
        Tokens per modality, picked by equation (3).
    erasures : Erasures, optional
        Tokens that do not arrive; all do by default.
    count, scenes : int
        Questions, balanced by template and answer, and the scenes that they are about.
    """
    rng = np.random.default_rng([seed, 4])
    clips = [sample_scene(rng) for _ in range(scenes)]
    asked = balanced_questions(clips, count, rng)
    variety = defaultdict(set)
    of_scene = defaultdict(list)
    for index, question in asked:
        variety[question.template].add(question.answer)
        of_scene[index].append(question)
    erasures = erasures or Erasures()
    right = defaultdict(list)
    for index, of_this in sorted(of_scene.items()):
        arrives = [erasures.survivors(length, rng) for _ in range(2)]
        moments = [m for m, here in zip(audio_moments(length), arrives[0], strict=True) if here and m is not None]
        cells = [c for c, here in zip(video_cells(length), arrives[1], strict=True) if here and c is not None]
        scene = told(clips[index], moments, cells)
        answers = {True: _answers(_visible(scene)), False: _answers(scene)}
        for question in of_this:
            told_answer = answers[question.template in _OF_SIGHT].get(question.text)
            right[question.template].append(_score(question, told_answer, len(variety[question.template])))
    everything = [score for scores in right.values() for score in scores]
    return {"all": float(np.mean(everything))} | {name: float(np.mean(scores)) for name, scores in right.items()}


def _visible(scene: Scene) -> Scene:
    def is_seen(player: Player) -> bool:
        return player.seen[1] > player.seen[0]

    return replace(scene, players=tuple(filter(is_seen, scene.players)))


def _answers(scene: Scene) -> dict[str, str]:
    return {question.text: question.answer for question in questions(scene)} if scene.players else {}


def _score(question: QAPair, answer: str | None, variety: int) -> float:
    if answer is None and question.template in _ABSENT_MEANS_NO:
        answer = "no"
    return 1 / variety if answer is None else float(answer == question.answer)
