"""Evaluation: the model generates answers over the link, and each is compared with the ground truth."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from tokcom_phy.data.formats import Question, normalise_answer
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.transmission import LinkUse
from tokcom_phy.radio import Link
from tokcom_phy.radio.cost import Spent
from tokcom_phy.radio.effective_snr import effective_snr_db
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.metrics import ANSWER_LOSS, Metric


@dataclass(frozen=True)
class Evaluation:
    """Results of one evaluation, per question.

    Attributes
    ----------
    correct : whether the generated answer equals the ground truth, after normalising case and whitespace
    first_token_correct : whether its first token is right, the score of the paper's published code
    answers : generated answers
    token_nmse_db : modality → error power over signal power of the tokens after the link [dB]
    effective_snr_db : modality → SNR of the AWGN channel with the same mean mutual information per question [dB]
    metrics : name → score of every answer, see `tokcom_phy.training.metrics`
    spent : what a question took in the mean where it depends on the realisation, ``channel_uses``, ``latency_ms`` and
        ``energy_mj``; else empty
    effective_snr_db_each : modality → the same of each question's own realisation [dB]
    """

    correct: list[bool]
    first_token_correct: list[bool]
    answers: list[str]
    token_nmse_db: dict[str, float]
    effective_snr_db: dict[str, float]
    metrics: dict[str, list[float]] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    effective_snr_db_each: dict[str, list[float]] = field(default_factory=dict)


class Evaluator:
    """Evaluates a system on questions, over any link; what does not depend on the link is done once.

    Parameters
    ----------
    system : TokenCommSystem
    questions : sequence of Question
    batcher : Batcher
    batch : int
        Questions per batch.
    metrics : name → metric, optional
        What scores the answers beside exact match, as `tokcom_phy.training.metrics.load_metrics` gives it.
    answer_loss : bool
        Whether the loss of the right answers is worked out too, on the same received tokens.
    """

    def __init__(
        self,
        system: TokenCommSystem,
        questions: Sequence[Question],
        batcher: Batcher,
        batch: int = 100,
        metrics: Mapping[str, Metric] | None = None,
        answer_loss: bool = False,
    ):
        self.metrics = metrics or {}
        self.answer_loss = answer_loss
        self.system = system.eval()
        self.questions = questions
        self.batcher = batcher
        self.parts = [slice(start, start + batch) for start in range(0, len(questions), batch)]
        self.texts = [batcher.texts(questions[part]) for part in self.parts]
        self.longest = max(texts["answer"].length for texts in self.texts)

    @torch.no_grad()
    def evaluate(self, link: Link, snr_db: float | Mapping[str, Tensor], seed: int) -> Evaluation:
        """Answer all questions over one link at one SNR [dB], or each at one of its own: user → float [questions].

        Question i is sent through realisation i of the link under ``seed``, for every system: systems are compared on
        the same channels and noise.
        """
        correct: list[bool] = []
        first: list[bool] = []
        answers: list[str] = []
        error: defaultdict[str, float] = defaultdict(float)
        power: defaultdict[str, float] = defaultdict(float)
        sinr: defaultdict[str, list[float]] = defaultdict(list)
        each: defaultdict[str, list[float]] = defaultdict(list)
        spent: list[Spent] = []
        losses: list[float] = []
        device = next(self.system.parameters()).device
        for part, texts in zip(self.parts, self.texts, strict=True):
            asked = self.questions[part]
            features = send_to_device(self.batcher.features([q.video_id for q in asked]), device)
            own_snr_db = {u: snr[part] for u, snr in snr_db.items()} if isinstance(snr_db, Mapping) else snr_db
            use = LinkUse(link, own_snr_db, seed, range(part.start, part.start + len(asked)))
            question = send_to_device(texts["question"], device)
            prefix, mask, transmission = self.system.read(features, question, use)
            ids = self.system.foundation.generate(prefix, mask, self.longest)
            if self.answer_loss:
                right_answers = send_to_device(texts["answer"], device)
                losses += self.system.foundation.answer_losses(prefix, mask, right_answers).tolist()
            generated = self.system.foundation.decode(ids)
            answers += [text.strip() for text in generated]
            correct += [
                normalise_answer(a) == normalise_answer(q.answer) for a, q in zip(generated, asked, strict=True)
            ]
            right = self.system.foundation.first_tokens(texts["answer"].ids)
            first += [a == b for a, b in zip(self.system.foundation.first_tokens(ids), right, strict=True)]
            if transmission.state and (took := link.spent(transmission.state)):
                spent.append(took)
            of_batch = transmission.state.effective_snr_db if transmission.state else {}
            for modality, snr in (transmission.state.effective_snr_db_each if transmission.state else {}).items():
                each[modality] += snr.tolist()
            for modality, sent in transmission.sent.items():
                valid = transmission.masks[modality].unsqueeze(-1)
                error[modality] += ((transmission.received[modality] - sent) * valid).double().square().sum().item()
                power[modality] += (sent * valid).double().square().sum().item()
                sinr[modality].append(10 ** (of_batch[modality] / 10))
        sizes = torch.tensor([len(self.questions[part]) for part in self.parts])
        return Evaluation(
            correct,
            first,
            answers,
            {m: _db(error[m] / power[m]) for m in error},
            {m: float(effective_snr_db(torch.tensor(v, dtype=torch.float64), sizes)) for m, v in sinr.items()},
            {name: list(metric(self.questions, answers)) for name, metric in self.metrics.items()}
            | ({ANSWER_LOSS: losses} if self.answer_loss else {}),
            _mean_spent(spent),
            dict(each),
        )


def majority_per_template(fitted_on: Sequence[Question], asked: Sequence[Question]) -> list[bool]:
    """The majority control, without any input: for each question template, the most frequent answer.

    Returns
    -------
    list of bool
        Whether that answer is right, question by question; a template that was not seen gets the overall majority.
    """
    per_template: defaultdict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for question in fitted_on:
        per_template[question.template][normalise_answer(question.answer)] += 1
        overall[normalise_answer(question.answer)] += 1
    best = {template: answers.most_common(1)[0][0] for template, answers in per_template.items()}
    default = overall.most_common(1)[0][0]
    return [best.get(q.template, default) == normalise_answer(q.answer) for q in asked]


def _mean_spent(spent: Sequence[Spent]) -> dict[str, float]:
    if not spent:
        return {}
    uses, latency, energy = (float(torch.cat(values).mean()) for values in zip(*spent, strict=True))
    return {"channel_uses": uses, "latency_ms": 1e3 * latency, "energy_mj": 1e3 * energy}


def _db(ratio: float) -> float:
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf
