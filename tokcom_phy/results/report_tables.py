"""The tables of a report."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.results.budget import payloads
from tokcom_phy.results.report_words import db, number
from tokcom_phy.results.run import Run
from tokcom_phy.results.tables import ACCURACY, ALL
from tokcom_phy.utils.errors import UserError


@dataclass(frozen=True)
class Cell:
    """A figure in a table.

    Attributes
    ----------
    text : the value
    note : its interval, in smaller print
    share : 0 to 100, how far the cell is filled; None for no filling
    tone : 'better' or 'worse' where an interval leaves out zero
    """

    text: str = ""
    note: str = ""
    share: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table as the page shows it: each row is a heading and a cell for every column."""

    title: str
    corner: str
    columns: Sequence[str]
    rows: list[tuple[str, list[Cell]]]


def _percent(curve: Mapping[Hashable, Any] | pd.Series) -> Cell:
    value, low, high = (100 * curve[key] for key in ("value", "ci_low", "ci_high"))
    return Cell(f"{value:.1f}", f"{low:.1f}–{high:.1f}", share=value)


def _score(curve: Mapping[Hashable, Any]) -> Cell:
    value, low, high = (curve[key] for key in ("value", "ci_low", "ci_high"))
    return Cell(number(f"{value:.3f}"), "" if np.isnan(low) else f"{low:.3f} to {high:.3f}")


def _pivot(title: str, corner: str, cells: Mapping[tuple[str, float], Cell], rows: Sequence[str]) -> Table:
    """Cells by row and SNR as a table."""
    snrs = sorted({snr_db for _, snr_db in cells})
    there = [row for row in rows if any((row, snr_db) in cells for snr_db in snrs)]
    return Table(
        title,
        corner,
        [db(snr_db) for snr_db in snrs],
        [(row, [cells.get((row, snr_db), Cell("–")) for snr_db in snrs]) for row in there],
    )


def accuracy_tables(run: Run) -> list[Table]:
    """A table a link: accuracy of each variant at each SNR over all seeds."""
    tables = []
    for link, curve in _by_link(run.accuracy, run):
        cells = {(row["variant"], row["snr_db"]): _percent(row) for row in curve.to_dict("records")}
        tables.append(_pivot(link, "variant", cells, systems(run)))
    return tables


def metric_tables(run: Run) -> list[Table]:
    """A table a metric beside exact match and a link: its mean over all questions and seeds."""
    tables = []
    others = run.curves[run.curves["metric"] != ACCURACY]
    for metric, curve in others.groupby("metric", sort=False):
        for link, part in _by_link(curve, run):
            cells = {(row["variant"], row["snr_db"]): _score(row) for row in part.to_dict("records")}
            tables.append(_pivot(f"{metric}: {link}", "variant", cells, systems(run)))
    return tables


def difference_tables(run: Run) -> list[Table]:
    """Paired differences: of variants, a table a link; then of links."""
    tables: dict[str, dict[tuple[str, float], Cell]] = {}
    for row in run.accuracy_differences.to_dict("records"):
        same_link = row["link"] == row["than_link"]
        title = row["link"] if same_link else "between links"
        name = (
            f"{row['variant']} − {row['than_variant']}"
            if same_link
            else f"{row['variant']}: {row['link']} − {row['than_link']}"
        )
        low, high = 100 * row["ci_low"], 100 * row["ci_high"]
        tone = "better" if low > 0 else "worse" if high < 0 else ""
        cell = Cell(number(f"{100 * row['value']:+z.1f}"), number(f"{low:+z.1f} to {high:+z.1f}"), tone=tone)
        tables.setdefault(title, {})[name, row["snr_db"]] = cell
    return [
        _pivot(title, "difference", cells, list(dict.fromkeys(name for name, _ in cells)))
        for title, cells in sorted(tables.items(), key=lambda item: item[0] == "between links")
    ]


def type_tables(run: Run, best_only: bool) -> list[Table]:
    """A table a link: accuracy by question type, at the highest SNR or at all."""
    tables = []
    for link, curve in _by_link(run.curves[run.curves["question_type"] != ALL], run):
        kinds, snrs = sorted(curve["question_type"].unique()), sorted(curve["snr_db"].unique())
        snrs = snrs[-1:] if best_only else snrs
        columns = [kind.replace("/", "/\u200b") for kind in kinds]  # a line may break there
        cells = {
            (row["variant"], row["snr_db"], row["question_type"]): _percent(row) for row in curve.to_dict("records")
        }
        rows = [
            (variant if best_only else f"{variant}, {db(snr_db)}", [cells[variant, snr_db, kind] for kind in kinds])
            for variant in systems(run)
            for snr_db in snrs
            if (variant, snr_db, kinds[0]) in cells
        ]
        tables.append(Table(f"{link} at {db(snrs[0])}" if best_only else link, "variant", columns, rows))
    return tables


def radio_tables(run: Run) -> list[Table]:
    """A table a link: effective SNR and token NMSE per modality, means over seeds; variants that agree share a row."""
    rows = [
        (point.link, quantity, modality, point.variant, point.snr_db, value)
        for point in run.points.itertuples()
        for quantity, measured in (("effective SNR", point.effective_snr_db), ("token NMSE", point.token_nmse_db))
        for modality, value in measured.items()
    ]
    measured = pd.DataFrame(rows, columns=["link", "quantity", "modality", "variant", "snr_db", "value"])
    tables = []
    for link, on_link in _by_link(measured, run):
        snrs = sorted(on_link["snr_db"].unique())
        table = Table(link, "dB", [db(snr_db) for snr_db in snrs], [])
        for (quantity, modality), of in on_link.groupby(["quantity", "modality"]):
            means = of.groupby(["variant", "snr_db"])["value"].mean().unstack("snr_db").reindex(columns=snrs)
            alike: dict[tuple[str, ...], list[str]] = {}
            for variant in (name for name in run.experiment.resolved().variants if name in means.index):
                texts = tuple("–" if np.isnan(v) else number(f"{v:z.1f}") for v in means.loc[variant])
                alike.setdefault(texts, []).append(variant)
            for texts, names in alike.items():
                whose = f" ({', '.join(names)})" if len(alike) > 1 else ""
                table.rows.append((f"{quantity}, {modality}{whose}", [Cell(text) for text in texts]))
        tables.append(table)
    return tables


def training_table(run: Run) -> Table | None:
    """Training loss at the end of stage 2: mean, and each seed's."""
    rows = []
    for variant, losses in run.final_losses.groupby("variant", sort=False)["value"]:
        seeds = ", ".join(f"{value:.4f}" for value in losses)
        rows.append((str(variant), [Cell(f"{losses.mean():.4f}"), Cell(seeds)]))
    return Table("", "variant", ["mean", "each seed"], rows) if rows else None


def budget_tables(run: Run) -> list[Table]:
    """What one question costs on the links with the run's settings, a table for the variants that send the same.

    Raises
    ------
    UserError
        If the run has not written down its questions yet, or the foundation model is not to be had.
    """
    if run.questions.empty:
        raise UserError("the run has not written down its links and questions yet")
    width = foundation_width(run.experiment.foundation)
    columns = ["channel uses", "resource elements", "slots", "latency", "bandwidth", "energy", "overhead"]
    return [
        Table(
            f"{', '.join(payload.variants)}: {payload.describe(width)}",
            "link",
            columns,
            [(f"{row.link}, {row.sent_as}", _costs(row)) for row in payload.costs.itertuples()],
        )
        for payload in payloads(run.experiment, run.budget, run.question_tokens)
    ]


def _costs(row: Any) -> list[Cell]:
    """The cells of a row of the budget."""
    if row.fault:
        return [Cell("–", row.fault), *[Cell("–")] * 6]
    texts = (
        f"{row.channel_uses:,.0f}",
        f"{row.resource_elements:,.0f}",
        f"{row.slots:.0f}" if row.slots else "–",
        f"{1e3 * row.latency:.3g} ms",
        f"{row.bandwidth / 1e3:.0f} kHz",
        f"{1e3 * row.energy:.3g} mJ",
        f"{100 * row.overhead:.0f} %",
    )
    return [Cell(text) for text in texts]


def systems(run: Run) -> list[str]:
    """All variants in declared order, and the majority control."""
    return [*run.experiment.resolved().variants, MAJORITY]


def _by_link(table: pd.DataFrame, run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """A table's rows on each link, in the order in which the experiment names the links."""
    for link in run.experiment.resolved().evaluated_links:
        rows = table[table["link"] == link]
        if len(rows):
            yield link, rows
