"""What the tiny foundation model is pretrained to answer from: a *context* of one of these kinds.

- the caption as text;
- the caption's clauses, one token each: the mean input embedding of the clause's words;
- a *timeline*: 4–32 audio tokens, then 4–32 visual tokens, each the mean input embedding of the words for what is
  heard at one moment, or seen in one column at one moment; now and then without one modality;
- nothing, so that the model learns the best guess without a context.

Tokens that stand for more than words carry noise and random scales. So the model learns to read imperfect tokens of
other things than words, which is what a receiver will give it.
"""

from collections import Counter
from functools import cache, cached_property

import numpy as np
from transformers import PreTrainedTokenizerFast

from tokcom_phy.model.prompt import completion, prompt
from tokcom_phy.model.slide import slide_indices
from tokcom_phy.pretraining.packing import Bag, Sample
from tokcom_phy.synthetic.language import QAPair, caption, clauses, heard, questions, seen, stepping_stones
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Scene, sample_scene

ROW_LENGTH = 160
"""Longest input: as many questions are asked of a scene as fit behind its context."""

LENGTHS = (4, 8, 16, 32)
"""Numbers of tokens per modality that the model is tested with."""

STEPPING_STONES = 0.3
"""Share of the questions that ask for a single fact, which the others combine; tests do without them."""

CONTEXTS = {"text": 0.28, "clauses": 0.06, "timeline": 0.48, "audio": 0.06, "video": 0.06, "blind": 0.06}
"""What a training sample's questions are to be answered from, and how often."""

TIME_STEPS = 8
"""Moments of a clip are named by these many number words."""

AST_BANDS, AST_TIMES, AST_SPECIAL = 4, 32, 2
VIVIT_TIMES, VIVIT_ROWS, VIVIT_COLUMNS, VIVIT_SPECIAL = 8, 3, 3, 1
"""How the tiny encoders order their tokens: special ones first, then bands × times, and times × rows × columns."""


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

    def sample(self, rng: np.random.Generator) -> Sample:
        """Draw a scene, a kind of context and a balanced choice of questions."""
        scene = sample_scene(rng)
        asked = questions(scene) + stepping_stones(scene)
        weights = np.array([self.weights.get((q.template, q.answer), 0.0) for q in asked])
        order = rng.choice(len(asked), int(np.count_nonzero(weights)), replace=False, p=weights / weights.sum())
        kind = str(rng.choice(list(CONTEXTS), p=list(CONTEXTS.values())))
        context = self.context(
            scene,
            kind,
            audio_length=_any_length(rng),
            video_length=_any_length(rng),
            encoder_order=bool(rng.random() < 0.7),
        )
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

    def context(
        self,
        scene: Scene,
        kind: str,
        *,
        audio_length: int = 16,
        video_length: int = 16,
        encoder_order: bool = True,
    ) -> list[Bag]:
        """What a scene's questions are to be answered from.

        Parameters
        ----------
        kind : str
            A key of `CONTEXTS`.
        audio_length, video_length : int
            Tokens per modality.
        encoder_order : bool
            Whether timelines follow the order in which eq. (3) picks the tiny encoders' tokens, rather than time.
        """
        if kind == "text":
            return [[(i, 1.0)] for i in self.ids(caption(scene))]
        if kind == "clauses":
            return [self.bag([(clause, 1.0)]) for clause in clauses(scene)]
        context = []
        if kind in ("timeline", "audio"):
            context += self._audio(scene, audio_length, encoder_order)
        if kind in ("timeline", "video"):
            context += self._video(scene, video_length, encoder_order)
        return context

    def bag(self, phrases: list[tuple[str, float]]) -> Bag:
        """The mean embedding of the phrases' words, weighted by the phrases' gains."""
        words = [(i, gain) for phrase, gain in phrases for i in self.ids(f" {phrase}")]
        total = sum(gain for _, gain in words)
        return [(i, gain / total) for i, gain in words]

    def _audio(self, scene: Scene, length: int, encoder_order: bool) -> list[Bag]:
        if not encoder_order:
            moments = (np.arange(length) + 0.5) / length * CLIP_SECONDS
            return [self.bag(heard(scene, m) + number_word(m)) for m in moments]
        bags = []
        for index in slide_indices(AST_SPECIAL + AST_BANDS * AST_TIMES, length).tolist():
            moment = ((index - AST_SPECIAL) % AST_TIMES + 0.5) / AST_TIMES * CLIP_SECONDS
            here = heard(scene, moment) + number_word(moment)
            bags.append(self.bag(here if index >= AST_SPECIAL else [("audio", 1.0)]))
        return bags

    def _video(self, scene: Scene, length: int, encoder_order: bool) -> list[Bag]:
        if not encoder_order:
            moments = (np.arange(length) + 0.5) / length * CLIP_SECONDS
            looks = [seen(scene, moment, k % VIVIT_COLUMNS) for k, moment in enumerate(moments)]
            return [self.bag([(look, 1.0), *number_word(m)]) for look, m in zip(looks, moments, strict=True)]
        bags = []
        for index in slide_indices(VIVIT_SPECIAL + VIVIT_TIMES * VIVIT_ROWS * VIVIT_COLUMNS, length).tolist():
            time, place = divmod(index - VIVIT_SPECIAL, VIVIT_ROWS * VIVIT_COLUMNS)
            moment = (time + 0.5) / VIVIT_TIMES * CLIP_SECONDS
            here = [(seen(scene, moment, place % VIVIT_COLUMNS), 1.0), *number_word(moment)]
            bags.append(self.bag(here if index >= VIVIT_SPECIAL else [("video", 1.0)]))
        return bags


def _any_length(rng: np.random.Generator) -> int:
    return int(rng.choice(LENGTHS)) if rng.random() < 0.7 else int(rng.integers(LENGTHS[0], LENGTHS[-1] + 1))


def number_word(moment: float) -> list[tuple[str, float]]:
    """The number word of a moment [s], by which timelines name it."""
    return [(str(int(moment / CLIP_SECONDS * TIME_STEPS) + 1), 1.0)]
