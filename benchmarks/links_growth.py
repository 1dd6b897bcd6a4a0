"""How the cost of a link grows with its sizes: the exponent, and a plot."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from tokcom_phy.utils.files import write_atomically


def exponents(growth: dict[str, dict[int, float]]) -> dict[str, float]:
    """Slope of cost over size in double logarithmic scale: 1 is linear growth."""
    return {
        axis: float(np.polyfit(np.log(list(points)), np.log(list(points.values())), 1)[0])
        for axis, points in growth.items()
    }


def plot_scaling(growth: dict[str, dict[int, float]], path: Path) -> None:
    """Draw the cost over each size in double logarithmic scale, beside a linear one."""
    figure, axes = plt.subplots(1, len(growth), figsize=(13, 3.2), layout="constrained")
    for ax, (axis, points) in zip(axes, growth.items(), strict=True):
        sizes, cost = np.array(list(points)), 1e3 * np.array(list(points.values()))
        ax.loglog(sizes, cost, "o-", label="measured")
        ax.loglog(sizes, cost[-1] * sizes / sizes[-1], "k:", lw=1, label="linear")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_xticks([], minor=True)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set(xlabel=axis, ylabel="forward and backward [ms]")
        ax.grid(alpha=0.3, which="both")
        ax.legend()
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)
