"""What comes with the toolkit, each in a line: experiments, links and figures; starts without PyTorch."""

import ast
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from tokcom_phy.utils.errors import UserError, nearest
from tokcom_phy.utils.files import builtin_names, find

KINDS = {"experiments": "experiments", "links": "links", "figures": "plots"}
"""What is listed → the folder of its files."""


def list_builtins(kind: str | None = None) -> list[Table]:
    """A table a kind, a line a file.

    Parameters
    ----------
    kind : 'experiments', 'links' or 'figures', optional
        By default all three.

    Raises
    ------
    UserError
        If there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"there is no list of '{kind}': {nearest(kind, KINDS)}")
    return [_table(name, folder) for name, folder in KINDS.items() if kind in (None, name)]


def about(path: Path) -> str:
    """What a file says of itself: the comment that opens a YAML file, without the command that it ends in; the first
    paragraph of a Python file's docstring."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        line = " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())
    else:
        line = text.partition("\n")[0].lstrip("# ").split("; see it with")[0].split("   Run: ")[0]
    return line.strip().rstrip(".")


def _table(title: str, folder: str) -> Table:
    table = Table(title, "", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in builtin_names(folder):
        table.add_row(Text(name, no_wrap=True), Text(about(find(folder, name))))
    return table
