"""What the tiny foundation model is pretrained to answer from: a *context* of one of these kinds.

- the caption as text;
- a *roster*: one token per player, who it is, where, how loud and how often it plays, in the order in which they begin;
- a *timeline*: 8–64 audio tokens, then 8–64 visual tokens, each the mean input embedding of the words for what is heard
  at one moment, or seen in one column at one moment; now and then without one modality;
- nothing, so that the model learns the best guess without a context.

Tokens of a timeline carry noise and random scales. So the model learns to read imperfect tokens of other things than
words, which is what a receiver will give it.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerFast

from tokcom_phy.model.prompt import completion, prompt
from tokcom_phy.model.slide import slide_indices
from tokcom_phy.pretraining.packing import Bag, Sample
from tokcom_phy.synthetic.captions import caption, heard, roster, seen
from tokcom_phy.synthetic.frames import FRAME_RATE
from tokcom_phy.synthetic.questions import (
    WHERE_LOUDEST,
    QAPair,
    questions,
    stepping_stones,
)
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Scene, sample_scene

LENGTHS = (8, 16, 32, 64)
"""Numbers of tokens per modality that the model is tested with."""


@dataclass(frozen=True)
class Stage:
    """What samples are like at one stage of the training.

    ``contexts`` are the kinds of context and how often they are drawn, ``stones`` is the share of the questions that
    ask for a single fact, ``sentences`` whether in a sentence, too, ``row`` the longest input: as many questions are
    asked of a scene as fit behind its context. ``lengths`` are the numbers of tokens per modality, ``noise`` says how
    far timelines' tokens are blurred.
    """

    contexts: dict[str, float]
    stones: float
    row: int
    lengths: tuple[int, ...] = LENGTHS
    noise: float = 1.0
    sentences: bool = True


_EVERYTHING = {"text": 0.2, "roster": 0.06, "timeline": 0.58, "audio": 0.05, "video": 0.05, "blind": 0.06}

STAGES = {
    0.04: Stage({"roster": 1.0}, stones=0.9, row=112, sentences=False),
    0.15: Stage({"roster": 0.2, "timeline": 0.5, "text": 0.3}, 0.6, 176, lengths=(8, 16), noise=0.0),
    0.4: Stage(_EVERYTHING, 0.4, 208, noise=0.5),
    1.0: Stage(_EVERYTHING, 0.15, 208),
}
"""By the share of the training at which it ends. To look a name up is learnt from single facts and a few tokens within
minutes, and from everything at once not within the hour; what a look-up needs is then there for the rest."""


def stage_at(progress: float) -> Stage:
    """The stage of the training when a share of it is done."""
    return next(stage for end, stage in STAGES.items() if progress < end)


TIME_STEPS = 16
"""Into how many equal parts a clip is divided; a timeline names a moment by the number of its part."""

AST_TIMES, AST_SPECIAL, AST_SLOT_SECONDS = 63, 2, 0.16
VIVIT_TIMES, VIVIT_ROWS, VIVIT_COLUMNS, VIVIT_SPECIAL = 20, 2, 3, 1
"""How the tiny encoders order their tokens: special ones first, then times, and times × rows × columns."""


class Corpus:
    """Turns scenes into samples with one tokenizer, at the frequencies at which questions are balanced.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
    seed : int
        Draws the scenes from which the questions' frequencies are estimated.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int):
        self.tokenizer = tokenizer
        self.seed = seed
        self._ids: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Token identifiers of a text."""
        if text not in self._ids:
            self._ids[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._ids[text]

    @cached_property
    def weights(self) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
        """By template and answer, the weights at which drawing questions, and stepping stones, balances both."""
        rng = np.random.default_rng([self.seed, 1])
        scenes = [sample_scene(rng) for _ in range(1000)]
        weights = []
        for ask in (questions, stepping_stones):
            counts = Counter((q.template, q.answer) for scene in scenes for q in ask(scene))
            variety = Counter(template for template, _ in counts)
            weights.append({(t, a): 1 / (len(variety) * variety[t] * n) for (t, a), n in counts.items()})
        return weights[0], weights[1]

    def sample(self, rng: np.random.Generator, stage: Stage) -> Sample:
        """Draw a scene, a kind of context and a balanced choice of questions."""
        scene = sample_scene(rng)
        kind = str(rng.choice(list(stage.contexts), p=list(stage.contexts.values())))
        real = [q for q in questions(scene) if is_asked(q, kind)]
        stones = [q for q in stepping_stones(scene, stage.sentences) if is_asked(q, kind)]
        asked = real + stones
        weights = np.array(
            [(1 - stage.stones) * self.weights[0].get((q.template, q.answer), 0.0) for q in real]
            + [stage.stones * self.weights[1].get((q.template, q.answer), 0.0) for q in stones]
        )
        order = rng.choice(len(asked), int(np.count_nonzero(weights)), replace=False, p=weights / weights.sum())
        lengths = _any_length(rng, stage), _any_length(rng, stage)
        context = self.context(scene, kind, *lengths)
        pairs = []
        room = stage.row - len(context)
        for question, answer in (self.pair(asked[i]) for i in order):
            room -= len(question) + len(answer)
            if room < 0:
                break
            pairs.append((question, answer))
        return Sample(context, kind not in ("text", "blind"), pairs)

    def pair(self, question: QAPair) -> tuple[list[int], list[int]]:
        """Token identifiers of a question and of its answer with the end token."""
        return self.ids(prompt(question.text)), self.ids(completion(question.answer))

    def context(self, scene: Scene, kind: str, audio_length: int = 16, video_length: int = 16) -> list[Bag]:
        """What a scene's questions are to be answered from.

        Parameters
        ----------
        kind : str
            A kind of context.
        audio_length, video_length : int
            Tokens per modality, of those that equation (3) picks.
        """
        if kind == "text":
            return [[(i, 1.0)] for i in self.ids(caption(scene))]
        if kind == "roster":
            return [self.bag([(member, 1.0)]) for member in roster(scene)]
        context = []
        if kind in ("timeline", "audio"):
            context += self._audio(scene, audio_length)
        if kind in ("timeline", "video"):
            context += self._video(scene, video_length)
        return context

    def bag(self, phrases: list[tuple[str, float]]) -> Bag:
        """The mean embedding of the phrases' words, weighted by the phrases' gains."""
        words = [(i, gain) for phrase, gain in phrases for i in self.ids(f" {phrase}")]
        total = sum(gain for _, gain in words)
        return [(i, gain / total) for i, gain in words]

    def _audio(self, scene: Scene, length: int) -> list[Bag]:
        bags = []
        for moment in audio_moments(length):
            if moment is None:
                bags.append(self.bag([("audio", 1.0)]))
            else:
                bags.append(self.bag([*heard(scene, moment), (number_word(moment), 1.0)]))
        return bags

    def _video(self, scene: Scene, length: int) -> list[Bag]:
        bags = []
        for cell in video_cells(length):
            if cell is None:
                bags.append(self.bag([("video", 1.0)]))
            else:
                bags.append(self.bag([(seen(scene, *cell), 1.0), (number_word(cell[0]), 1.0)]))
        return bags


def is_asked(question: QAPair, kind: str) -> bool:
    """Whether a question is asked of a kind of context: a caption is not asked to compare, nor who is loudest where.

    It counts notes and does not tell how long they are. How loud two players are, or where the loud one is, takes two
    look-ups in its text, which a model of this size does not learn.
    """
    return kind != "text" or not (" than " in question.template or question.template == WHERE_LOUDEST.text)


def audio_moments(length: int) -> list[float | None]:
    """What moments [s] the audio tokens stand for that equation (3) picks; None for a special token."""
    indices = slide_indices(AST_SPECIAL + AST_TIMES, length).tolist()
    return [(i - AST_SPECIAL + 1) * AST_SLOT_SECONDS if i >= AST_SPECIAL else None for i in indices]


def video_cells(length: int) -> list[tuple[float, int] | None]:
    """What moments [s] and columns the visual tokens stand for that equation (3) picks; None for a special token."""
    cells: list[tuple[float, int] | None] = []
    for index in slide_indices(VIVIT_SPECIAL + VIVIT_TIMES * VIVIT_ROWS * VIVIT_COLUMNS, length).tolist():
        time, place = divmod(index - VIVIT_SPECIAL, VIVIT_ROWS * VIVIT_COLUMNS)
        cells.append((time / FRAME_RATE, place % VIVIT_COLUMNS) if index >= VIVIT_SPECIAL else None)
    return cells


def _any_length(rng: np.random.Generator, stage: Stage) -> int:
    lengths = stage.lengths
    return int(rng.choice(lengths)) if rng.random() < 0.7 else int(rng.integers(lengths[0], lengths[-1] + 1))


def number_word(moment: float) -> str:
    """The number of the sixteenth of the clip in which a moment [s] lies, ``"1"`` to ``"16"``; so timelines name it."""
    return str(min(int(moment / CLIP_SECONDS * TIME_STEPS), TIME_STEPS - 1) + 1)
