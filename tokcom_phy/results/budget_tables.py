"""The budget of one question as the command ``tokcom budget`` prints it."""

from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.results.budget import BITS_PER_VALUE, mean_media_bits, payloads, tabulate_budget
from tokcom_phy.utils.errors import UserError


def budget_tables(experiment: Experiment, media: Path | None, question_tokens: int) -> Group:
    """The cost of one question on every link: as analog tokens, as digital tokens, and as the clip itself.

    Parameters
    ----------
    experiment : Experiment
    media : Path, optional
        A dataset's folder; the mean size of its video files is that of a clip. Without it, or where it holds none, that
        comparison is left out.
    question_tokens : int
        Length of a question that is sent over the air.

    Returns
    -------
    Group
        A table for the variants that send the same, no wider than 80 columns.

    Raises
    ------
    UserError
        If the foundation model is not to be had, there is no folder ``media``, or a link cannot send what it is to.
    """
    media_bits = mean_media_bits(media) if media else {}
    links = {name: experiment.resolved().links[name].load() for name in experiment.resolved().evaluated_links}
    budget = tabulate_budget(experiment, links, question_tokens, media_bits)
    if faults := [fault for fault in budget["fault"] if fault]:
        raise UserError(faults[0])
    width = foundation_width(experiment.foundation)
    parts: list[RenderableType] = []
    for payload in payloads(experiment, budget, question_tokens):
        parts += [f"\n[bold]{escape(', '.join(payload.variants))}[/]", payload.describe(width)]
        if len(payload.costs):
            parts.append(_table(payload.costs))
    parts.append(
        f"digital: tokens of {BITS_PER_VALUE} bits a value, 16-QAM at rate 1/2, in as many uses as that takes; digital "
        "links send theirs in as many as analog tokens"
        + (
            "; compressed: the clip's file at 2 bits a use; uncompressed: its pictures at 24 bits a pixel and its "
            "sound at 16 bits a sample, likewise"
            if media_bits
            else ""
        )
        + "; energy at 0.2 µJ a symbol, 23 dBm over 1 MHz: received alike on all links at equal path loss"
    )
    return Group(*parts)


def _table(costs: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("link", "sent as"):
        table.add_column(column, overflow="fold")
    for column in ("uses", "elements", "slots", "ms", "kHz", "mJ", "overhead"):
        table.add_column(column, justify="right")
    for link, rows in costs.groupby("link", sort=False):
        names = [str(link), *[""] * (len(rows) - 1)]
        for name, row in zip(names, rows.itertuples(), strict=True):
            table.add_row(
                escape(name),
                escape(row.sent_as),
                f"{row.channel_uses}",
                f"{row.resource_elements}",
                f"{row.slots or ''}",
                f"{1e3 * row.latency:.3g}",
                f"{row.bandwidth / 1e3:.0f}",
                f"{1e3 * row.energy:.3g}",
                f"{100 * row.overhead:.0f} %",
            )
    return table
