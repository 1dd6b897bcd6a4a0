"""How answers are scored beside exact match: torchmetrics' text metrics by name, and functions by import path.

All give a number per question, so that intervals and paired differences work as for the accuracy. torchmetrics is an
extra (``pip install "tokcom-phy[metrics]"``), for it is slow to import, and neither exact match, the paper's metric,
nor functions of one's own need it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from tokcom_phy.data.formats import Question
from tokcom_phy.utils.errors import UserError, nearest, one_line
from tokcom_phy.utils.instantiate import TARGET, import_target, instantiate

ANSWER_LOSS = "answer_loss"
"""Metric of the system instead of its answers: mean negative log-likelihood of the right answer's tokens [nat]."""

Metric = Callable[[Sequence[Question], Sequence[str]], Sequence[float]]
"""Questions with their ground truths, and a system's answers, to a score per question."""


def _one_reference(score: Callable[..., Any], answer: str, truth: str) -> float:
    return float(score([answer], [truth]))


def _references(score: Callable[..., Any], answer: str, truth: str) -> float:
    return float(score([answer], [[truth]]))


def _rouge_l(score: Callable[..., Any], answer: str, truth: str) -> float:
    return float(score(answer, truth, rouge_keys="rougeL")["rougeL_fmeasure"])


def _token_f1(score: Callable[..., Any], answer: str, truth: str) -> float:
    found = score(
        {"prediction_text": answer, "id": "0"}, {"answers": {"answer_start": [0], "text": [truth]}, "id": "0"}
    )
    return float(found["f1"]) / 100


_TORCHMETRICS: dict[str, tuple[str, Callable[[Callable[..., Any], str, str], float]]] = {
    "bleu": ("bleu_score", _references),
    "char_error_rate": ("char_error_rate", _one_reference),
    "chrf": ("chrf_score", _references),
    "edit_distance": ("edit_distance", _one_reference),
    "rouge_l": ("rouge_score", _rouge_l),
    "token_f1": ("squad", _token_f1),
    "word_error_rate": ("word_error_rate", _one_reference),
}
"""Name here → function of ``torchmetrics.functional.text``, and how it scores one answer."""


def load_metrics(named: Sequence[str | Mapping[str, Any]]) -> dict[str, Metric]:
    """The metrics that an experiment names.

    Parameters
    ----------
    named : sequence
        ``answer_loss``, which `tokcom_phy.training.evaluate.Evaluator` works out and is left out here; ``bleu``,
        ``char_error_rate``, ``chrf``, ``edit_distance``, ``rouge_l``, ``token_f1`` or ``word_error_rate``;
        the import path of a function; or ``{_target_: module.Name, argument: value, …}``, a class whose objects are
        called, or a function with ``_partial_: true``.

    Returns
    -------
    name → metric
        One given by import path is called by the last part of its path.

    Raises
    ------
    UserError
        If a name is unknown or given twice, torchmetrics is not installed, or a component cannot be built.
    """
    metrics: dict[str, Metric] = {}
    for position, metric in enumerate(named):
        if metric == ANSWER_LOSS:
            continue
        key = f"metrics.{position}"
        if isinstance(metric, str) and "." not in metric:
            name, function = metric, _by_name(metric, key)
        else:
            path = metric if isinstance(metric, str) else metric.get(TARGET)
            own = import_target(path, key) if isinstance(metric, str) else instantiate(metric, key, None)
            if not callable(own) or isinstance(own, type):
                raise UserError(f"{key}: '{path}' cannot be called with questions and answers: name a function")
            name, function = str(path).rpartition(".")[2], partial(_checked, own, f"{key}: '{path}'")
        if name in metrics or name in TAKEN:
            raise UserError(f"{key}: '{name}' is there already: choose another")
        metrics[name] = function
    return metrics


TAKEN = ("correct", "first_token_correct", ANSWER_LOSS)
"""What every evaluation holds."""


def _by_name(name: str, key: str) -> Metric:
    if name not in _TORCHMETRICS:
        raise UserError(
            f"{key}: unknown metric '{name}': {nearest(name, [ANSWER_LOSS, *_TORCHMETRICS])}, or give an import path"
        )
    function, score_one = _TORCHMETRICS[name]
    try:  # imported here, for it is an extra
        score = getattr(import_module("torchmetrics.functional.text"), function)
    except ImportError as error:
        raise UserError(f"{key}: '{name}' needs torchmetrics: pip install 'tokcom-phy[metrics]'") from error
    return partial(_each, score, score_one)


def _each(
    score: Callable[..., Any],
    score_one: Callable[[Callable[..., Any], str, str], float],
    questions: Sequence[Question],
    answers: Sequence[str],
) -> list[float]:
    return [score_one(score, answer, question.answer) for question, answer in zip(questions, answers, strict=True)]


def _checked(
    metric: Callable[..., Any], where: str, questions: Sequence[Question], answers: Sequence[str]
) -> list[float]:
    """What a function of the user's own finds, a finite number per question."""
    try:
        scores = [float(score) for score in metric(questions, answers)]
    except Exception as error:  # any error of its code
        raise UserError(f"{where} fails ({one_line(error)})") from error
    if len(scores) != len(questions) or not all(map(math.isfinite, scores)):
        raise UserError(
            f"{where} gives {len(scores)} scores for {len(questions)} questions, expected a finite one each"
        )
    return scores
