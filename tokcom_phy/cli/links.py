"""The commands ``tokcom links``. They import what they need, so that start-up stays light."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tokcom_phy.cli.options import LinkArgument, LinkOverrides
from tokcom_phy.utils.errors import UserError

links_app = typer.Typer(help="List the links there are, or show one.", invoke_without_command=True)


@links_app.callback()
def links(context: typer.Context) -> None:
    """List the links there are, or show one."""
    if context.invoked_subcommand is None:
        from tokcom_phy.radio.catalogue import describe_links

        Console().print(describe_links())


@links_app.command("show")
def show_link(
    name: LinkArgument,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it into this png, pdf or svg file.")] = None,
    overrides: LinkOverrides = None,
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
