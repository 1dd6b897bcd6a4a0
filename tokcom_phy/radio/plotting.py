"""The figure of a link: channel, power-delay profile, constellation, effective SNR and token NMSE."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from tokcom_phy.radio.channels import PathChannel
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.erasure import ErasureLink
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.state import ANONYMOUS
from tokcom_phy.utils.files import write_atomically

_SNR_DB = np.arange(-30, 31, 5)
_CONSTELLATION_SNR_DB = 15.0
_SEED = 1
_NUM_SYMBOLS = 1024


def draw_link(link: Link, path: Path) -> None:
    """Draw |H| over time and frequency, the power-delay profile, a constellation, effective SNR and token NMSE.

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
    figure, ((channel, profile), (constellation, quality)) = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
    radio = link.over if isinstance(link, DigitalLink) else link
    if isinstance(radio, OfdmLink):
        _draw_response(channel, radio)
        if isinstance(radio.channel, PathChannel):
            _draw_delays(profile, radio.channel)
        else:
            _draw_band_limited_delays(profile, radio)
    elif isinstance(radio, ErasureLink):
        _draw_losses(channel, radio)
        _draw_bursts(profile, radio)
    elif isinstance(radio, FlatLink):
        _draw_fades(channel, radio)
        _draw_distribution(profile, radio)
    _draw_constellation(constellation, radio)
    _draw_quality(quality, link, getattr(radio.config, "users", [ANONYMOUS]))
    figure.suptitle(f"{link.name}: {link.description}", fontsize=11)
    with write_atomically(Path(path)) as temporary:
        figure.savefig(temporary, dpi=130)
    plt.close(figure)


def _draw_response(axes: Axes, link: OfdmLink) -> None:
    """|H| of one user at one antenna over four slots."""
    symbols = range(4 * link.config.num_ofdm_symbols)
    h = link.channel.response(_SEED, 0, [0], symbols, slice(None))[0, 0, 0]
    frequencies = link.channel.frequencies / 1e6
    duration = len(symbols) * link.channel.symbol_duration * 1e3
    image = axes.imshow(
        _db(h.abs().square()).mT.cpu().numpy(),
        aspect="auto",
        origin="lower",
        extent=(0, duration, float(frequencies[0]), float(frequencies[-1])),
        vmin=-20,
        vmax=8,
        interpolation="nearest",
    )
    axes.figure.colorbar(image, ax=axes, label="|H|² [dB]")
    axes.set(xlabel="time [ms]", ylabel="frequency [MHz]", title=f"Channel of '{link.config.users[0]}', first antenna")


def _draw_delays(axes: Axes, channel: PathChannel) -> None:
    """Mean power of the paths of one user, over antennas and realisations."""
    a, tau = channel.paths(_SEED, 0, [0], 1)
    power = a[:, 0, :, 0, 0, :, 0].abs().square().mean(1)
    if len(tau) == 1:
        power = power.mean(0, keepdim=True)
    for realisation, (delays, powers) in enumerate(zip(tau[:, 0, 0].cpu(), power.cpu(), strict=True)):
        visible = powers > 1e-5
        lines = axes.stem((delays[visible] * 1e9).numpy(), _db(powers[visible]).numpy(), bottom=-40, basefmt=" ")
        plt.setp([lines.markerline, lines.stemlines], color=f"C{realisation}", alpha=1.0 if len(tau) == 1 else 0.5)
    title = "Power-delay profile" + ("" if len(tau) == 1 else f", {len(tau)} drops")
    axes.set(xlabel="delay [ns]", ylabel="mean path power [dB]", ylim=(-40, 3), title=title)


def _draw_band_limited_delays(axes: Axes, link: OfdmLink) -> None:
    """Mean power of one user's impulse response, at the resolution of the bandwidth."""
    h = link.channel.response(_SEED, 0, [0], [0], slice(None))
    power = _db(torch.fft.ifft(h).abs().square().mean((0, 1, 2, 3))).cpu().numpy()
    axes.plot(np.arange(len(power)) / (link.config.num_subcarriers * link.config.subcarrier_spacing) * 1e9, power)
    axes.set(xlabel="delay [ns]", ylabel="mean power [dB]", title="Power-delay profile within the bandwidth")


def _draw_fades(axes: Axes, link: FlatLink) -> None:
    """|h|² over the symbols of a payload."""
    gains = link.gains(_SEED, range(3), _NUM_SYMBOLS)
    for gain in gains:
        axes.plot(_db(gain[0].abs().square()).cpu().numpy(), drawstyle="steps-post", lw=1)
    axes.set(xlabel="symbol", ylabel="|h|² [dB]", ylim=(-30, 10), title="Gain over a payload, three realisations")


def _draw_distribution(axes: Axes, link: FlatLink) -> None:
    """Distribution of |h|², compared with that of Rayleigh fading."""
    gains = link.gains(_SEED, range(256), _NUM_SYMBOLS)[:, 0, :: link.config.coherence]
    power = np.sort(_db(gains.abs().square()).flatten().cpu().numpy())
    axes.plot(power, (np.arange(len(power)) + 1) / len(power), label=link.name)
    reference = np.linspace(-30, 10, 200)
    axes.plot(reference, -np.expm1(-(10 ** (reference / 10))), "k:", lw=1, label="exponential")
    axes.set(xlabel="|h|² [dB]", ylabel="cumulative", xlim=(-30, 10), title="Distribution of the gain")
    axes.legend()


def _draw_losses(axes: Axes, link: ErasureLink) -> None:
    """Lost packets of sixteen payloads."""
    axes.imshow(_losses(link, 16, 64), aspect="auto", cmap="Greys", interpolation="nearest")
    axes.set(xlabel="packet", ylabel="realisation", title="Lost packets (black)")


def _draw_bursts(axes: Axes, link: ErasureLink) -> None:
    """Distribution of burst lengths."""
    lost = np.pad(_losses(link, 64, 256), ((0, 0), (1, 1))).astype(int).ravel()
    bursts = np.flatnonzero(np.diff(lost) < 0) - np.flatnonzero(np.diff(lost) > 0)
    axes.hist(bursts, bins=[k + 0.5 for k in range(max(bursts, default=1) + 1)], density=True)
    axes.set(xlabel="packets lost in a row", ylabel="share of bursts", title="Bursts")


def _losses(link: ErasureLink, batch: int, num_packets: int) -> np.ndarray:
    size = link.config.packet_symbols
    sinr = link.draw(batch, num_packets * size, 0.0, _SEED).sinr[ANONYMOUS]
    return (sinr[:, ::size] == 0).cpu().numpy()


def _draw_constellation(axes: Axes, link: Link) -> None:
    """16-QAM as sent and as received."""
    levels = torch.tensor([-3.0, -1.0, 1.0, 3.0]) / 10**0.5
    points = torch.cartesian_prod(levels, levels)
    drawn = points[torch.randint(16, (1, _NUM_SYMBOLS), generator=torch.Generator().manual_seed(_SEED))]
    sent = torch.view_as_complex(drawn)
    state = link.draw(1, _NUM_SYMBOLS, _CONSTELLATION_SNR_DB, _SEED)
    received = state.apply(sent)[0].cpu().numpy()
    axes.plot(received.real, received.imag, ".", ms=3, alpha=0.5, label="received")
    axes.plot(*points.T.numpy(), "k+", ms=8, label="sent")
    axes.set(xlabel="in phase", ylabel="quadrature", xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
    axes.set_title(f"Single user at {_CONSTELLATION_SNR_DB:.0f} dB")
    axes.legend(loc="upper right")


def _draw_quality(axes: Axes, link: Link, users: list[str]) -> None:
    """Effective SNR and token NMSE against SNR, all users of the link active."""
    generator = torch.Generator().manual_seed(_SEED)
    tokens = {user: torch.randn(8, _NUM_SYMBOLS // 64, 128, generator=generator) for user in users}
    effective, nmse = [], []
    for snr_db in _SNR_DB:
        received, state = link.transmit(tokens, float(snr_db), seed=_SEED)
        effective.append(np.mean(list(state.effective_snr_db.values())))
        error = torch.stack([(received[user] - tokens[user]).square().mean() for user in users]).mean()
        nmse.append(float(_db(error)))
    title = "One user" if len(users) == 1 else f"Mean over {len(users)} users at once"
    axes.plot(_SNR_DB, _SNR_DB, "k:", lw=1, label="SNR itself")
    axes.plot(_SNR_DB, effective, "o-", ms=4, label="effective SNR")
    axes.plot(_SNR_DB, nmse, "s-", ms=4, label="token NMSE")
    axes.set(xlabel="SNR per user and antenna [dB]", ylabel="[dB]", title=title)
    axes.grid(alpha=0.3)
    axes.legend()


def _db(power: Tensor) -> Tensor:
    return 10 * torch.log10(power)
