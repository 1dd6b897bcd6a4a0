"""The list of built-in links: the command ``tokcom links``, which starts without PyTorch."""

from rich.table import Table

from tokcom_phy.radio.link_config import read_config
from tokcom_phy.utils.files import builtin_names


def describe_links() -> Table:
    """A table of the built-in links, one line each."""
    table = Table("link", "description", box=None)
    for name in builtin_names("links"):
        table.add_row(name, read_config(name, {})[1].description)
    return table
