"""What scheduler and workers tell each other: where a worker starts, progress, failures and outcomes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import write_atomically


@dataclass(frozen=True)
class Start:
    """Where a worker starts: the run that its jobs belong to.

    Attributes
    ----------
    experiment : Experiment
    run_dir, root, store : run directory, dataset's folder, feature store or None; absolute
    folder : where the command was given: relative paths of links mean this
    """

    experiment: Experiment
    run_dir: Path
    root: Path
    store: Path | None
    folder: Path


@dataclass(frozen=True)
class Report:
    """Progress of a job: units done so far, and the accuracy of the point or the loss of the step just finished."""

    job: Job
    done: int
    accuracy: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Failure:
    """What a job could not leave behind, why in one line, and the trace for the log."""

    what: str
    why: str
    trace: str = ""

    def log(self, folder: Path) -> None:
        """Write the trace into a file of ``folder``; where that cannot be written, there is none."""
        with suppress(UserError), write_atomically(folder / f"{self.what.replace(' ', '_')}.txt") as path:
            path.write_text(self.trace or self.why)


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    job : Job
    seconds : float
    failures : what is missing; empty when all went well
    death : how the worker died that had the job, empty if it did not
    memory, gpu_memory : what its worker has needed at its peak so far [bytes]
    """

    job: Job
    seconds: float
    failures: tuple[Failure, ...] = ()
    death: str = ""
    memory: int = 0
    gpu_memory: int = 0


OnProgress = Callable[[Report], None]


def missing(job: Job, why: str, trace: str = "") -> tuple[Failure, ...]:
    """All that a job should have left behind, as failures."""
    return tuple(Failure(what, why, trace) for what in job.outputs)
