"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Experiment = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="A built-in experiment by name, or your own YAML file by path.")
]
Profile = Annotated[str | None, typer.Option(help="Models and data: 'tiny' (shipped) or 'paper'.")]
RunDirectory = Annotated[Path | None, typer.Option(metavar="DIR", help="Run directory; by default runs/NAME.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting of the experiment; repeatable.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; by default one per core, at most 4.")]
Ray = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Do the jobs on a Ray cluster: HOST:PORT of its head, or 'auto'."),
]
GpusPerTask = Annotated[float | None, typer.Option(min=0, help="With --ray: GPUs, or fraction of one, per worker.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete what an earlier run left in the run directory.")]
Seed = Annotated[int, typer.Option(min=0, help="All that is random follows from it.")]
