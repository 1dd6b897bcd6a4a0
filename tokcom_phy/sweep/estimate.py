"""What a run will take: time, memory and disk, by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path

from rich.filesize import decimal
from rich.table import Table

from tokcom_phy.experiments.plan import STAGE_NAMES, Job


@dataclass
class Step:
    """One row of the estimate: how many, seconds each [s] in one process, bytes each."""

    name: str
    count: int = 0
    seconds: float = 0.0
    disk: float = 0.0


@dataclass
class Estimate:
    """What a run will take.

    Attributes
    ----------
    steps : list of Step
        Seconds and bytes of all of a step together, the seconds in one process.
    workers : int
    jobs : float
        Until the last training or evaluation is done, some of which wait for others [s].
    start_up : float
        Until a new worker is at its first job [s].
    memory, gpu_memory : float
        Of this process and all workers together, at their peak [bytes].
    tried : int
        Trainings and points of the trial.
    took : float
        The trial's time [s].
    """

    workers: int
    steps: list[Step] = field(default_factory=list)
    jobs: float = 0.0
    start_up: float = 0.0
    memory: float = 0.0
    gpu_memory: float = 0.0
    tried: int = 0
    took: float = 0.0

    @property
    def seconds(self) -> float:
        """Time of the whole run [s]."""
        return sum(map(self.elapsed, self.steps)) + self.start_up

    def elapsed(self, step: Step) -> float:
        """Time of a step in the run [s]; trainings and evaluations, which overlap, share theirs as they do the work."""
        if step.name not in STAGE_NAMES.values():
            return step.seconds / self.workers
        return (
            self.jobs * step.seconds / sum(other.seconds for other in self.steps if other.name in STAGE_NAMES.values())
        )

    @property
    def disk(self) -> float:
        """Room that the run takes on the disk [bytes]."""
        return sum(step.disk for step in self.steps)

    def table(self) -> Table:
        """The estimate for a Rich console."""
        table = Table(title=f"Estimated from {self.tried} trial jobs in {_duration(self.took)}", title_justify="left")
        table.box = None
        for column in ("step", "number", "each", f"on {self.workers} worker{'s' if self.workers > 1 else ''}", "disk"):
            table.add_column(column, justify="left" if column == "step" else "right")
        for step in self.steps:
            each = _duration(step.seconds / step.count) if step.count else ""
            table.add_row(step.name, f"{step.count:,}", each, _duration(self.elapsed(step)), decimal(int(step.disk)))
        table.add_row("starting workers", "", "", _duration(self.start_up), "")
        table.add_row("[bold]together[/]", "", "", f"[bold]{_duration(self.seconds)}[/]", decimal(int(self.disk)))
        gpu = f", {decimal(int(self.gpu_memory))} of GPU memory" if self.gpu_memory else ""
        table.caption = f"memory: {decimal(int(self.memory))}, all processes together{gpu}"
        table.caption_justify = "left"
        return table


def makespan(jobs: Sequence[Job], seconds: Mapping[str, float], workers: int) -> float:
    """When the last job is done [s], if each takes the ``seconds`` under its name and begins as in a run: in order, on
    a free worker, after those that it needs."""
    waiting, done = list(jobs), set[str]()
    running: list[tuple[float, str]] = []
    now = 0.0
    while waiting or running:
        for job in list(waiting):
            if len(running) < workers and done.issuperset(job.needs):
                waiting.remove(job)
                heappush(running, (now + seconds[job.name], job.name))
        now, name = heappop(running)
        done.add(name)
    return now


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
