"""Answer accuracy against SNR where one modality is received weaker, by what the questions need."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import accuracy_axis, controls, curve, finish, listener, looks, panels, title
from tokcom_phy.results.run import Run

NEEDS = {"": "all questions", "Audio": "what is heard", "Visual": "what is seen", "Audio-Visual": "both"}


def draw(run: Run) -> Figure:
    series = run.experiment.evaluate
    labels = {link: _label(run, link) for of_links in series for link in of_links.links}
    named = looks(list(dict.fromkeys(labels.values())))
    figure, axes = panels(len(series) * len(NEEDS))
    remaining = iter(axes)
    handles: dict[str, Line2D] = {}
    drawn: dict[str, Line2D] = {}
    kinds = run.questions["type"].str.split("/").str[0]
    for links in (of_links.links for of_links in series):
        for needs, words in NEEDS.items():
            axis = next(remaining)
            curves = run.accuracy_among((kinds == needs).to_numpy()) if needs else run.accuracy
            for link in links:
                rows = curves[(curves["link"] == link) & (curves["variant"] == listener(run))]
                handles[labels[link]] = curve(axis, rows, "snr_db", named[labels[link]])
            drawn |= controls(axis, run, curves[curves["link"] == links[0]])
            title(axis, f"{links[0]}: {words}")
            accuracy_axis(axis, "SNR of the nearer [dB]")
    return finish(figure, run, {**handles, **drawn})


def _label(run: Run, link: str) -> str:
    """Who is received weaker over a link."""
    offsets = run.setting(link, "snr_offset_db")
    return ", ".join(f"{user} {-offset:g} dB weaker" for user, offset in offsets.items()) or "both near"
