"""Training loss per round for temperatures of the contrastive loss and without alignment, and what they answer."""

from matplotlib.figure import Figure

from tokcom_phy.results.loss_plots import smoothing, training_loss
from tokcom_phy.results.plotting import accuracy_axis, basis, controls, curve, finish, looks, panels
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    variants = run.variants(blind=False)
    labels = {
        v.name: "without alignment" if v.alignment == "none" else f"τ = {v.stage1.temperature:g}" for v in variants
    }
    styles = looks(list(labels))
    figure, (left, right) = panels(2, 2, height=2.4)
    handles = {labels[name]: line for name, line in training_loss(left, run, styles).items()}
    for variant, look in styles.items():
        curve(right, run.accuracy[run.accuracy["variant"] == variant], "snr_db", look)
    handles |= controls(right, run, run.accuracy)
    accuracy_axis(right, "SNR [dB]")
    right.set_ylabel("answer accuracy [%]")
    window = smoothing(run.experiment.stage2.steps)
    return finish(figure, run, handles, f"{basis(run)}; loss: moving mean of {window} rounds")
