"""What a run prints when it ends: the accuracies, and where the time went."""

from collections.abc import Sequence

import pandas as pd
from rich.markup import escape
from rich.table import Table

from tokcom_phy.experiments.pool import Failure
from tokcom_phy.experiments.results import Point, accuracy_curves
from tokcom_phy.experiments.schema import MAJORITY


def results_table(points: list[Point], links: Sequence[str], variants: Sequence[str]) -> Table:
    """Accuracy on each link of each variant, in the orders given, a column an SNR; the last column holds the widest
    interval's half width."""
    curves = accuracy_curves(points)
    snrs = sorted(curves["snr_db"].unique())
    table = Table(title=r"Answer accuracy \[%] against SNR \[dB]", title_justify="left", padding=(0, 1, 0, 0), box=None)
    table.add_column("variant", no_wrap=True)
    for snr in snrs:
        table.add_column(f"{snr:g}", justify="right")
    table.add_column("±", justify="right")
    for link in links:
        table.add_row(f"[bold]{link}[/]")
        for variant in variants:
            curve = curves[(curves["link"] == link) & (curves["variant"] == variant)]
            if curve.empty:
                continue
            values = curve.set_index("snr_db")["value"]
            half = ((curve["ci_high"] - curve["ci_low"]) / 2).max()
            cells = [f"{100 * values[snr]:.1f}" if snr in values else "" for snr in snrs]
            table.add_row(f" {variant}", *cells, f"{100 * half:.1f}")
    return table


def differences_table(differences: pd.DataFrame) -> Table:
    """Paired differences of accuracies [points] with their intervals, a column an SNR; without those to the majority
    control, and without those that are zero everywhere."""
    differences = differences[differences["than_variant"] != MAJORITY]
    snrs = sorted(differences["snr_db"].unique())
    title = r"Paired differences of accuracy \[points], 95 % intervals, against SNR \[dB]"
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    table.add_column("difference", no_wrap=True)
    for snr in snrs:
        table.add_column(f"{snr:g}", justify="right")
    names = ["variant", "link", "than_variant", "than_link"]
    for (variant, link, than_variant, than_link), rows in differences.groupby(names, sort=False):
        if not rows["value"].any():
            continue
        table.add_row(
            f"{variant} − {than_variant}, {link}" if link == than_link else f"{link} − {than_link}, {variant}"
        )
        found = rows.set_index("snr_db")
        table.add_row("", *(_interval(found.loc[snr]) if snr in found.index else "" for snr in snrs))
    return table


def losses_table(losses: pd.DataFrame) -> Table:
    """Training loss [nat] at the end of stage 2, each variant's mean over the seeds, from `tabulate_losses`."""
    table = Table("variant", title="Training loss at the end of stage 2", title_justify="left", box=None)
    table.add_column("loss", justify="right")
    for variant, loss in losses.groupby("variant", sort=False)["value"].mean().items():
        table.add_row(str(variant), f"{loss:.3f}")
    return table


def _interval(difference: pd.Series) -> str:
    half = (difference["ci_high"] - difference["ci_low"]) / 2
    return f"{100 * difference['value']:+.1f}±{100 * half:.1f}"


def time_table(seconds: dict[str, float]) -> Table:
    """Where the time of a run went, by step."""
    total = sum(seconds.values())
    table = Table(title="Where the time went", title_justify="left", box=None)
    table.add_column("step")
    table.add_column("s", justify="right")
    table.add_column("%", justify="right")
    for step, spent in seconds.items():
        table.add_row(step, f"{spent:.1f}", f"{100 * spent / total:.0f}")
    table.add_row("[bold]together[/]", f"{total:.1f}", "100")
    return table


def failures_table(failures: Sequence[Failure]) -> Table:
    """What is missing at the end of a run, and why."""
    table = Table(title="What is missing", title_justify="left", box=None)
    table.add_column("training or point", overflow="fold")
    table.add_column("why", overflow="fold")
    for failure in failures:
        table.add_row(escape(failure.what), escape(failure.why))
    return table
