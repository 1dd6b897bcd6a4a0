"""Training loss per round for temperatures of the contrastive loss and without alignment, and what they answer."""

from matplotlib.figure import Figure

from tokcom_phy.results.plotting import (
    CONTROLS,
    accuracy_axis,
    basis,
    controls,
    curve,
    finish,
    looks,
    panels,
    smoothing,
    training_loss,
)
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    styles = looks([name for name in run.config["variants"] if name not in CONTROLS])
    figure, axes = panels(1, 2, width=4.0, height=3.2)
    left, right = axes[0]
    handles = training_loss(left, run, styles)
    for variant, look in styles.items():
        curve(right, run.curves[run.curves["variant"] == variant], "snr_db", look)
    handles |= controls(right, run.curves)
    accuracy_axis(right, "SNR [dB]")
    labels = {name.replace("tau-", "τ = "): line for name, line in handles.items()}
    window = smoothing(run.config["stage2"]["steps"])
    return finish(figure, run, labels, f"{basis(run)}; loss: moving mean of {window} rounds")
