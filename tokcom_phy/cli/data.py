"""The commands ``tokcom data``. They import what they need, so that start-up stays light."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tokcom_phy.cli.options import Seed, Workers
from tokcom_phy.experiments.profiles import PROFILES
from tokcom_phy.utils.errors import UserError, nearest

data_app = typer.Typer(help="Make, prepare or check a dataset folder.")

CORPUS = PROFILES["tiny"]["data"]["synthetic"]

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The dataset's folder.")]


@data_app.command()
def synthesize(
    directory: Folder,
    captions: Annotated[int, typer.Option(min=1, help="Captioned clips, for stage 1.")] = CORPUS["captions"],
    train_clips: Annotated[int, typer.Option(min=1, help="Clips asked about in training.")] = CORPUS["train_clips"],
    test_clips: Annotated[int, typer.Option(min=1, help="Clips asked about in the test.")] = CORPUS["test_clips"],
    train_questions: Annotated[int, typer.Option(min=1)] = CORPUS["train_questions"],
    test_questions: Annotated[int, typer.Option(min=1)] = CORPUS["test_questions"],
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Write the synthetic corpus: mp4 files and annotations in the formats of VALOR and MUSIC-AVQA; by default the tiny
    profile's."""
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
    selectors: Annotated[
        list[str] | None,
        typer.Option("--selector", metavar="NAME", help="slide (default), mean-pool or max-pool; repeatable."),
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
    from tokcom_phy.model.compression import COMPRESSIONS

    if profile not in PROFILES:
        raise UserError(f"unknown profile '{profile}': {nearest(profile, PROFILES)}")
    names = {**PROFILES[profile]["encoders"], **_pairs("--encoder", encoders or [], PROFILES[profile]["encoders"])}
    for selector in selectors or []:
        if selector not in COMPRESSIONS:
            raise UserError(f"--selector: unknown selector '{selector}': {nearest(selector, COMPRESSIONS)}")
    compressions = [how for how in COMPRESSIONS if how in (selectors or ["slide"])]
    kept = dict.fromkeys(names, lengths) if lengths else {m: [n] for m, n in PROFILES[profile]["lengths"].items()}
    wanted = {m: dict.fromkeys(compressions, several) for m, several in kept.items()}
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
