"""Answer accuracy against SNR where one modality is received 20 dB weaker, by what the questions need."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tokcom_phy.results.plotting import accuracy_axis, controls, curve, finish, looks, panels
from tokcom_phy.results.run import Run

ROWS = {
    "awgn": {"awgn": "both near", "audio-far": "audio 20 dB weaker", "video-far": "video 20 dB weaker"},
    "ofdm-tdl-c": {
        "ofdm-tdl-c": "both near",
        "audio-far-tdl-c": "audio 20 dB weaker",
        "video-far-tdl-c": "video 20 dB weaker",
    },
}
COLUMNS = {"": "all questions", "Audio": "what is heard", "Visual": "what is seen", "Audio-Visual": "both"}


def draw(run: Run) -> Figure:
    figure, axes = panels(len(ROWS), len(COLUMNS), width=2.6, height=2.5)
    named = looks(list(ROWS["awgn"].values()))
    handles: dict[str, Line2D] = {}
    for (needs, title), column in zip(COLUMNS.items(), axes.T, strict=True):
        curves = run.curves_of(needs) if needs else run.curves
        for (name, links), axis in zip(ROWS.items(), column, strict=True):
            for link, label in links.items():
                rows = curves[(curves["link"] == link) & (curves["variant"] == "aligned")]
                handles[label] = curve(axis, rows, "snr_db", named[label])
            drawn = controls(axis, curves[curves["link"] == next(iter(links))])
            axis.set_title(f"{name}: {title}", fontsize=10)
            accuracy_axis(axis, "SNR of the nearer one [dB]", ylabel=not needs)
    return finish(figure, run, {**handles, **drawn})
