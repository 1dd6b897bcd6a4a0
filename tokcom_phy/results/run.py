"""A run, opened once: what it was asked, what it reached, and its trained systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import ConfigDict, TypeAdapter

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.resolve import ResolvedLink, ResolvedVariant
from tokcom_phy.experiments.run_dir import CONFIG, LINKS, PROVENANCE, QUESTIONS, point_file
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.experiments.validation import check
from tokcom_phy.radio.link_config import validate_config
from tokcom_phy.results.budget import BUDGET_COLUMNS, mean_question_tokens, tabulate_budget
from tokcom_phy.results.points import AGAIN, Point, points_table, read_points
from tokcom_phy.results.reading import RESTORE, damaged, read_json
from tokcom_phy.results.tables import (
    ACCURACY,
    ALL,
    Place,
    curves,
    scores_by_seed,
    tabulate,
    tabulate_costs,
    tabulate_curves,
    tabulate_differences,
    tabulate_losses,
)
from tokcom_phy.results.trained import TrainedSystem, load_system
from tokcom_phy.utils.errors import UserError, nearest
from tokcom_phy.utils.yaml_files import read_yaml

Value = TypeVar("Value")


@dataclass(frozen=True)
class AskedQuestion:
    """A question as ``questions.json`` keeps it."""

    __pydantic_config__ = ConfigDict(strict=True)

    video_id: str
    question_id: int | str
    type: str
    question: str
    answer: str


_QUESTIONS = TypeAdapter(list[AskedQuestion])
_LINKS: TypeAdapter[Mapping[str, dict[str, Any]]] = TypeAdapter(Mapping[str, dict[str, Any]])
_PROVENANCE = TypeAdapter(dict[str, Any])
_LOSSES = TypeAdapter(list[float], config=ConfigDict(strict=True))


@dataclass(frozen=True, eq=False)
class Run:
    """A run directory, finished or not; `open` reads and checks its files, and each table is made once.

    Tables come from the points, the losses and the settings, not from the CSV files, which hold the same.

    Attributes
    ----------
    path : Path
        The run directory.
    experiment : Experiment
        The settings in ``config.yaml``.
    provenance : dict
        ``provenance.json``: command, versions, machine, revision, seeds.
    questions : DataFrame
        What is asked, in the order of the points' marks: video_id, question_id, type, question, answer.
    points : DataFrame
        A row a point: variant, link, snr_db [dB], seed, correct and first_token_correct (bool [questions]), answers
        (list of str; empty for the majority control), token_nmse_db and effective_snr_db (modality → dB), metrics
        (name → a score a question).
    losses : DataFrame
        Training loss [nat] of every step: stage ('align' or 'finetune'), name (of a stage 1, or a variant), seed, step
        from 1, loss.
    """

    path: Path
    experiment: Experiment
    provenance: dict[str, Any]
    questions: pd.DataFrame
    points: pd.DataFrame
    losses: pd.DataFrame
    _points: list[Point]
    _links: dict[str, ResolvedLink]

    @classmethod
    def open(cls, run_dir: str | Path) -> "Run":
        """Open a run directory.

        Raises
        ------
        UserError
            If the folder holds no run, or a file in it is missing or damaged.
        """
        folder = Path(run_dir)
        if not (folder / CONFIG).is_file():
            raise UserError(f"{folder} is no run directory: it has no {CONFIG}; give the --out of a tokcom run")
        experiment = _read_experiment(folder / CONFIG)
        points = read_points(folder)

        def kept(name: str, shape: TypeAdapter[Value], before: Value) -> Value:
            """A file that is written before the first point."""
            return before if not points and not (folder / name).exists() else read_json(folder / name, shape)

        questions = kept(QUESTIONS, _QUESTIONS, [])
        if points and (not questions or len(points) > 1) and all(len(p.correct) != len(questions) for p in points):
            marked = len(points[0].correct)
            raise damaged(folder / QUESTIONS, f"it holds {len(questions)} questions, points have marks of {marked}")
        for point in points:
            _check_point(point, folder, experiment, len(questions))
        return cls(
            folder,
            experiment,
            kept(PROVENANCE, _PROVENANCE, {}),
            pd.DataFrame(questions, columns=list(AskedQuestion.__dataclass_fields__)),
            points_table(points),
            _read_losses(folder, experiment),
            points,
            _resolved_links(folder / LINKS, kept(LINKS, _LINKS, {}), experiment),
        )

    @cached_property
    def results(self) -> pd.DataFrame:
        """The rows of ``results.csv``, see docs/conventions.md; needs the foundation model's configuration."""
        name = self.experiment.name
        measured = [(point.variant, point.link) for point in self._points if point.spent]
        pairs = zip(self.budget["variant"], self.budget["link"], strict=True)
        fixed = np.array([pair not in measured for pair in pairs], dtype=bool)
        parts = [
            tabulate(name, self._points, list(self.questions["type"])),
            self.final_losses,
            tabulate_costs(name, self.budget[fixed]),
        ]
        return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)

    @cached_property
    def final_losses(self) -> pd.DataFrame:
        """The rows of `results` with the training loss at the end of stage 2, of each variant and seed."""
        return tabulate_losses(self.experiment, self.losses)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The rows of ``curves.csv``: each metric of each variant, link and SNR over all seeds; accuracy by
        question type too."""
        return tabulate_curves(self.experiment.name, self._points, list(self.questions["type"]))

    @cached_property
    def accuracy(self) -> pd.DataFrame:
        """The rows of `curves` with the accuracy over all questions."""
        return self.curves[(self.curves["metric"] == ACCURACY) & (self.curves["question_type"] == ALL)]

    def scores(self, metric: str) -> dict[Place, dict[int, np.ndarray]]:
        """(variant, link, SNR [dB]) → seed → a score of each question, bool for ``accuracy``, float for other metrics;
        points without the metric are left out."""
        return scores_by_seed(self._points, metric)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """The rows of ``differences.csv``: each metric compared question by question and seed by seed."""
        return tabulate_differences(self.experiment, self._points)

    @cached_property
    def accuracy_differences(self) -> pd.DataFrame:
        """The rows of `differences` with the accuracy."""
        return self.differences[self.differences["metric"] == ACCURACY]

    @cached_property
    def budget(self) -> pd.DataFrame:
        """What one question costs each variant on each link, see `tokcom_phy.results.budget.tabulate_budget`; empty
        until the run has written down what it asks.

        Raises
        ------
        UserError
            If the foundation model is not to be had.
        """
        if self.questions.empty:
            return pd.DataFrame(columns=BUDGET_COLUMNS)
        evaluated = self.experiment.resolved().evaluated_links
        links = {name: self._links[name].load() for name in evaluated}
        return tabulate_budget(self.experiment, links, self.question_tokens)

    @cached_property
    def question_tokens(self) -> int:
        """Tokens of a question that goes over the air, the mean of all; 0 if none does."""
        return mean_question_tokens(self.experiment, list(self.questions["question"]))

    def accuracy_among(self, questions: np.ndarray) -> pd.DataFrame:
        """As `accuracy`, on some questions alone: ``questions`` is bool [questions]."""
        return curves(self._points, questions)

    def answers(self, question: int) -> pd.DataFrame:
        """What each system answered to one question, by its place in `questions`: variant, link, snr_db, seed, answer
        (None for the majority control) and whether it is correct."""
        found = self.points[["variant", "link", "snr_db", "seed"]].copy()
        answers = [answers[question] if answers else None for answers in self.points["answers"]]
        found["answer"] = pd.Series(answers, index=found.index, dtype=object)
        found["correct"] = [bool(marks[question]) for marks in self.points["correct"]]
        return found

    def variants(self, **fields: Any) -> list[ResolvedVariant]:
        """The variants whose fields have these values, in declared order; all of them without any.

        Parameters
        ----------
        **fields
            Fields of `tokcom_phy.experiments.resolve.ResolvedVariant`, such as ``alignment="none"``,
            ``question="on-air"``, ``blind=False``, ``lengths={"audio": 16}``. Of a mapping the given items must be
            equal; of ``modalities`` names will do.

        Raises
        ------
        UserError
            If there is no such field.
        """
        known = [name for name in dir(ResolvedVariant) if not name.startswith("_")]
        known += list(ResolvedVariant.__dataclass_fields__)
        for name in fields:
            if name not in known:
                raise UserError(f"variants have no field '{name}': {nearest(name, known)}")
        found = self.experiment.resolved().variants.values()
        return [v for v in found if all(_fits(getattr(v, name), value) for name, value in fields.items())]

    def links(self, **settings: Any) -> list[ResolvedLink]:
        """The links, as they were in the run, whose settings have these values; all of them without any.

        Those that are evaluated come first, in declared order.

        Parameters
        ----------
        **settings
            Keys of link files, such as ``family="ofdm"``, ``csi="perfect"``; a link without the key is left out.
        """
        return [
            link
            for link in self._links.values()
            if all(name in link.settings() and link.settings()[name] == value for name, value in settings.items())
        ]

    def setting(self, link: str, key: str) -> Any:
        """One setting of a link of the experiment, with all defaults resolved."""
        return self._links[link].settings()[key]

    def system(self, variant: str, seed: int = 0) -> TrainedSystem:
        """A trained system, ready to be asked.

        Raises
        ------
        UserError
            If there is no such variant, or it has not been trained with this seed, or its files are damaged.
        """
        system = load_system(self.path, self.experiment, variant, seed)
        resolved = self.experiment.resolved().variants[variant]
        longest = system.foundation.tokenize_answers(list(self.questions["answer"])).length
        return TrainedSystem(system, resolved, self.experiment, self._links, self.path, longest)


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return all(value.get(key) == item for key, item in wanted.items()) and bool(wanted or not value)
    if isinstance(value, Mapping) and isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return set(value) == set(wanted)
    return value == wanted


def _read_experiment(path: Path) -> Experiment:
    try:
        experiment = check(Experiment, read_yaml(path), str(path))
        experiment.resolved()
    except UserError as error:
        raise UserError(f"{str(error).removesuffix('.')}; {RESTORE}") from error
    return experiment


def _resolved_links(path: Path, kept: Mapping[str, dict[str, Any]], experiment: Experiment) -> dict[str, ResolvedLink]:
    """The links with the settings that the run kept, or the experiment's where it kept none yet."""
    names = experiment.resolved().links
    if not kept:
        return dict(names)
    try:
        return {name: replace(link, config=validate_config(name, kept[name])) for name, link in names.items()}
    except KeyError as error:
        raise damaged(path, f"it has no link {error}") from error
    except UserError as error:
        raise damaged(path, str(error)) from error


def _check_point(point: Point, run_dir: Path, experiment: Experiment, asked: int) -> None:
    path = point_file(run_dir, point.name)
    if point.variant not in (*experiment.resolved().variants, MAJORITY):
        raise damaged(path, f"the experiment has no variant '{point.variant}'", AGAIN)
    if point.link not in experiment.resolved().evaluated_links:
        raise damaged(path, f"the experiment is not evaluated over link '{point.link}'", AGAIN)
    each = (point.correct, point.first_token_correct, point.answers or point.correct, *point.metrics.values())
    for marks in each:
        if len(marks) != asked:
            raise damaged(path, f"it has marks of {len(marks)} questions, {asked} were asked", AGAIN)


def _read_losses(run_dir: Path, experiment: Experiment) -> pd.DataFrame:
    rows = []
    for job in experiment.resolved().jobs:
        path = job.folder(run_dir) / "losses.json"
        if job.stage == "evaluate" or not path.exists():
            continue
        mend = f"delete {path.parent} and run the same command again"
        losses = read_json(path, _LOSSES, mend)
        if not losses:
            raise damaged(path, "it holds no loss", mend)
        rows += [(job.stage, job.subject, job.seed, step, loss) for step, loss in enumerate(losses, start=1)]
    return pd.DataFrame(rows, columns=["stage", "name", "seed", "step", "loss"])
