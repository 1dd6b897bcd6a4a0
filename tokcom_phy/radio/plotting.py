"""The figure of a link: the panels of its family, a constellation if it is analog, effective SNR and token NMSE."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from rich.console import Console
from rich.progress import Progress

from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.panels import CACHED_BYTES, NUM_SYMBOLS, SEED, db
from tokcom_phy.radio.state import ANONYMOUS
from tokcom_phy.utils.figures import plain, save_figure

_SNR_DB = np.arange(-30, 31, 5)
_CONSTELLATION_SNR_DB = 15.0


def draw_link(link: Link[Any], path: Path) -> None:
    """Draw the panels of the link's family, a constellation if it is analog, effective SNR and token NMSE.

    A bar on standard error shows the progress. Digital links are drawn with mapped decoding.

    Parameters
    ----------
    link : Link
    path : Path
        A png or pdf file, written atomically.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    if isinstance(link, DigitalLink):
        link = link.mapped()
    link = link.cached(CACHED_BYTES)
    panels = link.panels()
    if link.analog:
        panels.append(lambda axes: _draw_constellation(axes, link))
    panels.append(lambda axes: _draw_quality(axes, link))
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(11, 4.25 * rows), layout="constrained", squeeze=False)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for panel, own in progress.track(
            list(zip(panels, axes.flat, strict=False)), description=f"drawing {link.name}"
        ):
            panel(own)
    for unused in axes.flat[len(panels) :]:
        unused.remove()
    figure.suptitle(plain(f"{link.name}: {link.description}"), fontsize=11)
    save_figure(figure, path, dpi=130)
    plt.close(figure)


def _draw_constellation(axes: Axes, link: Link[Any]) -> None:
    """16-QAM as sent and as received."""
    levels = torch.tensor([-3.0, -1.0, 1.0, 3.0]) / 10**0.5
    points = torch.cartesian_prod(levels, levels)
    drawn = points[torch.randint(16, (1, NUM_SYMBOLS), generator=torch.Generator().manual_seed(SEED))]
    sent = torch.view_as_complex(drawn)
    state = link.draw(1, NUM_SYMBOLS, _CONSTELLATION_SNR_DB, SEED)
    received = state.apply(sent)[0].cpu().numpy()
    axes.plot(received.real, received.imag, ".", ms=3, alpha=0.5, label="received")
    axes.plot(*points.T.numpy(), "k+", ms=8, label="sent")
    axes.set(xlabel="in phase", ylabel="quadrature", xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
    below = "" if link.analog else ", the link below"
    axes.set_title(f"Single user at {_CONSTELLATION_SNR_DB:.0f} dB{below}")
    axes.legend(loc="upper right")


def _draw_quality(axes: Axes, link: Link[Any]) -> None:
    """Effective SNR and token NMSE against SNR, all users of the link active."""
    users = link.users or [ANONYMOUS]
    generator = torch.Generator().manual_seed(SEED)
    tokens = {user: torch.randn(8, NUM_SYMBOLS // 64, 128, generator=generator) for user in users}
    for user in set(users) & set(link.identifiers):
        tokens[user] = tokens[user][:, ::2].sign().to(torch.complex64)
    effective, nmse = [], []
    for snr_db in _SNR_DB:
        received, state = link.transmit(tokens, float(snr_db), seed=SEED)
        effective.append(np.mean(list(state.effective_snr_db.values())))
        error = torch.stack([(received[user] - tokens[user]).abs().square().mean() for user in users]).mean()
        nmse.append(float(db(error)))
    together = " at once" if getattr(link.config, "access", "") == "mu-mimo" else ""
    title = "One user" if len(users) == 1 else f"Mean over {len(users)} users{together}"
    axes.plot(_SNR_DB, _SNR_DB, "k:", lw=1, zorder=3, label="SNR itself")
    if np.isfinite(effective).any():
        axes.plot(_SNR_DB, effective, "o-", ms=4, label="effective SNR")
    axes.plot(_SNR_DB, nmse, "s-", ms=4, label="token NMSE")
    axes.set(xlabel="SNR per user and antenna [dB]", ylabel="[dB]", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
