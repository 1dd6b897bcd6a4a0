"""Scores per answer: torchmetrics' against hand-counted values, functions of one's own, and their mistakes."""

import sys

import pytest
import training_case

from tokcom_phy.data.formats import Question
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.transmission import LinkUse
from tokcom_phy.radio import load_link
from tokcom_phy.training.evaluate import Evaluator
from tokcom_phy.training.metrics import load_metrics
from tokcom_phy.utils.errors import UserError

QUESTIONS = [Question("clip", i, ("Audio", "Counting"), "", "What?", a) for i, a in enumerate(["the red cello", "two"])]
ANSWERS = ["the cello", "two"]


def answer_lengths(questions, answers):
    return [len(answer) for answer in answers]


def too_few(questions, answers):
    return [1.0]


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, questions, answers):
        return [self.factor * (answer == question.answer) for question, answer in zip(questions, answers, strict=True)]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setitem(sys.modules, "test_metrics", sys.modules[__name__])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rouge_l", 2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3)),
        ("token_f1", 2 * 1 * (1 / 2) / (1 + 1 / 2)),  # SQuAD leaves articles out
        ("word_error_rate", 1 / 3),
        ("edit_distance", 4.0),
    ],
)
def test_torchmetrics_by_name(name, expected):
    pytest.importorskip("torchmetrics")
    (metric,) = load_metrics([name]).values()
    perfect = 0.0 if name in ("word_error_rate", "edit_distance") else 1.0
    assert list(metric(QUESTIONS, ANSWERS)) == pytest.approx([expected, perfect])


def test_every_name_scores_a_right_answer_above_a_wrong_one():
    pytest.importorskip("torchmetrics")
    names = ["bleu", "char_error_rate", "chrf", "edit_distance", "rouge_l", "token_f1", "word_error_rate"]
    truth = [Question("clip", 0, ("Audio", "Counting"), "", "What?", "the red cello sounds first")] * 2
    for name, metric in load_metrics(names).items():
        right, wrong = metric(truth, ["the red cello sounds first", "nobody plays any more at all"])
        assert (right < wrong) == (name.endswith("rate") or name == "edit_distance"), name


def test_functions_and_objects_by_import_path():
    metrics = load_metrics(["test_metrics.answer_lengths", {"_target_": "test_metrics.Scaled", "factor": 2.0}])
    found = {name: metric(QUESTIONS, ANSWERS) for name, metric in metrics.items()}
    assert found == {"answer_lengths": [9.0, 3.0], "Scaled": [0.0, 2.0]}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["blue"], r"metrics\.0: unknown metric 'blue': did you mean 'bleu'"),
        (["test_metrics.answer_length"], r"metrics\.0: 'test_metrics' has no 'answer_length'"),
        (["test_metrics.Scaled"], "'test_metrics.Scaled' cannot be called with questions and answers"),
        (["test_metrics.answer_lengths"] * 2, r"metrics\.1: 'answer_lengths' is there already"),
        (["test_metrics.too_few"], r"metrics\.0: 'test_metrics.too_few' gives 1 scores for 2 questions"),
        ([{"_target_": "test_metrics.Scaled", "factor": "x"}], r"'test_metrics.Scaled' fails \(ValueError"),
        ([{"_target_": "test_metrics.Scaled"}], "needs 'factor'"),
    ],
)
def test_a_mistake_is_one_line(named, message):
    with pytest.raises(UserError, match=message) as caught:
        [metric(QUESTIONS, ANSWERS) for metric in load_metrics(named).values()]
    assert len(str(caught.value).splitlines()) == 1


def test_without_torchmetrics_its_names_say_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.text", None)
    with pytest.raises(UserError, match=r"'bleu' needs torchmetrics: pip install 'tokcom-phy\[metrics\]'"):
        load_metrics(["bleu"])


def test_an_evaluation_scores_every_question(foundation_folder, tmp_path):
    foundation = Foundation.load(foundation_folder)
    system, batcher = training_case.system(foundation), training_case.batcher(foundation, tmp_path / "features")
    metrics = load_metrics(["test_metrics.answer_lengths"])
    evaluator = Evaluator(system, training_case.questions(), batcher, batch=8, metrics=metrics)
    found = evaluator.evaluate(load_link("awgn"), 10.0, 0)
    assert found.metrics["answer_lengths"] == [len(answer) for answer in found.answers]


def test_the_loss_of_each_answer_is_that_of_a_batch_of_one(foundation_folder, tmp_path):
    foundation = Foundation.load(foundation_folder)
    system, batcher = training_case.system(foundation), training_case.batcher(foundation, tmp_path / "features")
    questions, link = training_case.questions(), load_link("awgn")
    found = Evaluator(system, questions, batcher, batch=8, answer_loss=True).evaluate(link, 10.0, 0)
    assert load_metrics(["answer_loss"]) == {}
    for index in (0, 5, 11):
        texts = batcher.texts(questions[index : index + 1])
        features = batcher.features([questions[index].video_id])
        loss = system(features, texts["question"], texts["answer"], LinkUse(link, 10.0, 0, [index]))
        assert found.metrics["answer_loss"][index] == pytest.approx(loss.item(), abs=1e-4)
