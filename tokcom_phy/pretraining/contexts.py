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
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from transformers import PreTrainedTokenizerFast

from tokcom_phy.model.prompt import completion, prompt
from tokcom_phy.model.slide import slide_indices
from tokcom_phy.pretraining.packing import Bag, Sample
from tokcom_phy.synthetic.captions import caption, heard, roster, seen
from tokcom_phy.synthetic.frames import FRAME_RATE
from tokcom_phy.synthetic.questions import QAPair, questions, stepping_stones
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Scene, sample_scene

ROW_LENGTH = 224
"""Longest input: as many questions are asked of a scene as fit behind its context."""

LENGTHS = (8, 16, 32, 64)
"""Numbers of tokens per modality that the model is tested with."""

STEPPING_STONES = 0.2
"""Share of the questions that ask for a single fact, which the others combine; tests do without them."""



@dataclass(frozen=True)
class Stage:
    """What samples are like at one stage of the training.

    ``contexts`` are the kinds of context and how often they are drawn, ``lengths`` the numbers of tokens per modality,
    ``noise`` how far timelines' tokens are blurred.
    """

    contexts: dict[str, float]
    lengths: tuple[int, ...]
    noise: float


FIRST = Stage({"roster": 0.5, "timeline": 0.4, "text": 0.1}, (8, 16), 0.0)
"""Short contexts at the beginning: to look a name up in few tokens is learnt sooner than in many."""

REST = Stage(
    {"text": 0.16, "roster": 0.06, "timeline": 0.62, "audio": 0.05, "video": 0.05, "blind": 0.06}, LENGTHS, 1.0
)


def stage_at(progress: float) -> Stage:
    """The stage of the training when a share of it is done; noise sets in after the short contexts."""
    if progress < 0.2:
        return FIRST
    return replace(REST, noise=min(1.0, (progress - 0.2) / 0.2))


TIME_STEPS = 16
"""Moments of a clip are named by these many number words."""

AST_TIMES, AST_SPECIAL, AST_SLOT_SECONDS = 63, 2, 0.16
VIVIT_TIMES, VIVIT_COLUMNS, VIVIT_SPECIAL = 32, 3, 1
"""How the tiny encoders order their tokens: special ones first, then times, and times × columns."""


class Corpus:
    """Turns scenes into samples with one tokenizer, at the frequencies at which questions are balanced.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
    seed : int
        Draws the scenes from which the questions' frequencies are estimated.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int):
        self.ids = cache(lambda text: tokenizer(text, add_special_tokens=False)["input_ids"])
        self.seed = seed

    @cached_property
    def weights(self) -> dict[tuple[str, str], float]:
        """By template and answer, the weights at which drawing questions balances both."""
        rng = np.random.default_rng([self.seed, 1])
        scenes = [sample_scene(rng) for _ in range(1000)]
        weights: dict[tuple[str, str], float] = {}
        for ask, share in ((questions, 1 - STEPPING_STONES), (stepping_stones, STEPPING_STONES)):
            counts = Counter((q.template, q.answer) for scene in scenes for q in ask(scene))
            variety = Counter(template for template, _ in counts)
            weights |= {(t, a): share / (len(variety) * variety[t] * n) for (t, a), n in counts.items()}
        return weights

    def sample(self, rng: np.random.Generator, stage: Stage) -> Sample:
        """Draw a scene, a kind of context and a balanced choice of questions."""
        scene = sample_scene(rng)
        asked = questions(scene) + stepping_stones(scene)
        weights = np.array([self.weights.get((q.template, q.answer), 0.0) for q in asked])
        order = rng.choice(len(asked), int(np.count_nonzero(weights)), replace=False, p=weights / weights.sum())
        kind = str(rng.choice(list(stage.contexts), p=list(stage.contexts.values())))
        lengths = _any_length(rng, stage), _any_length(rng, stage)
        context = self.context(scene, kind, *lengths)
        pairs = []
        room = ROW_LENGTH - len(context)
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
        for index in slide_indices(AST_SPECIAL + AST_TIMES, length).tolist():
            moment = (index - AST_SPECIAL + 1) * AST_SLOT_SECONDS
            here = [*heard(scene, moment), (number_word(moment), 1.0)]
            bags.append(self.bag(here if index >= AST_SPECIAL else [("audio", 1.0)]))
        return bags

    def _video(self, scene: Scene, length: int) -> list[Bag]:
        bags = []
        for index in slide_indices(VIVIT_SPECIAL + VIVIT_TIMES * VIVIT_COLUMNS, length).tolist():
            time, column = divmod(index - VIVIT_SPECIAL, VIVIT_COLUMNS)
            moment = time / FRAME_RATE
            here = [(seen(scene, moment, column), 1.0), (number_word(moment), 1.0)]
            bags.append(self.bag(here if index >= VIVIT_SPECIAL else [("video", 1.0)]))
        return bags


def _any_length(rng: np.random.Generator, stage: Stage) -> int:
    lengths = stage.lengths
    return int(rng.choice(lengths)) if rng.random() < 0.7 else int(rng.integers(lengths[0], lengths[-1] + 1))


def number_word(moment: float) -> str:
    """The number word of a moment [s], by which timelines name it."""
    return str(min(int(moment / CLIP_SECONDS * TIME_STEPS), TIME_STEPS - 1) + 1)
