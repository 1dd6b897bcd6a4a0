"""The command line ``tokcom``: names, options and errors; what a command does stands in the module it calls.

Start-up stays light: PyTorch, transformers and Sionna are imported by the command that needs them.
"""

import errno
import os
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from tokcom_phy.utils.errors import UserError, nearest, printable

if TYPE_CHECKING:
    from tokcom_phy.experiments.plan import Stage

INTERRUPTED = 130
SHIPPED_MODELS = Path(__file__).resolve().parent / "assets" / "tiny"

app = typer.Typer(
    name="tokcom",
    help="Multimodal token communication over realistic multiuser radio links, into a large language model.",
    epilog="Start with: tokcom run quickstart",
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Make, prepare or check a dataset folder.")
links_app = typer.Typer(help="List the links there are, or show one.", invoke_without_command=True)
pretrain_app = typer.Typer(help="Train the tiny models that are shipped, from the synthetic corpus.")

Experiment = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="A built-in experiment by name, or your own YAML file by path.")
]
Link = Annotated[str, typer.Argument(metavar="LINK", help="A built-in link by name, or your own YAML file by path.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The dataset's folder.")]
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
Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps; by default those of the shipped model.")]
ModelFolder = Annotated[Path | None, typer.Option(metavar="DIR", help="By default the package's own models.")]


def main() -> None:
    """Run the command line; the entry point of ``tokcom``."""
    sys.exit(execute(sys.argv[1:]))


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
    except (UserError, typer.TyperException, OSError) as error:
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


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"tokcom-phy {metadata.version('tokcom-phy')}")
        raise typer.Exit


@app.callback()
def options(
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
    ) -> None:
        from tokcom_phy.sweep.run import run

        run(
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
_add_experiment_command("evaluate", "evaluate", "Evaluate an experiment, after what it needs: tables and figures.")


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
def plot(run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The directory of a run.")]) -> None:
    """Draw a run's figures again."""
    from tokcom_phy.results.figures import draw_figures

    for path in draw_figures(run_dir):
        print(path)


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


@links_app.callback()
def links(context: typer.Context) -> None:
    """List the links there are, or show one."""
    if context.invoked_subcommand is None:
        from tokcom_phy.radio.catalogue import describe_links

        Console().print(describe_links())


@links_app.command("show")
def show_link(
    name: Link,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it into this png, pdf or svg file.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the link; repeatable.")
    ] = None,
) -> None:
    """Show the settings of one link, and draw its channel."""
    import yaml

    from tokcom_phy.experiments.overrides import parse_overrides
    from tokcom_phy.radio import load_link

    if plot and plot.suffix not in (".png", ".pdf", ".svg"):
        raise UserError(f"cannot draw into {plot}: name a .png, .pdf or .svg file")
    link = load_link(name, **parse_overrides(overrides or [], "speed=30"))
    settings = {"name": link.name, **link.config.model_dump(mode="json")}
    print(yaml.safe_dump(settings, sort_keys=False, default_flow_style=None), end="")
    if plot:
        from tokcom_phy.radio.plotting import draw_link

        draw_link(link, plot)
        print(f"picture: {plot}")


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
    from tokcom_phy.results.budget import budget_tables

    settings = load_experiment(experiment, profile, overrides)
    Console().print(budget_tables(settings, media or settings.data.root, question_tokens))


@data_app.command()
def synthesize(
    directory: Folder,
    captions: Annotated[int, typer.Option(min=1, help="Captioned clips, for stage 1.")] = 3000,
    train_clips: Annotated[int, typer.Option(min=1, help="Clips that are asked about in training.")] = 1500,
    test_clips: Annotated[int, typer.Option(min=1, help="Clips that are asked about in the test.")] = 300,
    train_questions: Annotated[int, typer.Option(min=1)] = 6000,
    test_questions: Annotated[int, typer.Option(min=1)] = 1000,
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Write the synthetic corpus: mp4 files and annotations in the formats of VALOR and MUSIC-AVQA."""
    from tokcom_phy.synthetic.corpus import synthesize

    synthesize(
        directory,
        captions=captions,
        train_clips=train_clips,
        test_clips=test_clips,
        train_questions=train_questions,
        test_questions=test_questions,
        seed=seed,
        workers=workers,
    )


@data_app.command()
def prepare(
    directory: Folder,
    profile: Annotated[str, typer.Option(help="Whose encoders and token lengths: 'tiny' or 'paper'.")] = "tiny",
    lengths: Annotated[
        list[int] | None, typer.Option("--length", min=1, help="Tokens per modality to keep; repeatable.")
    ] = None,
    encoders: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder", metavar="M=NAME", help="Another encoder of modality M: hub name or folder; repeatable."
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=1e-3, help="Take frames at this rate, 0.6 as the paper's code does; by default evenly."),
    ] = None,
    audio_windows: Annotated[
        int, typer.Option(min=1, help="Equal parts of a clip's sound, each encoded by itself; 1: its beginning.")
    ] = 1,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Feature store; by default DIR/features.")] = None,
    workers: Workers = None,
    device: Annotated[str | None, typer.Option(help="Where encoders run; by default the GPU if there is one.")] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only the I-th of N parts; without it, all parts are merged.")
    ] = None,
) -> None:
    """Decode and encode every clip once, into a feature store."""
    from tokcom_phy.data.prepare import prepare
    from tokcom_phy.experiments.profiles import PROFILES

    if profile not in PROFILES:
        raise UserError(f"unknown profile '{profile}': {nearest(profile, PROFILES)}")
    names = {**PROFILES[profile]["encoders"], **_pairs("--encoder", encoders or [], PROFILES[profile]["encoders"])}
    wanted = dict.fromkeys(names, lengths) if lengths else PROFILES[profile]["lengths"]
    part = re.fullmatch(r"(\d+)/(\d+)", shard or "1/1")
    if part is None:
        raise UserError(f"--shard {shard}: write I/N, for example --shard 1/4 for the first of four parts")
    print(
        prepare(
            directory,
            names,
            wanted,
            out,
            workers or os.cpu_count() or 1,
            fps=fps,
            audio_windows=audio_windows,
            device=device,
            shard=(int(part[1]), int(part[2])) if shard else None,
        )
    )
    if shard:
        print(f"part {shard} is there; when all are, the same command without --shard merges them")


@data_app.command()
def check(
    directory: Folder,
    everything: Annotated[bool, typer.Option("--all", help="Name each issue, not only the first of a kind.")] = False,
) -> None:
    """Tell all that is missing or odd in a dataset folder; exit code 1 if anything is."""
    from tokcom_phy.data.check import check

    report = check(directory)
    Console().print(report.table(everything))
    if not report.clean:
        raise typer.Exit(1)


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


def _pairs(option: str, texts: list[str], names: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts as a dictionary, each name one of ``names``."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and value):
            raise UserError(f"{option} {text}: write NAME=VALUE")
        if name not in names:
            raise UserError(f"{option} {text}: unknown '{name}': {nearest(name, names)}")
        pairs[name] = value
    return pairs


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others keep the function's own defaults."""
    return {name: value for name, value in options.items() if value is not None}


@pretrain_app.command("foundation")
def pretrain_foundation(
    steps: Steps = None,
    seed: Seed = 0,
    start: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Continue from an earlier result instead of random weights.")
    ] = None,
    out: ModelFolder = None,
) -> None:
    """The tokenizer and the small language model."""
    from tokcom_phy.pretraining.language_model import pretrain_foundation

    pretrain_foundation(out or SHIPPED_MODELS / "foundation", **_given(steps=steps), seed=seed, start=start)


@pretrain_app.command("audio")
def pretrain_audio(steps: Steps = None, seed: Seed = 0, out: ModelFolder = None) -> None:
    """The small AST."""
    from tokcom_phy.pretraining.audio import pretrain_audio

    pretrain_audio(out or SHIPPED_MODELS / "audio", **_given(steps=steps), seed=seed)


@pretrain_app.command("video")
def pretrain_video(steps: Steps = None, seed: Seed = 0, out: ModelFolder = None) -> None:
    """The small ViViT."""
    from tokcom_phy.pretraining.video import pretrain_video

    pretrain_video(out or SHIPPED_MODELS / "video", **_given(steps=steps), seed=seed)


@app.command()
def doctor() -> None:
    """Tell what is installed, which engine there is, what is missing and how to get it."""
    from tokcom_phy.doctor import examine, table

    findings = examine()
    Console().print(table(findings))
    if not all(finding.sound for finding in findings):
        raise typer.Exit(1)


app.add_typer(data_app, name="data")
app.add_typer(links_app, name="links")
app.add_typer(pretrain_app, name="pretrain")
