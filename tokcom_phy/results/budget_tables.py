"""The budget of one question as the command ``tokcom budget`` prints it."""

import math
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.radio import Link, LinkFamilyConfig
from tokcom_phy.radio.link_budget import shadowing_db
from tokcom_phy.results.budget import BITS_PER_VALUE, mean_media_bits, payloads, tabulate_budget
from tokcom_phy.results.harq_cost import REALISATIONS, tabulate_harq
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
        The link budget of each link that has one, then a table for the variants that send the same; no wider than 80
        columns.

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
    harq = tabulate_harq(experiment, links, question_tokens)
    width = foundation_width(experiment.foundation)
    parts: list[RenderableType] = [link_budget_table(link) for link in links.values() if link.config.uplink.budget]
    for payload in payloads(experiment, budget, question_tokens):
        parts += [f"\n[bold]{escape(', '.join(payload.variants))}[/]", payload.describe(width)]
        if len(payload.costs):
            parts.append(_table(payload.costs))
        means = harq[harq["tokens"] == payload.tokens]
        if len(means):
            parts += [
                f"in the mean over all rounds of HARQ and chosen schemes ({REALISATIONS} realisations)",
                _harq_table(means),
            ]
    parts.append(
        f"digital: tokens of {BITS_PER_VALUE} bits a value, 16-QAM at rate 1/2, in as many uses as that takes; digital "
        "links send theirs in as many as analog tokens"
        + (
            "; compressed: the clip's file at 2 bits a use; uncompressed: its pictures at 24 bits a pixel and its "
            "sound at 16 bits a sample, likewise"
            if media_bits
            else ""
        )
        + "; energy at 0.2 µJ a symbol, 23 dBm over 1 MHz: received alike on all links at equal path loss; with a link "
        "budget, at its transmit power"
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


def link_budget_table(link: Link) -> Table:
    """The link budget of a link, line by line, a column for each user that has numbers of its own."""
    config = link.config.uplink
    assert config.budget is not None
    users = config.budget.users
    budgets = [link.budget_of(user) for user in users or [None]]
    table = Table(title=f"link budget: {link.name}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for user in users or ["all users"]:
        table.add_column(escape(user), justify="right")
    table.add_column("")
    lines: list[tuple[str, list[float | None], str]] = [
        ("transmit power", [b.tx_power_dbm for b in budgets], "dBm"),
        ("+ antenna gain", [b.tx_antenna_gain_dbi for b in budgets], "dBi"),
        ("= EIRP", [b.eirp_dbm for b in budgets], "dBm"),
        ("distance", [b.distance_m for b in budgets], "m"),
        (f"− path loss{_path_loss_in_words(config)}", [b.path_loss_db for b in budgets], "dB"),
        ("+ base station's antenna gain", [b.rx_antenna_gain_dbi for b in budgets], "dBi"),
        ("= received power an antenna", [b.rx_power_dbm for b in budgets], "dBm"),
        ("  noise density kT + noise figure", [b.noise_density_dbm_hz for b in budgets], "dBm/Hz"),
        ("+ bandwidth", [10 * math.log10(b.bandwidth_hz) for b in budgets], "dBHz"),
        ("= noise power", [b.noise_power_dbm for b in budgets], "dBm"),
        ("SNR = received power − noise power", [b.snr_db for b in budgets], "dB"),
        ("shadowing, standard deviation", [shadowing_db(config, user) for user in users or [""]], "dB"),
    ]
    for name, numbers, unit in lines:
        if any(number is not None for number in numbers):
            table.add_row(name, *("" if number is None else f"{number:.1f}" for number in numbers), unit)
    return table


def _path_loss_in_words(config: LinkFamilyConfig) -> str:
    budget = config.budget
    assert budget is not None
    if config.true_path_gains:
        return ", mean of positions, antennas included"
    if budget.distance_m is None:
        return ""
    sight = "" if budget.path_loss == "free-space" else ", LoS" if budget.line_of_sight else ", NLoS"
    return f", {budget.path_loss}{sight}"


def _harq_table(means: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("link", overflow="fold")
    for column in ("SNR [dB]", "uses", "ms", "mJ"):
        table.add_column(column, justify="right")
    for link, rows in means.groupby("link", sort=False):
        names = [str(link), *[""] * (len(rows) - 1)]
        for name, row in zip(names, rows.itertuples(), strict=True):
            costs = (f"{row.channel_uses:.0f}", f"{1e3 * row.latency:.3g}", f"{1e3 * row.energy:.3g}")
            table.add_row(escape(name), f"{row.snr_db:g}", *costs)
    return table
