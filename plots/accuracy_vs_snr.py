"""Answer accuracy against SNR, transmit power or distance: a panel a link, and one more where the question goes over
the air too; confidence bands and the two controls."""

from dataclasses import replace

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.resolve import ResolvedVariant
from tokcom_phy.results.axes import along_axis
from tokcom_phy.results.plotting import MAJORITY_LOOK, accuracy_axis, control_looks, curve, finish, looks, panels, title
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    """A variant whose question goes over the air is drawn as the one that differs from it in nothing else."""
    variants = run.variants()
    twins = {variant.name: _twin(variant, variants) for variant in variants}
    listeners = [variant.name for variant in run.variants(blind=False) if twins[variant.name] == variant.name]
    styles = {**looks(listeners), **control_looks(run), MAJORITY: MAJORITY_LOOK}
    links = run.experiment.resolved().evaluated_links
    deliveries = {MAJORITY: ("reliable", "on-air"), **{variant.name: (variant.question,) for variant in variants}}
    with_systems = {
        (delivery, link)
        for variant, link in zip(run.accuracy["variant"], run.accuracy["link"], strict=True)
        if variant != MAJORITY
        for delivery in deliveries[variant]
    }
    shown = [(d, link) for d in ("reliable", "on-air") for link in links if (d, link) in with_systems]
    shown = shown or [("reliable", link) for link in links]
    figure, axes = panels(len(shown))
    handles: dict[str, Line2D] = {}
    for axis, (delivery, link) in zip(axes, shown, strict=True):
        curves, label = along_axis(run, run.accuracy[run.accuracy["link"] == link], link)
        for name, look in styles.items():
            drawn = [v for v in deliveries if delivery in deliveries[v] and twins.get(v, v) == name]
            rows = curves[curves["variant"].isin(drawn)]
            if not rows.empty:
                handles[name] = curve(axis, rows, "x", look, band=name in listeners)
        title(axis, link + (", question on air" if delivery == "on-air" else ""))
        accuracy_axis(axis, label)
    return finish(figure, run, {name: handles[name] for name in styles if name in handles})


def _twin(variant: ResolvedVariant, variants: list[ResolvedVariant]) -> str:
    """Name of the variant that asks reliably and is the same otherwise; its own without one."""
    name, base, question = variant.name, variant.base, variant.question
    same = (v.name for v in variants if replace(v, name=name, base=base, question=question) == variant)
    reliable = [name for name in same if name in {v.name for v in variants if v.question == "reliable"}]
    return variant.name if variant.question == "reliable" or not reliable else reliable[0]
