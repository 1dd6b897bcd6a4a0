"""Answer accuracy against what a question costs, over token lengths and links; Pareto front.

What is drawn compares across links of different bandwidth: symbols, time times bandwidth, and the energy of symbols
that are received at equal energy.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import (
    LOOKS,
    accuracy_axis,
    control_looks,
    curve,
    decibels,
    finish,
    log_ticks,
    looks,
    panels,
    title,
)
from tokcom_phy.results.run import Run

COSTS = {
    "channel_uses": ("channel uses a question", 1),
    "area": ("time × bandwidth", 1),
    "energy": ("transmit energy [mJ]", 1e3),
}
"""Column of the budget → label and factor of its axis."""


def draw(run: Run) -> Figure:
    snrs = sorted(run.accuracy["snr_db"].unique())
    links = run.experiment.resolved().evaluated_links
    lengths = {variant.name: sum(variant.lengths.values()) for variant in run.variants(blind=False)}
    budget = run.budget[run.budget["own"].astype(bool)]
    budget = budget.assign(area=budget["latency"] * budget["bandwidth"])[["variant", "link", *COSTS]]
    figure, axes = panels(len(snrs) * len(COSTS), columns=len(COSTS))
    remaining = iter(axes)
    handles: dict[str, Line2D] = {}
    drawn: dict[str, Line2D] = {}
    for snr_db in snrs:
        at_snr = run.accuracy[run.accuracy["snr_db"] == snr_db]
        systems = at_snr[at_snr["variant"].isin(list(lengths))]
        for cost, (label, factor) in COSTS.items():
            axis = next(remaining)
            table = systems.merge(budget, on=["variant", "link"])
            table[cost] = factor * table[cost].astype(float)
            table = table.sort_values("variant", key=lambda names: names.map(lengths))
            for link, look in looks(links).items():
                handles[link] = curve(axis, table[table["link"] == link], cost, look)
            front = pareto_front(table, cost)
            front = pd.concat([front, front.tail(1).assign(**{cost: table[cost].max()})])  # up to the dearest
            (handles["Pareto front"],) = axis.step(
                front[cost], 100 * front["value"], where="post", color=LOOKS[6].colour, linewidth=0.9, linestyle="-."
            )
            for control, look in control_looks(run).items():
                level = at_snr.loc[at_snr["variant"] == control, "value"].mean()
                drawn[control] = axis.axhline(
                    100 * level, color=look.colour, linestyle=look.dashes, linewidth=1.1 * look.weight
                )
            if not table.empty:
                log_ticks(axis)
            title(axis, f"at {decibels(snr_db)}")
            accuracy_axis(axis, label)
    return finish(figure, run, {**handles, **drawn})


def pareto_front(table: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows that no other beats in accuracy at a cost no higher, from cheap to dear."""
    table = table.sort_values([cost, "value"], ascending=[True, False])
    before = np.maximum.accumulate(np.concatenate([[-np.inf], table["value"].to_numpy()[:-1]]))
    return table[table["value"].to_numpy() > before]
