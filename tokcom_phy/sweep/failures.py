"""What a run prints of its course: what is missing and why, and where the time went."""

import re
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from tokcom_phy.sweep.messages import Failure

_POINT = re.compile(r"(.+__)([+-][\d.e+-]+)(dB__seed\d+)")
"""A point's name, with its SNR apart."""


def together(failures: Sequence[Failure]) -> list[tuple[str, str]]:
    """What is missing and why; points that miss for one reason and differ in SNR alone are one:
    ``aligned__awgn__{-10,+0}dB__seed0``."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for failure in failures:
        point = _POINT.fullmatch(failure.what)
        before, snr, after = point.groups() if point else (failure.what, "", "")
        groups.setdefault((before, after, failure.why), []).append(snr)
    found = []
    for (before, after, why), snrs in groups.items():
        listed = ",".join(snrs)
        found.append((f"{before}{{{listed}}}{after}" if len(snrs) > 1 else f"{before}{listed}{after}", why))
    return found


def failures_table(failures: Sequence[Failure]) -> Table:
    """What is missing at the end of a run, and why."""
    table = Table(title="What is missing", title_justify="left", box=None)
    table.add_column("training or point", overflow="fold")
    table.add_column("why", overflow="fold")
    for what, why in together(failures):
        table.add_row(escape(what), escape(why))
    return table


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
