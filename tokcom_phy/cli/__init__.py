"""The command line ``tokcom``: names, options and errors; what a command does stands in the module it calls.

Start-up stays light: PyTorch, transformers and Sionna are imported by the command that needs them; hence the
imports inside its functions.
"""

import errno
import gc
import io
import os
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tokcom_phy.cli.ask import ask_app
from tokcom_phy.cli.data import data_app
from tokcom_phy.cli.links import links_app
from tokcom_phy.cli.map import map_app
from tokcom_phy.cli.options import (
    DryRun,
    Experiment,
    Fresh,
    GpusPerTask,
    LinkOptions,
    Overrides,
    Profile,
    Ray,
    RunDirectory,
    Snrs,
    Workers,
    names,
    trained_variant,
    words,
)
from tokcom_phy.cli.pretrain import pretrain_app
from tokcom_phy.cli.recipes import recipes_app
from tokcom_phy.utils.errors import UserError, printable, quoted

if TYPE_CHECKING:
    from tokcom_phy.experiments.plan import Stage

INTERRUPTED = 130

app = typer.Typer(
    name="tokcom",
    help="Multimodal token communication over realistic multiuser radio links, into a large language model.",
    epilog="Start with: tokcom run quickstart",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; the entry point of ``tokcom``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the locale has no Unicode
    code = execute(sys.argv[1:])
    gc.freeze()  # else Python takes seconds to collect what large imports made
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """Run one command and return its exit code.

    A user's mistake ends in one line on standard error and exit code 2; ``--debug``, anywhere on the line, shows the
    traceback instead.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    _quieten_libraries()
    try:
        code = app(arguments, prog_name="tokcom", standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (UserError, typer.TyperException, OSError, UnicodeEncodeError) as error:
        message = _one_line(error)
        if debug or message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2
    if code == INTERRUPTED:
        print("interrupted: the same command continues where this one stopped", file=sys.stderr)
    return code or 0


def _one_line(error: Exception) -> str | None:
    """What to tell the user, or None when the error is not the user's to mend."""
    if isinstance(error, UserError):
        return printable(" ".join(str(error).split()))
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        where = f" (see {context.command_path} --help)" if context else ""
        return error.format_message().rstrip(".") + where
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission for {error.filename}; choose a folder you may write to"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {error.filename}; make room, then the same command continues"
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR):
        return f"cannot use {quoted(str(error.filename))}: {error.strerror}; choose another path"
    if isinstance(error, UnicodeEncodeError) and sys.getfilesystemencoding() != "utf-8":
        return f"this locale has no file names like {error.object!a:.80}: set LC_ALL=C.UTF-8, or PYTHONUTF8=1"
    return None


def _quieten_libraries() -> None:
    """Leave progress and warnings to the toolkit itself; by environment, so that worker processes keep quiet too."""
    for name, value in {
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"tokcom-phy {metadata.version('tokcom-phy')}")
        raise typer.Exit


@app.callback()
def global_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before any command; `execute` reads --debug, this declares it for the help."""
    from tokcom_phy.radio.engine import check_request

    if context.invoked_subcommand != "doctor":
        check_request()


def _add_experiment_command(name: str, until: "Stage", summary: str) -> None:
    """Add a command that runs an experiment up to a stage."""

    @app.command(name, help=summary)
    def command(
        experiment: Experiment,
        profile: Profile = None,
        out: RunDirectory = None,
        overrides: Overrides = None,
        workers: Workers = None,
        ray: Ray = None,
        gpus_per_task: GpusPerTask = None,
        fresh: Fresh = False,
        dry_run: DryRun = False,
    ) -> None:
        if dry_run:
            from tokcom_phy.experiments.loading import as_recipe, load_experiment

            print(as_recipe(load_experiment(experiment, profile, overrides)), end="")
            return
        from tokcom_phy.sweep.allocate import run_with_simulation

        run_with_simulation(
            experiment,
            profile=profile,
            out=out,
            overrides=overrides,
            workers=workers,
            ray=ray,
            gpus_per_task=gpus_per_task,
            fresh=fresh,
            until=until,
        )


_add_experiment_command(
    "run", "evaluate", "Run an experiment from media files to figures; an interrupted one continues."
)
_add_experiment_command("align", "align", "Stage 1 of an experiment: cross-modal alignment.")
_add_experiment_command("finetune", "finetune", "Stage 2 of an experiment: fine-tuning, after what it needs.")


@app.command()
def evaluate(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT|RUN:VARIANT",
            help="An experiment, or a trained variant of a run.",
            autocompletion=names("experiments"),
        ),
    ],
    links: LinkOptions = None,
    overrides: Overrides = None,
    snr_db: Snrs = None,
    profile: Profile = None,
    out: RunDirectory = None,
    workers: Workers = None,
    ray: Ray = None,
    gpus_per_task: GpusPerTask = None,
    fresh: Fresh = False,
) -> None:
    """Evaluate an experiment, after what it needs; or a trained variant of a run over other links.

    With RUN:VARIANT, --link names links, --snr SNRs if not the run's, and --set changes keys of the links; the points
    are compared with the run's own.
    """
    if ":" not in experiment:
        if links or snr_db:
            raise UserError("--link and --snr are for a trained variant: name it as RUN:VARIANT")
        from tokcom_phy.sweep.allocate import run_with_simulation

        run_with_simulation(
            experiment,
            profile=profile,
            out=out,
            overrides=overrides,
            workers=workers,
            ray=ray,
            gpus_per_task=gpus_per_task,
            fresh=fresh,
        )
        return
    from tokcom_phy.experiments.overrides import parse_overrides
    from tokcom_phy.sweep.reevaluate import reevaluate

    for option, value in {"--profile": profile, "--ray": ray, "--gpus-per-task": gpus_per_task}.items():
        if value is not None:
            raise UserError(f"{option} does not go with RUN:VARIANT: leave it out")
    run_dir, variant = trained_variant(experiment, "runs/quickstart:aligned")
    changes = parse_overrides(overrides or [], "speed=30")
    reevaluate(run_dir, variant, links or [], changes, snr_db or [], out=out, workers=workers, fresh=fresh)


@app.command()
def validate(
    experiment: Experiment,
    profile: Profile = None,
    out: RunDirectory = None,
    overrides: Overrides = None,
    workers: Workers = None,
) -> None:
    """Build everything, try each kind of step and point once, and estimate the run."""
    from tokcom_phy.experiments.loading import load_experiment
    from tokcom_phy.sweep.trial import validate

    settings = load_experiment(experiment, profile, overrides)
    run_dir = out or Path("runs") / settings.name
    estimate = validate(settings, run_dir, workers or min(os.cpu_count() or 1, 4))
    Console().print(estimate.table())


@app.command()
def plot(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The directory of a run.")],
    style: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ieee or nature for a journal's column, with the text of its setup in LaTeX; slides for a talk.",
            autocompletion=words("ieee", "nature", "slides"),
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="A,B", help="Kinds of files: pdf, png, svg, pgf.")
    ] = "pdf,png",
    width: Annotated[
        float | None,
        typer.Option(min=2.5, max=20, metavar="INCHES", help="Width of the figures; by default the style's, or 7.16."),
    ] = None,
    trust_figures: Annotated[
        bool, typer.Option("--trust-figures", help="Run the Python files that the run names as figures, too.")
    ] = False,
) -> None:
    """Draw a run's figures again, each with its data as CSV."""
    from tokcom_phy.results.figures import draw_figures
    from tokcom_phy.results.run import Run
    from tokcom_phy.results.setup_text import write_setup

    run = Run.open(run_dir)
    kinds = [name.strip() for name in formats.split(",")]
    for path in draw_figures(run, width, style=style, formats=kinds, own=trust_figures):
        print(path)
    if style in ("ieee", "nature"):
        print(write_setup(run))


@app.command()
def report(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="The directories of one or more runs.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HTML file; by default report.html in the run directory.")
    ] = None,
) -> None:
    """Write one self-contained HTML page about runs: figures, tables, budgets, settings and provenance."""
    from tokcom_phy.results.report import write_report

    print(write_report(run_dirs, out))


@app.command()
def budget(
    experiment: Experiment,
    profile: Profile = None,
    overrides: Overrides = None,
    media: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Dataset folder: compare with sending its files.")
    ] = None,
    question_tokens: Annotated[int, typer.Option(min=1, help="Length of a question that is sent over the air.")] = 16,
) -> None:
    """Channel uses, bandwidth, latency and energy of one question, per variant and link."""
    from tokcom_phy.experiments.loading import load_experiment
    from tokcom_phy.results.budget_tables import budget_tables

    settings = load_experiment(experiment, profile, overrides)
    Console().print(budget_tables(settings, media or settings.data.root, question_tokens))


@app.command()
def allocate(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT|RUN_DIR",
            help="An experiment with an allocation, which is run first, or its run directory.",
            autocompletion=names("experiments"),
        ),
    ],
    bandwidth: Annotated[
        float | None,
        typer.Option(metavar="HZ", help="Bandwidth of all users in Hz; by default the experiment's middle one."),
    ] = None,
    power: Annotated[
        float | None, typer.Option(metavar="DBM", help="Power budget in dBm; by default the experiment's middle one.")
    ] = None,
    profile: Profile = None,
    out: RunDirectory = None,
    overrides: Overrides = None,
    workers: Workers = None,
) -> None:
    """Allocate bandwidth, power and token lengths together, by the loss that a run measured."""
    from tokcom_phy.sweep.allocate import allocate

    tables = allocate(experiment, bandwidth, power, profile=profile, out=out, overrides=overrides, workers=workers)
    Console().print(tables)


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE.pth", help="A checkpoint of the paper's published code.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="New folder; by default FILE without .pth.")] = None,
    foundation: Annotated[
        str | None, typer.Option(help="The language model it was trained with; by default the paper's.")
    ] = None,
    reliable: Annotated[
        bool, typer.Option("--reliable", help="The question reaches the model as it is; by default over the air.")
    ] = False,
) -> None:
    """Turn a checkpoint of the paper's published code into the folder of a system; nothing is unpickled."""
    from tokcom_phy.experiments.profiles import PROFILES
    from tokcom_phy.model.published import import_checkpoint

    model = foundation or PROFILES["paper"]["foundation"]
    print(import_checkpoint(file, out or file.with_suffix(""), model, "reliable" if reliable else "on-air"))


@app.command()
def doctor() -> None:
    """Tell what is installed, which engine there is, what is missing and how to get it."""
    from tokcom_phy.doctor import examine, table

    findings = examine()
    Console().print(table(findings))
    if not all(finding.sound for finding in findings):
        raise typer.Exit(1)


app.add_typer(recipes_app)
app.add_typer(ask_app)
app.add_typer(map_app)
app.add_typer(data_app, name="data")
app.add_typer(links_app, name="links")
app.add_typer(pretrain_app, name="pretrain")
