"""What a run prints when it ends: accuracies, paired differences and losses."""

from collections.abc import Mapping, Sequence
from math import ceil

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.results.run import Run


class SnrTable:
    """Lines of numbers under headings, a column an SNR; what a console has no room for beside follows below.

    Parameters
    ----------
    title : str
    columns : list of str
        Their headers.
    """

    def __init__(self, title: str, columns: Sequence[str]):
        self.title = title
        self.columns = columns
        self.lines: list[tuple[str, Mapping[str, str]]] = []

    def add(self, name: str, cells: Mapping[str, str] | None = None) -> None:
        """Add a line, its cells by the columns' headers; without cells it is a heading."""
        self.lines.append((f" {name}" if cells else name, cells or {}))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.lines:
            return
        texts = [*self.columns, *(text for _, cells in self.lines for text in cells.values())]
        cell = 1 + max(map(len, texts))
        room = options.max_width // 2
        width = max((len(name) for name, cells in self.lines if cells and len(name) <= room), default=0)
        blocks = ceil(len(self.columns) / max((options.max_width - width) // cell, 1))
        yield Text(self.title, "italic")
        for block in range(blocks):
            first, end = (len(self.columns) * part // blocks for part in (block, block + 1))
            shown = self.columns[first:end]
            for name, cells in [("", dict(zip(shown, shown, strict=True))), *self.lines]:
                if not cells or len(name) > width:
                    yield Text(name, "" if cells else "bold")
                if cells:
                    numbers = "".join(f"{cells.get(column, ''):>{cell}}" for column in shown)
                    yield Text(f"{name if len(name) <= width else '':<{width}}{numbers}")


def results_table(run: Run) -> SnrTable:
    """Accuracy on each link of each variant, in declared order, a column an SNR; the last column holds the widest
    interval's half width."""
    curves = run.accuracy
    snrs = sorted(curves["snr_db"].unique())
    table = SnrTable("Answer accuracy [%] against SNR [dB]", [*(f"{snr:g}" for snr in snrs), "±"])
    for link in run.experiment.resolved().evaluated_links:
        table.add(link)
        for variant in (*run.experiment.resolved().variants, MAJORITY):
            curve = curves[(curves["link"] == link) & (curves["variant"] == variant)]
            if curve.empty:
                continue
            half = ((curve["ci_high"] - curve["ci_low"]) / 2).max()
            cells = {
                f"{snr:g}": f"{100 * value:.1f}" for snr, value in zip(curve["snr_db"], curve["value"], strict=True)
            }
            table.add(variant, {**cells, "±": f"{100 * half:.1f}"})
    return table


def differences_table(run: Run) -> SnrTable:
    """Paired differences of accuracies [points] with their intervals, a column an SNR; without those to the majority
    control, and without those that are zero everywhere."""
    differences = run.accuracy_differences[run.accuracy_differences["than_variant"] != MAJORITY]
    snrs = sorted(differences["snr_db"].unique())
    table = SnrTable(
        "Paired differences of accuracy [points], 95 % intervals, against SNR [dB]",
        [f"{snr:g}" for snr in snrs],
    )
    same_link = differences["link"] == differences["than_link"]
    for compared, of, where, over in (
        (differences[same_link], ["variant", "than_variant"], "link", ""),
        (differences[~same_link], ["link", "than_link"], "variant", "over "),
    ):
        for (one, other), rows in compared.groupby(of, sort=False):
            lines = {name: line for name, line in rows.groupby(where, sort=False) if line["value"].any()}
            if lines:
                table.add(f"{over}{one} − {over}{other}")
            for name, line in lines.items():
                columns = [f"{snr:g}" for snr in line["snr_db"]]
                halves = (line["ci_high"] - line["ci_low"]) / 2
                table.add(
                    str(name), dict(zip(columns, (f"{100 * value:+z.1f}" for value in line["value"]), strict=True))
                )
                table.add("", dict(zip(columns, (f"±{100 * half:.1f}" for half in halves), strict=True)))
    return table


def losses_table(run: Run) -> Table:
    """Training loss [nat] at the end of stage 2, each variant's mean over the seeds."""
    table = Table("variant", title="Training loss at the end of stage 2", title_justify="left", box=None)
    table.add_column("loss", justify="right")
    for variant, loss in run.final_losses.groupby("variant", sort=False)["value"].mean().items():
        table.add_row(escape(str(variant)), f"{loss:.3f}")
    return table
