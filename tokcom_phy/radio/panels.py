"""Panels of a link's figure, each drawn from plain data; a link family chooses its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.utils.figures import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panel = Callable[["Axes"], None]
"""A function that draws into given axes."""

SEED = 1
NUM_SYMBOLS = 1024
"""Seed and payload length of everything that is drawn."""

CACHED_BYTES = 512 * 2**20
"""Memory for channels and noise, which are drawn once for all SNRs of a curve."""


def draw_response(axes: "Axes", h: Tensor, frequencies: Tensor, duration: float, title: str) -> None:
    """|H| over time and frequency: complex64 [symbols, subcarriers] at ``frequencies`` [Hz] over ``duration`` [s]."""
    megahertz = frequencies / 1e6
    image = axes.imshow(
        db(h.abs().square()).mT.cpu().numpy(),
        aspect="auto",
        origin="lower",
        extent=(0, duration * 1e3, float(megahertz[0]), float(megahertz[-1])),
        vmin=-20,
        vmax=8,
        interpolation="nearest",
    )
    axes.figure.colorbar(image, ax=axes, label="|H|² [dB]")
    axes.set(xlabel="time [ms]", ylabel="frequency [MHz]", title=title)


DROPS = 3
"""Realisations that a panel of delays shows: of more, none could be told from the others."""


def draw_delays(axes: "Axes", delays: Tensor, powers: Tensor) -> None:
    """Path powers [realisations, paths] over delays [realisations, paths] [s], of the first `DROPS` realisations."""
    delays, powers = delays[:DROPS], powers[:DROPS]
    single = len(delays) == 1
    for realisation, (tau, power) in enumerate(zip(delays.cpu(), powers.cpu(), strict=True)):
        visible = power > 1e-5
        lines = axes.stem((tau[visible] * 1e9).numpy(), db(power[visible]).numpy(), bottom=-40, basefmt=" ")
        for line in (lines.markerline, lines.stemlines):
            line.set(color=f"C{realisation}", alpha=1.0 if single else 0.5)
    title = "Power-delay profile" + ("" if single else f", {len(delays)} drops")
    axes.set(xlabel="delay [ns]", ylabel="mean path power [dB]", ylim=(-40, 3), title=title)


def draw_band_limited_delays(axes: "Axes", h: Tensor, bandwidth: float) -> None:
    """Mean power of the impulse response of h, complex64 [..., subcarriers], resolved by the bandwidth [Hz]."""
    power = db(torch.fft.ifft(h).abs().square().flatten(0, -2).mean(0)).cpu().numpy()
    axes.plot(np.arange(len(power)) / bandwidth * 1e9, power)
    axes.set(xlabel="delay [ns]", ylabel="mean power [dB]", title="Power-delay profile within the bandwidth")


def draw_fades(axes: "Axes", gains: Tensor) -> None:
    """|h|² over a payload: complex64 [realisations, symbols]."""
    for gain in gains:
        axes.plot(db(gain.abs().square()).cpu().numpy(), drawstyle="steps-post", lw=1)
    title = f"Gain over a payload, {len(gains)} realisations"
    axes.set(xlabel="symbol", ylabel="|h|² [dB]", ylim=(-30, 10), title=title)


def draw_distribution(axes: "Axes", gains: Tensor, label: str) -> None:
    """Distribution of |h|², compared with that of Rayleigh fading."""
    power = np.sort(db(gains.abs().square()).flatten().cpu().numpy())
    axes.plot(power, (np.arange(len(power)) + 1) / len(power), label=plain(label))
    reference = np.linspace(-30, 10, 200)
    axes.plot(reference, -np.expm1(-(10 ** (reference / 10))), "k:", lw=1, label="exponential")
    axes.set(xlabel="|h|² [dB]", ylabel="cumulative", xlim=(-30, 10), title="Distribution of the gain")
    axes.legend()


def draw_peaks(axes: "Axes", peaks_db: Mapping[str, Tensor]) -> None:
    """How often the peak of an OFDM symbol exceeds its mean power by so much [dB], a curve for each kind of symbols."""
    for number, (label, peaks) in enumerate(peaks_db.items()):
        above = np.sort(peaks.flatten().cpu().numpy())
        axes.semilogy(
            above, 1 - np.arange(len(above)) / len(above), ("-", "--")[number % 2], color=f"C{number // 2}", label=label
        )
    axes.set(xlabel="peak over mean power [dB]", ylabel="share of OFDM symbols above", ylim=(1e-3, 1.2))
    axes.set_title("Peaks of the waveform (CCDF)")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")


def draw_losses(axes: "Axes", lost: Tensor) -> None:
    """Lost packets, bool [realisations, packets]."""
    axes.imshow(lost.cpu().numpy(), aspect="auto", cmap="Greys", interpolation="nearest")
    axes.set(xlabel="packet", ylabel="realisation", title="Lost packets (black)")


def draw_bursts(axes: "Axes", lost: Tensor) -> None:
    """Distribution of the lengths of bursts among lost packets, bool [realisations, packets]."""
    padded = np.pad(lost.cpu().numpy(), ((0, 0), (1, 1))).astype(int).ravel()
    bursts = np.flatnonzero(np.diff(padded) < 0) - np.flatnonzero(np.diff(padded) > 0)
    axes.hist(bursts, bins=[k + 0.5 for k in range(max(bursts, default=1) + 1)], density=True)
    axes.set(xlabel="packets lost in a row", ylabel="share of bursts", title="Bursts")


def draw_block_errors(axes: "Axes", snr_db: Sequence[float], rates: Mapping[str, Sequence[float]]) -> None:
    """Block error rate over SNR [dB], a curve for each scheme."""
    for label, rate in rates.items():
        axes.semilogy(snr_db, rate, ".-", label=plain(label))
    axes.set(xlabel="SNR per user and antenna [dB]", ylabel="block error rate", ylim=(1e-3, 1.2))
    axes.set_title(f"Lost blocks, payloads of {NUM_SYMBOLS} symbols")
    axes.grid(alpha=0.3)
    axes.legend()


def db(power: Tensor) -> Tensor:
    """Power in decibels."""
    return 10 * torch.log10(power)
