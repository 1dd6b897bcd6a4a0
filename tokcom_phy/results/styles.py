"""Looks of figures for a page, a journal's column or a slide: widths, fonts, titles, lines that survive grey print."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from matplotlib import rc_context
from matplotlib.font_manager import get_font_names

from tokcom_phy.utils.errors import UserError, nearest

COLUMN_IN = 3.5
"""Width of one column of a two-column page [in]."""
PAGE_IN = 7.16
"""Width of both columns [in]."""
PAGE_HEIGHT_IN = 8.5
"""Height of a page, with room for a caption [in]."""
FALLBACK = "DejaVu Sans"
"""A font that comes with matplotlib, for what the others have no glyph."""


@dataclass(frozen=True)
class Style:
    """How all figures of one kind look.

    Attributes
    ----------
    width : float
        Of a figure, unless another is asked for [in].
    wide : float, optional
        Of a figure whose panels have no room at ``width`` [in].
    height : float
        Scale of the height of panels.
    size : float
        Of its text [pt].
    small : float
        Of the labels of ticks and the legend [pt].
    fonts : names of fonts, the first that is installed is taken
    titled : bool
        Whether the experiment's title stands above; in print the caption says it.
    dashed : bool
        Whether lines differ by dashes besides marker and colour.
    lines : float
        Scale of the widths of lines and the sizes of markers.
    """

    width: float = PAGE_IN
    wide: float | None = None
    height: float = 1.0
    size: float = 8
    small: float = 7
    fonts: tuple[str, ...] = ()
    titled: bool = True
    dashed: bool = False
    lines: float = 1.0

    def settings(self) -> dict[Any, Any]:
        """It as settings of matplotlib."""
        installed = set(get_font_names())
        return {
            "pdf.fonttype": 42,  # TrueType, which publishers ask for, not Type 3
            "ps.fonttype": 42,
            "svg.fonttype": "none",
            "pgf.rcfonts": False,  # the document's fonts
            "font.family": [font for font in (*self.fonts, FALLBACK) if font in installed],
            "font.size": self.size,
            "axes.titlesize": self.size,
            "axes.labelsize": self.size,
            "figure.titlesize": self.size,
            "xtick.labelsize": self.small,
            "ytick.labelsize": self.small,
            "legend.fontsize": (self.size + self.small) / 2,
            "legend.handlelength": 3.2,
            "lines.linewidth": 1.5 * self.lines,
            "lines.markersize": 6 * self.lines,
        }


PLAIN = Style()
PRINT = Style(width=COLUMN_IN, wide=PAGE_IN, size=8, small=8, titled=False, dashed=True)
STYLES = {
    "ieee": replace(PRINT, fonts=("Times New Roman", "Liberation Serif", "STIXGeneral")),
    "nature": replace(PRINT, fonts=("Arial", "Helvetica", "Liberation Sans")),
    "slides": Style(width=11.0, height=0.75, size=16, small=14, lines=1.8),
}
"""By the names that ``tokcom plot --style`` takes."""

_STYLE: ContextVar[Style] = ContextVar("style", default=PLAIN)
_WIDTH_IN: ContextVar[float | None] = ContextVar("width", default=None)


def find_style(name: str | None) -> Style:
    """A style by its name; without one that of all figures.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name is None:
        return PLAIN
    if name not in STYLES:
        raise UserError(f"unknown style '{name}': {nearest(name, STYLES)}")
    return STYLES[name]


@contextmanager
def styled(style: Style = PLAIN, width: float | None = None) -> Iterator[None]:
    """Within, figures are drawn in a style, as wide as it says or as given [in]."""
    tokens = _STYLE.set(style), _WIDTH_IN.set(width)
    try:
        with rc_context(style.settings()):
            yield
    finally:
        _STYLE.reset(tokens[0])
        _WIDTH_IN.reset(tokens[1])


def current() -> Style:
    """The style in which figures are drawn."""
    return _STYLE.get()


def figure_width(fits: Callable[[float], bool]) -> float:
    """Width of a figure that is drawn [in]: as asked for, else the style's, or the wider one for what does not fit."""
    asked, style = _WIDTH_IN.get(), current()
    if asked is not None:
        return asked
    return style.wide if style.wide and not fits(style.width) else style.width
