"""What bandwidth, power and tokens allocated together come to against five baselines, over either budget; and what was
predicted against what was simulated."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.allocation import NAMES, RunAllocation
from tokcom_phy.results.plotting import Look, finish, log_ticks, looks, panels, seeds_in_words, title
from tokcom_phy.results.run import Run

MEASURES = {"objective": "w·T + (1 − w)·L", "latency": "latency T [ms]", "loss": "loss L [nat]"}


def draw(run: Run) -> Figure:
    found = RunAllocation(run)
    bandwidths, powers = sorted(found.settings.bandwidth_hz), sorted(found.settings.power_dbm)
    bandwidth, power = bandwidths[len(bandwidths) // 2], powers[len(powers) // 2]
    simulated = found.simulated
    figure, axes = panels(8 if len(simulated) else 6, columns=4 if len(simulated) else 3)
    of_each = looks(list(NAMES))
    rows = (axes[:3], axes[4:7]) if len(simulated) else (axes[:3], axes[3:])
    handles: dict[str, Line2D] = {}
    for axis, (measure, label) in zip(rows[0], MEASURES.items(), strict=True):
        for name, look in of_each.items():
            values = [getattr(found.grid[b, power][name], measure) for b in bandwidths]
            handles[name] = _line(axis, [b / 1e6 for b in bandwidths], values, look, measure)
        log_ticks(axis)
        _labelled(axis, "bandwidth [MHz]", label, f"at {power:g} dBm")
    for axis, (measure, label) in zip(rows[1], MEASURES.items(), strict=True):
        for name, look in of_each.items():
            values = [getattr(found.grid[bandwidth, p][name], measure) for p in powers]
            _line(axis, powers, values, look, measure)
        _labelled(axis, "power [dBm]", label, f"at {bandwidth / 1e6:g} MHz")
    if len(simulated):
        for axis, measure, label, factor in (
            (axes[3], "loss", "loss [nat]", 1),
            (axes[7], "accuracy", "accuracy [%]", 100),
        ):
            for name, look in of_each.items():
                rows_of = simulated[simulated["name"] == name]
                if rows_of.empty:
                    continue
                x, y = factor * rows_of[f"predicted_{measure}"], factor * rows_of[measure]
                low, high = factor * rows_of[f"{measure}_low"], factor * rows_of[f"{measure}_high"]
                axis.errorbar(
                    x, y, [y - low, high - y], fmt=look.marker, color=look.colour, markersize=3, linewidth=0.6
                )
            ends = [max(axis.get_xlim()[0], axis.get_ylim()[0]), min(axis.get_xlim()[1], axis.get_ylim()[1])]
            axis.plot(ends, ends, color="0.3", linewidth=0.8)
            _labelled(axis, f"predicted {label}", f"simulated {label}", "")
    fit = f"R² {found.surface.r2:.3f} on held-out points"
    note = f"{len(found.measured)} measured points, {seeds_in_words(run)}, {fit}; w = {found.settings.weight:g}"
    return finish(figure, run, handles, note)


def _line(axis: Axes, x: list[float], values: list[float], look: Look, measure: str) -> Line2D:
    factor = 1e3 if measure == "latency" else 1
    (line,) = axis.plot(
        x,
        [factor * value for value in values],
        look.dashes,
        color=look.colour,
        marker=look.marker,
        markersize=3 * look.weight,
        linewidth=look.weight,
    )
    return line


def _labelled(axis: Axes, xlabel: str, ylabel: str, name: str) -> None:
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.grid(alpha=0.3, linewidth=0.5)
    if name:
        title(axis, name)
