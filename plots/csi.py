"""Answer accuracy against SNR with perfect and with estimated channel knowledge, and what the estimates cost."""

from collections import Counter

from matplotlib.figure import Figure

from tokcom_phy.experiments.resolve import ResolvedLink
from tokcom_phy.results.plotting import against_snr
from tokcom_phy.results.run import Run


def draw(run: Run) -> Figure:
    own = run.experiment.links
    perfect = {link.name: "perfect CSI" for link in run.links(csi="perfect") if link.name in own}
    estimated = sorted((link for link in run.links(csi="ls") if link.name in own), key=_pilots, reverse=True)
    linear = [link for link in estimated if link.settings()["interpolation"] == "linear"]
    often = Counter(map(_pilots, estimated)).most_common(1)[0][0]
    groups = {
        "pilot density (linear interpolation)": perfect | {link.name: _label(link) for link in linear},
        f"interpolation ({often} pilot symbols)": perfect
        | {link.name: _label(link) for link in estimated if _pilots(link) == often},
    }
    return against_snr(run, groups, "perfect CSI minus\nestimated [points]")[0]


def _pilots(link: ResolvedLink) -> int:
    """Pilot symbols in a slot."""
    pilots = link.settings()["pilot_symbols"]
    assert isinstance(pilots, list)
    return len(pilots)


def _label(link: ResolvedLink) -> str:
    names = {"linear": "LS", "nearest": "LS, nearest", "lmmse": "LMMSE", "wiener": "LMMSE, two-dimensional"}
    plural = "s" * (_pilots(link) > 1)
    return f"{names[str(link.settings()['interpolation'])]}, {_pilots(link)} pilot symbol{plural} a slot"
