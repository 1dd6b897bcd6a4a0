"""Accuracy of analog and of digital tokens against SNR, a line an impairment; on the right, what analog gains."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import (
    accuracy_axis,
    controls,
    curve,
    difference_axis,
    finish,
    listener,
    looks,
    panels,
    title,
)
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    heard = listener(run)
    pairs = [series.links for series in run.experiment.evaluate if heard in series.variants]
    named = looks([analog for analog, _ in pairs])
    accuracy = run.accuracy[run.accuracy["variant"] == heard]
    gains = run.accuracy_differences[
        (run.accuracy_differences["variant"] == heard) & (run.accuracy_differences["than_variant"] == heard)
    ]
    figure, (analog_axis, digital_axis, gain_axis) = panels(3, columns=3)
    handles: dict[str, Line2D] = {}
    for analog, digital in pairs:
        handles[analog] = curve(analog_axis, accuracy[accuracy["link"] == analog], "snr_db", named[analog], band=False)
        curve(digital_axis, accuracy[accuracy["link"] == digital], "snr_db", named[analog], band=False)
        gain = gains[(gains["link"] == analog) & (gains["than_link"] == digital)]
        curve(gain_axis, gain, "snr_db", named[analog])
    drawn: dict[str, Line2D] = {}
    for axis, link, text in zip(
        (analog_axis, digital_axis), pairs[0], ("analog tokens", "digital tokens"), strict=True
    ):
        drawn |= controls(axis, run, run.accuracy[run.accuracy["link"] == link])
        accuracy_axis(axis, "SNR [dB]")
        title(axis, text)
    difference_axis(gain_axis, "SNR [dB]", "analog minus\ndigital [points]")
    title(gain_axis, "difference")
    return finish(figure, run, {**handles, **drawn})
