"""The command ``tokcom map``. It imports what it needs, so that start-up stays light."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from tokcom_phy.cli.options import LinkArgument, LinkOverrides, Seed, Snr, system_of_run, words

map_app = typer.Typer()


@map_app.command("map")
def map_command(
    link: LinkArgument,
    system: Annotated[
        str, typer.Option(metavar="RUN:VARIANT", help="Who answers: a trained variant of a run.")
    ] = "runs/quickstart:aligned",
    snr_db: Snr = None,
    overrides: LinkOverrides = None,
    cell_size: Annotated[
        float, typer.Option(min=0.1, max=1000, metavar="METRES", help="Distance of neighbouring places.")
    ] = 10.0,
    places: Annotated[int, typer.Option(min=0, max=1000, help="Random places that are simulated as a check.")] = 20,
    seed: Seed = 0,
    style: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ieee or nature for a journal's column, slides for a talk.",
            autocompletion=words("ieee", "nature", "slides"),
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder; by default beside the run, named after all three.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what an earlier map left there.")] = False,
) -> None:
    """Map how often a trained system answers right at each place of a ray-traced LINK; an interrupted map continues."""
    from tokcom_phy.experiments.overrides import parse_overrides
    from tokcom_phy.results.styles import find_style
    from tokcom_phy.sweep.map import map_answers

    run_dir, variant = system_of_run(system)
    find_style(style)
    found = map_answers(
        link,
        run_dir,
        variant,
        changes=parse_overrides(overrides or [], "speed=30"),
        snr_db=snr_db,
        cell_size=cell_size,
        places=places,
        seed=seed,
        style=style,
        out=out,
        fresh=fresh,
    )
    console = Console()
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("x [m]", "y [m]", "SINR [dB]", "map [%]", "simulated [%]", "interval [%]", ""):
        table.add_column(column, justify="right")
    for row in found.check.itertuples():
        interval = f"{100 * row.simulated_low:.1f} to {100 * row.simulated_high:.1f}"
        cells = (row.x_m, row.y_m, row.sinr_db, 100 * row.predicted, 100 * row.simulated)
        table.add_row(*(f"{cell:.1f}" for cell in cells), interval, "within" if row.within else "outside")
    if len(found.check):
        console.print(table)
    console.print(found.verdict)
    print(found.folder)
