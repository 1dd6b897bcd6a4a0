"""Arguments and options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import builtin_names


def names(*kinds: str) -> Callable[[str], list[str]]:
    """What a shell completes: the built-in names of these kinds that begin as what was typed."""

    def complete(incomplete: str) -> list[str]:
        return [name for kind in kinds for name in builtin_names(kind) if name.startswith(incomplete)]

    return complete


def words(*choices: str) -> Callable[[str], list[str]]:
    """A shell completes one of a few words."""
    return lambda incomplete: [word for word in choices if word.startswith(incomplete)]


def trained_variant(text: str, example: str) -> tuple[Path, str]:
    """The run directory and the name of ``RUN:VARIANT``.

    Raises
    ------
    UserError
        If it has no colon; the message shows ``example``.
    """
    run_dir, colon, variant = text.rpartition(":")
    if not colon:
        raise UserError(f"'{text}' names no trained variant: write RUN:VARIANT, as in {example}")
    return Path(run_dir), variant


def system_of_run(text: str) -> tuple[Path, str]:
    """The run directory, which is there, and the name of ``--system RUN:VARIANT``.

    Raises
    ------
    UserError
        If there is no such run, or as `trained_variant`.
    """
    run_dir, variant = trained_variant(text, "--system runs/quickstart:aligned")
    if not run_dir.is_dir():
        raise UserError(
            f"there is no run {run_dir}: tokcom run quickstart makes one; --system RUN:VARIANT names another"
        )
    return run_dir, variant


def _check_snrs(values: list[float] | None) -> list[float]:
    from tokcom_phy.utils.bounds import Snr  # pydantic is slow to import

    for value in values or ():
        try:
            Snr.check(value)
        except ValueError as error:
            raise UserError(f"--snr: {error}") from error
    return values or []


def _check_snr(value: float | None) -> float | None:
    _check_snrs(None if value is None else [value])
    return value


_LINK = "a built-in one by name, or your own YAML file by path."

Experiment = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="A built-in experiment by name, or your own YAML file by path.",
        autocompletion=names("experiments"),
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(help="Models and data: 'tiny' (shipped) or 'paper'.", autocompletion=words("tiny", "paper")),
]
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
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the experiment with every setting resolved, as YAML, and run nothing.")
]
Seed = Annotated[int, typer.Option(min=0, help="All that is random follows from it.")]
LinkArgument = Annotated[str, typer.Argument(metavar="LINK", help=f"A link: {_LINK}", autocompletion=names("links"))]
LinkOption = Annotated[
    str, typer.Option("--link", metavar="LINK", help=f"A link: of the run, {_LINK}", autocompletion=names("links"))
]
LinkOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--link", metavar="LINK", help=f"A link: of the run, {_LINK} Repeatable.", autocompletion=names("links")
    ),
]
LinkOverrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the link; repeatable.")
]
Snrs = Annotated[
    list[float] | None, typer.Option("--snr", metavar="DB", help="SNR in dB; repeatable.", callback=_check_snrs)
]
Snr = Annotated[
    float | None,
    typer.Option("--snr", metavar="DB", help="SNR in dB; by default that of the link's budget.", callback=_check_snr),
]
