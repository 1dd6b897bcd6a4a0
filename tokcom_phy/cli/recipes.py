"""The commands ``tokcom list`` and ``tokcom copy``. They import what they need, so that start-up stays light."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tokcom_phy.cli.options import names, words

recipes_app = typer.Typer()


@recipes_app.command("list")
def list_recipes(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help="experiments, links or figures; by default all three.",
            autocompletion=words("experiments", "links", "figures"),
        ),
    ] = None,
) -> None:
    """List what comes with the toolkit, each in a line: experiments, links and figures."""
    from tokcom_phy.experiments.catalogue import list_builtins

    console = Console()
    for table in list_builtins(kind):
        console.print(table)


@recipes_app.command()
def copy(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="An experiment, link or figure by name, or your own file by path.",
            autocompletion=names("experiments", "links", "plots"),
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="New file: .yaml for an experiment or a link, .py for a figure."),
    ],
) -> None:
    """Copy an experiment, a link or a figure into a file to edit."""
    from tokcom_phy.experiments.copying import copy_recipe

    copy_recipe(name, target)
    print(target)
