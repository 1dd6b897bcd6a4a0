"""The points of a run: what one variant reached over one link at one SNR with one seed, a file each."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.run_dir import point_file, point_name
from tokcom_phy.training.evaluate import Evaluation
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import write_atomically


@dataclass(frozen=True)
class Point:
    """What one variant reached over one link at one SNR [dB] with one seed.

    ``correct`` and ``first_token_correct`` hold one character a question, 1 or 0, in the order of ``questions.json``;
    ``metrics`` one score a question.
    """

    variant: str
    link: str
    snr_db: float
    seed: int
    correct: str
    first_token_correct: str
    answers: list[str]
    token_nmse_db: dict[str, float]
    effective_snr_db: dict[str, float]
    metrics: dict[str, list[float]] = field(default_factory=dict)

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
        )

    @property
    def name(self) -> str:
        return point_name(self.variant, self.link, self.snr_db, self.seed)


def write_point(run_dir: Path, point: Point) -> None:
    """Write one point's file in one step."""
    with write_atomically(point_file(run_dir, point.name)) as path:
        content = asdict(point)
        if not point.metrics:
            del content["metrics"]
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_points(run_dir: Path) -> list[Point]:
    """All finished points of a run, sorted by name.

    Raises
    ------
    UserError
        If a point's file is damaged.
    """
    points = []
    for path in sorted((run_dir / "points").glob("[!.]*.json")):
        try:
            points.append(Point(**json.loads(path.read_text(encoding="utf-8"))))
        except (json.JSONDecodeError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}): delete it and run the same command again") from error
    return points


def as_bools(marks: str) -> np.ndarray:
    """'0110' → bool [4]."""
    return np.frombuffer(marks.encode(), dtype=np.uint8) == ord("1")


def _marks(correct: list[bool]) -> str:
    """The inverse of `as_bools`."""
    return "".join(str(int(c)) for c in correct)
