"""Drawing a run's figures with the scripts in ``plots/``."""

from pathlib import Path
from runpy import run_path

from tokcom_phy.results.run import Run
from tokcom_phy.utils.errors import UserError, one_line
from tokcom_phy.utils.files import find, write_atomically


def draw_figures(run_dir: Path) -> list[Path]:
    """Draw every figure that the run's experiment names, as PNG and PDF in ``figures/``; returns the PNG files.

    A figure is a Python file with a function ``draw(run: Run) -> matplotlib Figure``.

    Raises
    ------
    UserError
        If the folder holds no run, or no results yet, or a figure fails.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    run = Run(run_dir)
    drawn = []
    for name in run.config["figures"]:
        file = find("plots", name)
        try:
            figure = run_path(str(file))["draw"](run)
        except Exception as error:  # whatever a user's own script does
            raise UserError(
                f"cannot draw figure '{name}' by draw(run) of {file}: {one_line(error)}; tokcom plot {run_dir} --debug "
                "shows where"
            ) from error
        for suffix in (".pdf", ".png"):
            target = run_dir / "figures" / f"{Path(name).stem}{suffix}"
            with write_atomically(target) as path:
                figure.savefig(path, dpi=200, metadata={"CreationDate": None} if suffix == ".pdf" else None)
        pyplot.close(figure)
        drawn.append(target)
    return drawn
