"""Drawing a run's figures with the scripts in ``plots/``."""

from pathlib import Path
from runpy import run_path

from tokcom_phy.results.run import Run
from tokcom_phy.utils.errors import UserError, one_line
from tokcom_phy.utils.figures import save_figure
from tokcom_phy.utils.files import builtin_folder, find


def draw_figures(run: Run, width: float | None = None, *, own: bool = False) -> list[Path]:
    """Draw every figure that the run's experiment names, as PNG and PDF in ``figures/``; returns the PNG files.

    A figure is a Python file with a function ``draw(run: Run) -> matplotlib Figure``.

    Parameters
    ----------
    run : Run
    width : float, optional
        Width of the figures [in]; by default that of a page of two columns.
    own : bool
        Whether to run Python files that the run names by path, besides the built-in figures: a run that came from
        elsewhere names whatever it likes.

    Raises
    ------
    UserError
        If a figure fails, or is a file and ``own`` is not given.
    """
    import matplotlib  # only where something is drawn

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tokcom_phy.results.plotting import PAGE_IN, style

    files = {name: find("plots", name) for name in run.experiment.figures}
    for name, file in files.items():
        if not own and file.parent != builtin_folder("plots"):
            raise UserError(f"figure '{name}' of {run.path} is code of {file}: read it, then add --trust-figures")
    drawn = []
    with style(width or PAGE_IN):
        for name, file in files.items():
            try:
                figure = run_path(str(file))["draw"](run)
            except Exception as error:  # whatever a user's own script does
                raise UserError(
                    f"cannot draw figure '{name}' by draw(run) of {file}: {one_line(error)}; tokcom plot {run.path} "
                    f"{'--trust-figures ' * own}--debug shows where"
                ) from error
            for suffix in (".pdf", ".png"):
                target = run.path / "figures" / f"{Path(name).stem}{suffix}"
                save_figure(figure, target, dpi=200, metadata={"CreationDate": None} if suffix == ".pdf" else None)
            pyplot.close(figure)
            drawn.append(target)
    return drawn
