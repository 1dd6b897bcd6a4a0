"""Figures of the training loss: against the round, and where it ends against the token length."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from tokcom_phy.results.intervals import over_mean
from tokcom_phy.results.plotting import Look, finish, ordered_looks, panels, seeds_in_words, ticks_at
from tokcom_phy.results.run import Run
from tokcom_phy.results.styles import current


def training_loss(axis: Axes, run: Run, styles: Mapping[str, Look]) -> dict[str, Line2D]:
    """Loss of every step of stage 2, a line a variant: the mean over the seeds and over a window of steps.

    Parameters
    ----------
    axis : Axes
    run : Run
    styles : variant → Look
    """
    handles = {}
    of_stage2 = run.losses[run.losses["stage"] == "finetune"]
    for variant, look in styles.items():
        by_step = of_stage2[of_stage2["name"] == variant].groupby("step")["loss"].mean()
        losses = by_step.to_numpy() if len(by_step) else np.array([np.nan])
        window = smoothing(len(losses))
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        steps = np.arange(len(smooth)) + (window + 1) / 2
        every = max(len(smooth) // 6, 1)
        (handles[variant],) = axis.plot(
            steps,
            smooth,
            linestyle=look.dashes,
            color=look.colour,
            marker=look.marker,
            markevery=every,
            markersize=3.6 * look.weight * current().lines,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.1 * look.weight * current().lines,
        )
    axis.set_xlabel("round (optimiser step of stage 2)")
    axis.set_ylabel("training loss [nat]")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3, linewidth=0.5, which="both")
    return handles


def smoothing(steps: int) -> int:
    """Steps that a loss curve is averaged over."""
    return max(steps // 10, 1)


def loss_by_length(run: Run, modality: str) -> Figure:
    """Training loss per round for the token lengths of one modality, with and without alignment; beside it, where it
    ends: the mean over the seeds, with Student's interval from two seeds on."""
    figure, (left, right) = panels(2, 2, height=2.4)
    variants = {variant.name: variant for variant in run.variants(blind=False)}
    lengths = {name: variant.lengths[modality] for name, variant in variants.items()}
    kinds = {name: "unaligned" if variants[name].alignment == "none" else "aligned" for name in variants}
    different = sorted(set(lengths.values()))
    of_length = dict(zip(different, ordered_looks(len(different)), strict=True))
    dashes = {"aligned": "-", "unaligned": "--"}
    styles = {name: of_length[lengths[name]]._replace(dashes=dashes[kinds[name]]) for name in variants}
    drawn = training_loss(left, run, styles)
    order = sorted(drawn, key=lambda name: (lengths[name], kinds[name]))
    handles = {f"{kinds[name]}, {lengths[name]} {modality} tokens": drawn[name] for name in order}
    ends = {name: losses.to_numpy() for name, losses in run.final_losses.groupby("variant")["value"]}
    for kind, line in dashes.items():
        shown = [name for name in order if kinds[name] == kind and name in ends]
        points = [(lengths[name], float(ends[name].mean())) for name in shown]
        right.add_collection(
            LineCollection([points] if points else [], colors="0.3", linestyles=line, linewidths=1, zorder=1)
        )
        for name, (s, loss) in zip(shown, points, strict=True):
            low, high = over_mean(ends[name])
            look = styles[name]
            right.errorbar(
                s,
                loss,
                yerr=[[loss - low], [high - loss]],
                linestyle=look.dashes,
                color=look.colour,
                marker=look.marker,
                markersize=5,
                markeredgecolor="white",
                markeredgewidth=0.5,
                elinewidth=1,
            )
    right.set_xscale("log", base=2)
    ticks_at(right, different)
    right.set_xlabel(f"{modality} tokens")
    right.set_ylabel("loss over the last\ntenth of rounds [nat]")
    right.set_ylim(bottom=0)
    right.grid(alpha=0.3, linewidth=0.5)
    steps = run.experiment.stage2.steps
    means = f"moving mean of {smoothing(steps)} of {steps} rounds, {seeds_in_words(run)}"
    return finish(figure, run, handles, f"{means}, bars: 95 % confidence" if len(run.experiment.seeds) > 1 else means)
