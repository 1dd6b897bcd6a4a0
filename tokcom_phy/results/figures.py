"""Drawing a run's figures with the scripts in ``plots/``."""

from pathlib import Path
from runpy import run_path

from tokcom_phy.results.run import Run
from tokcom_phy.utils.errors import UserError, one_line
from tokcom_phy.utils.files import find, write_atomically


def draw_figures(run: Run, width: float | None = None) -> list[Path]:
    """Draw every figure that the run's experiment names, as PNG and PDF in ``figures/``; returns the PNG files.

    A figure is a Python file with a function ``draw(run: Run) -> matplotlib Figure``.

    Parameters
    ----------
    run : Run
    width : float, optional
        Width of the figures [in]; by default that of a page of two columns.

    Raises
    ------
    UserError
        If a figure fails.
    """
    import matplotlib  # only where something is drawn

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tokcom_phy.results.plotting import PAGE_IN, style

    drawn = []
    with style(width or PAGE_IN):
        for name in run.experiment.figures:
            file = find("plots", name)
            try:
                figure = run_path(str(file))["draw"](run)
            except Exception as error:  # whatever a user's own script does
                raise UserError(
                    f"cannot draw figure '{name}' by draw(run) of {file}: {one_line(error)}; tokcom plot {run.path} "
                    "--debug shows where"
                ) from error
            for suffix in (".pdf", ".png"):
                target = run.path / "figures" / f"{Path(name).stem}{suffix}"
                with write_atomically(target) as path:
                    figure.savefig(path, dpi=200, metadata={"CreationDate": None} if suffix == ".pdf" else None)
            pyplot.close(figure)
            drawn.append(target)
    return drawn
