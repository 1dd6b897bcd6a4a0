"""Answer accuracy against channel uses, latency and energy of a question over token lengths and links; Pareto front."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import (
    CONTROLS,
    LOOKS,
    MAJORITY,
    accuracy_axis,
    curve,
    decibels,
    finish,
    log_ticks,
    looks,
    panels,
)
from tokcom_phy.results.run import Run

COSTS = {"channel_uses": "channel uses a question", "latency_ms": "latency [ms]", "energy_mj": "transmit energy [mJ]"}


def draw(run: Run) -> Figure:
    snrs = sorted(run.curves["snr_db"].unique())
    links = run.config["evaluate"][0]["links"]
    lengths = {name: sum(variant["lengths"].values()) for name, variant in run.config["variants"].items()}
    figure, axes = panels(len(snrs), len(COSTS), width=3.2, height=2.6)
    handles: dict[str, Line2D] = {}
    for snr_db, row in zip(snrs, axes, strict=True):
        at_snr = run.curves[(run.curves["snr_db"] == snr_db) & ~run.curves["variant"].isin(list(CONTROLS))]
        for (metric, label), axis in zip(COSTS.items(), row, strict=True):
            costs = run.results[run.results["metric"] == metric][["variant", "link", "value"]]
            table = at_snr.merge(costs.rename(columns={"value": metric}), on=["variant", "link"])
            table = table.sort_values("variant", key=lambda names: names.map(lengths))
            for link, look in looks(links).items():
                handles[link] = curve(axis, table[table["link"] == link], metric, look)
            front = pareto_front(table, metric)
            front = pd.concat([front, front.tail(1).assign(**{metric: table[metric].max()})])  # up to the dearest
            (handles["Pareto front"],) = axis.step(
                front[metric], 100 * front["value"], where="post", color=LOOKS[6].colour, linewidth=0.9, linestyle="-."
            )
            for control in ("blind", MAJORITY):
                level = run.curves[(run.curves["snr_db"] == snr_db) & (run.curves["variant"] == control)][
                    "value"
                ].mean()
                handles[control] = axis.axhline(
                    100 * level, color="0.3", linestyle=CONTROLS[control].dashes, linewidth=1.4
                )
            if not table.empty:
                log_ticks(axis)
            axis.set_title(f"at {decibels(snr_db)}", fontsize=10)
            accuracy_axis(axis, label, ylabel=axis in axes[:, 0])
    return finish(figure, run, handles)


def pareto_front(table: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows that no other beats in accuracy at a cost no higher, from cheap to dear."""
    table = table.sort_values([cost, "value"], ascending=[True, False])
    before = np.maximum.accumulate(np.concatenate([[-np.inf], table["value"].to_numpy()[:-1]]))
    return table[table["value"].to_numpy() > before]
