"""Drawing a run's figures with the scripts in ``plots/``."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING, Any

from tokcom_phy.results.csv_files import without_formulas as without_spreadsheet_formulas
from tokcom_phy.results.run import Run
from tokcom_phy.utils.errors import UserError, nearest, one_line
from tokcom_phy.utils.figures import save_figure, without_formulas
from tokcom_phy.utils.files import builtin_folder, find, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "png", "svg", "pgf")
"""Kinds of files that figures are drawn into."""


def draw_figures(
    run: Run,
    width: float | None = None,
    *,
    style: str | None = None,
    formats: Sequence[str] = ("pdf", "png"),
    own: bool = False,
) -> list[Path]:
    """Draw every figure that the run's experiment names into ``figures/``, and beside it what it shows as a CSV file.

    A figure is a Python file with a function ``draw(run: Run) -> matplotlib Figure``.

    Parameters
    ----------
    run : Run
    width : float, optional
        Width of the figures [in]; by default that of the style.
    style : 'ieee', 'nature' or 'slides', optional
        See `tokcom_phy.results.styles`; by default figures for a page of two columns, with titles. The files of a style
        carry its name: ``fig3-ieee.pdf``.
    formats : sequence of str
        Of `FORMATS`.
    own : bool
        Whether to run Python files that the run names by path, besides the built-in figures: a run that came from
        elsewhere names whatever it likes.

    Returns
    -------
    list of Path
        For each figure the file of the last of ``formats``.

    Raises
    ------
    UserError
        If a figure fails, or is a file and ``own`` is not given, or there is no such style or format.
    """
    import matplotlib  # only where something is drawn

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tokcom_phy.results.styles import find_style, styled

    look = find_style(style)
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"figures cannot be drawn as '{name}': {nearest(name, FORMATS)}")
    files = {name: find("plots", name) for name in run.experiment.figures}
    builtin = {name: file.parent == builtin_folder("plots") for name, file in files.items()}
    for name, file in files.items():
        if not own and not builtin[name]:
            raise UserError(f"figure '{name}' of {run.path} is code of {file}: read it, then add --trust-figures")
    drawn = []
    with styled(look, width):
        for name, file in files.items():
            stem = f"{Path(name).stem}{f'-{style}' if style else ''}"
            with without_formulas() if builtin[name] else nullcontext():
                try:
                    figure = run_path(str(file))["draw"](run)
                    if style:
                        _enlarge(figure, look.small)
                    targets = _save(figure, run.path / "figures" / stem, formats)
                except UserError:
                    raise
                except Exception as error:  # whatever a user's own script does
                    raise UserError(
                        f"cannot draw figure '{name}' by draw(run) of {file}: {one_line(error)}; tokcom plot "
                        f"{run.path} {'--trust-figures ' * own}--debug shows where"
                    ) from error
                pyplot.close(figure)
            drawn.append(targets[-1])
    return drawn


def _enlarge(figure: "Figure", least: float) -> None:
    """Make no text smaller than a style's [pt]."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text) and float(text.get_fontsize()) < least:
            text.set_fontsize(least)


def _save(figure: "Figure", stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in every format, then its data."""
    from tokcom_phy.results.figure_data import figure_data

    undated: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    targets = [stem.with_name(f"{stem.name}.{name}") for name in formats]
    for name, target in zip(formats, targets, strict=True):
        if name == "pgf":
            _save_pgf(figure, target)
        else:
            save_figure(figure, target, dpi=200, metadata=undated.get(name))
    with write_atomically(stem.with_name(f"{stem.name}.csv")) as path:
        without_spreadsheet_formulas(figure_data(figure)).to_csv(path, index=False)
    return targets


def _save_pgf(figure: "Figure", target: Path) -> None:
    """Write a figure as PGF; pictures in it are files of their own."""
    from tokcom_phy.results.pgf import write_pgf

    with tempfile.TemporaryDirectory() as folder:
        write_pgf(figure, Path(folder) / target.name)
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.suffix == ".pgf"):
            with write_atomically(target.with_name(file.name)) as path:
                shutil.copyfile(file, path)
