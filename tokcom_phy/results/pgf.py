"""Figures as PGF, to be set in the fonts of the document that includes them; no LaTeX is needed to write them.

Matplotlib's own writer asks LaTeX how wide each text is, and hands a user's names on as LaTeX. Here the widths are
those of the figure's fonts, and all that is no formula is text.
"""

from pathlib import Path
from typing import Any

from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pgf import RendererPgf
from matplotlib.figure import Figure

from tokcom_phy.utils.latex import latex_text

_HEAD = r"""%% Include it by \input{NAME.pgf}, with \usepackage{pgf} in the preamble.
\begingroup
\makeatletter
\begin{pgfpicture}
\pgfpathrectangle{\pgfpointorigin}{\pgfqpoint{WIDTHin}{HEIGHTin}}
\pgfusepath{use as bounding box, clip}
"""
_TAIL = r"""\end{pgfpicture}
\makeatother
\endgroup
"""


class _TextRenderer(RendererPgf):
    """Draws texts as text, in the sizes that the figure's fonts have."""

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, ismath: Any = False, mtext: Any = None
    ) -> None:
        super().draw_text(gc, x, y, s if ismath else latex_text(s), prop, angle, ismath, mtext)

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        width, height, descent = RendererBase.get_text_width_height_descent(self, s, prop, ismath)
        return width, height, descent


def write_pgf(figure: Figure, path: Path) -> None:
    """Write a figure as PGF, with its pictures, if it has any, in PNG files beside it.

    Parameters
    ----------
    figure : Figure
    path : Path
        The ``.pgf`` file.
    """
    width, height = figure.get_size_inches()
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEAD.replace("WIDTH", f"{width:f}").replace("HEIGHT", f"{height:f}").replace("NAME", path.stem))
        renderer: Any = MixedModeRenderer(figure, width, height, figure.dpi, _TextRenderer(figure, file))
        figure.draw(renderer)
        file.write(_TAIL)
