"""The command ``tokcom ask``. It imports what it needs, so that start-up stays light."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokcom_phy.cli.options import LinkOption, Seed, Snrs, system_of_run

ask_app = typer.Typer()


@ask_app.command()
def ask(
    clip: Annotated[
        str | None, typer.Argument(metavar="[CLIP]", help="A media file, or a clip of the run; by default its first.")
    ] = None,
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="By default the run's first about the clip.")
    ] = None,
    system: Annotated[
        str, typer.Option(metavar="RUN:VARIANT", help="Who is asked: a trained variant of a run.")
    ] = "runs/quickstart:aligned",
    link: LinkOption = "ofdm-tdl-c",
    snr_db: Snrs = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("ask.html"),
) -> None:
    """Ask one question about one clip over a link at several SNRs, −20 to 20 dB by default; writes one page to show."""
    from tokcom_phy.results.ask import SNRS_DB, ask
    from tokcom_phy.results.ask_page import check_target, write_page
    from tokcom_phy.results.run import Run

    run_dir, variant = system_of_run(system)
    check_target(out)
    asked = ask(Run.open(run_dir), variant, clip, question, link=link, snr_db=snr_db or SNRS_DB, seed=seed)
    table = Table("SNR", "answer", "probability", "", box=None)
    for heard in asked.hearings:
        probability = dict(heard.likeliest).get(heard.answer)
        shown = "" if probability is None else f"{100 * probability:.0f} %"
        verdict = "" if heard.right is None else "right" if heard.right else "wrong"
        table.add_row(f"{heard.snr_db:g} dB", Text(heard.answer or "(nothing)"), shown, verdict)
    console = Console()
    console.print(Text(asked.question))
    console.print(Text(f"truth: {asked.truth if asked.truth is not None else 'not known'}"))
    console.print(table)
    print(write_page(asked, out))
