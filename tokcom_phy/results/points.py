"""The points of a run: what one variant reached over one link at one SNR with one seed, a file each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field, TypeAdapter

from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.run_dir import point_file, point_name
from tokcom_phy.results.reading import damaged, read_json
from tokcom_phy.training.evaluate import Evaluation
from tokcom_phy.utils.files import write_atomically

AGAIN = "delete it and run the same command again"

Marks = Annotated[str, Field(pattern="^[01]*$")]
"""One character a question, 1 or 0, in the order of ``questions.json``."""


@dataclass(frozen=True)
class Point:
    """What one variant reached over one link at one SNR [dB] with one seed.

    ``correct`` and ``first_token_correct`` are `Marks`; ``metrics`` holds one score a question, ``spent`` what a
    question took in the mean where that depends on the channel.
    """

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")

    variant: str
    link: str
    snr_db: float
    seed: int
    correct: Marks
    first_token_correct: Marks
    answers: list[str]
    token_nmse_db: dict[str, float]
    effective_snr_db: dict[str, float]
    metrics: dict[str, list[float]] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, snr_db: float, evaluation: Evaluation) -> "Point":
        """The point of a job at one of its SNRs [dB]."""
        return cls(
            variant=job.subject,
            link=job.link.name,
            snr_db=snr_db,
            seed=job.seed,
            correct=_marks(evaluation.correct),
            first_token_correct=_marks(evaluation.first_token_correct),
            answers=evaluation.answers,
            token_nmse_db=evaluation.token_nmse_db,
            effective_snr_db=evaluation.effective_snr_db,
            metrics=evaluation.metrics,
            spent=evaluation.spent,
        )

    @property
    def name(self) -> str:
        return point_name(self.variant, self.link, self.snr_db, self.seed)


_POINT = TypeAdapter(Point)


def write_point(run_dir: Path, point: Point) -> None:
    """Write one point's file in one step."""
    with write_atomically(point_file(run_dir, point.name)) as path:
        content = {name: value for name, value in vars(point).items() if value or name not in ("metrics", "spent")}
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_points(run_dir: Path) -> list[Point]:
    """All finished points of a run, sorted by name.

    Raises
    ------
    UserError
        If a point's file is damaged, or holds another point than its name says.
    """
    return [_read_point(path) for path in sorted((run_dir / "points").glob("[!.]*.json"))]


def _read_point(path: Path) -> Point:
    point = read_json(path, _POINT, AGAIN)
    if point.name != path.stem:
        raise damaged(path, f"it holds point {point.name}", AGAIN)
    return point


def points_table(points: Sequence[Point]) -> pd.DataFrame:
    """A row a point, the columns those of `Point`; marks as bool [questions]."""
    table = pd.DataFrame([vars(point) for point in points], columns=list(Point.__dataclass_fields__))
    marks = ("correct", "first_token_correct")
    return table.assign(**{column: [as_bools(text) for text in table[column]] for column in marks})


def as_bools(marks: str) -> np.ndarray:
    """'0110' → bool [4]."""
    return np.frombuffer(marks.encode(), dtype=np.uint8) == ord("1")


def _marks(correct: list[bool]) -> str:
    """The inverse of `as_bools`."""
    return "".join(str(int(c)) for c in correct)
