"""The commands ``tokcom pretrain``. They import what they need, so that start-up stays light."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokcom_phy.cli.options import Seed

SHIPPED_MODELS = Path(__file__).resolve().parents[1] / "assets" / "tiny"

pretrain_app = typer.Typer(help="Train the tiny models that are shipped, from the synthetic corpus.")

Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps; by default those of the shipped model.")]
ModelFolder = Annotated[Path | None, typer.Option(metavar="DIR", help="By default the package's own models.")]


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others keep the function's own defaults."""
    return {name: value for name, value in options.items() if value is not None}


@pretrain_app.command("all")
def pretrain_all(seed: Seed = 0, out: ModelFolder = None) -> None:
    """All three, one after the other. A call that was interrupted is continued by the same call."""
    from tokcom_phy.pretraining.all_models import pretrain_all

    pretrain_all(out or SHIPPED_MODELS, seed=seed)


@pretrain_app.command("foundation")
def pretrain_foundation(steps: Steps = None, seed: Seed = 0, out: ModelFolder = None) -> None:
    """The tokenizer and the small language model."""
    from tokcom_phy.pretraining.language_model import pretrain_foundation

    pretrain_foundation(out or SHIPPED_MODELS / "foundation", **_given(steps=steps), seed=seed)


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
