"""Matplotlib figures: a user's text in them, and how they are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokcom_phy.utils.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def without_formulas() -> Iterator[None]:
    """Within, every text of a new figure is text: a dollar sign in a user's name begins no formula."""
    import matplotlib  # only where something is drawn

    with matplotlib.rc_context({"text.parse_math": False}):
        yield


def plain(text: str) -> str:
    """A user's text as matplotlib shows it: a dollar sign does not begin a formula."""
    import matplotlib  # only where something is drawn

    return text.replace("$", r"\$") if matplotlib.rcParams["text.parse_math"] else text


def save_figure(figure: "Figure", path: Path, **options: Any) -> None:
    """Draw a matplotlib figure into a png, pdf or svg file, written atomically.

    It is drawn in memory first: on a full disk matplotlib ends in errors of other kinds.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    drawn = BytesIO()
    figure.savefig(drawn, format=Path(path).suffix[1:], **options)
    with write_atomically(path) as temporary:
        temporary.write_bytes(drawn.getbuffer())
