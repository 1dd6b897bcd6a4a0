"""A TensorFlow amplifier model that a torch transceiver learns to live with: ``python examples/amplifier.py``.

A device projects feature tokens and sends them through a travelling-wave-tube amplifier (A. A. M. Saleh, IEEE Trans.
Commun., 1981), written in TensorFlow, over white noise to a receiver. One transceiver is trained as if the amplifier
were linear, the other through it: torch gets the gradient from TensorFlow, and trains the amplifier's drive, a
TensorFlow variable, as well. SNR is that of a saturated amplifier.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from tokcom_phy import from_symbols, load_link, normalize_power, to_symbols
from tokcom_phy.bridge import TensorFlowModule
from tokcom_phy.bridge.runtime import tf
from tokcom_phy.model.receiver import Receiver
from tokcom_phy.model.transmitter import Transmitter
from tokcom_phy.utils.files import write_atomically

WIDTH, LATENT, TOKENS, BATCH, SNR_DB = 64, 24, 16, 16, 25.0


class Amplifier(tf.Module):
    """Saleh's model: the gain falls and the phase turns with the power that goes in.

    An amplitude r becomes 2r / (1 + r²), at most 1; ``drive_db`` scales what goes in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drive_db = tf.Variable(0.0, name="drive_db")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """complex64, any shape → complex64, |y| ≤ 1."""
        x = x * tf.complex(10.0 ** (self.drive_db / 20.0), 0.0)
        power = tf.math.real(x) ** 2 + tf.math.imag(x) ** 2
        gain = 2.0 / (1.0 + power)
        phase = 4.0033 * power / (1.0 + 9.1040 * power)
        return x * tf.complex(gain * tf.cos(phase), gain * tf.sin(phase))


class Transceiver(nn.Module):
    """Features through transmitter, amplifier, link and receiver."""

    def __init__(self, amplifier: nn.Module):
        super().__init__()
        self.transmitter = Transmitter(WIDTH, WIDTH)
        self.receiver = Receiver(WIDTH, 256)
        self.amplifier = amplifier
        self.link = load_link("awgn", device="cpu")

    def amplified(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What goes into the amplifier and what comes out of it, complex64 [b, n]."""
        symbols, _ = normalize_power(to_symbols(self.transmitter(features)))
        return symbols, self.amplifier(symbols)

    def forward(self, features: Tensor, snr_db: float, seed: int) -> Tensor:
        """float32 [b, s, WIDTH] → what the receiver makes of it, the same shape."""
        _, amplified = self.amplified(features)
        state = self.link.draw(len(features), amplified.shape[1], snr_db, seed)
        return self.receiver(from_symbols(state.apply(amplified), WIDTH))


def make_features(generator: torch.Generator, batch: int = BATCH) -> Tensor:
    """Feature tokens, float32 [b, TOKENS, WIDTH]: correlated as an encoder's are, by fewer dimensions behind them."""
    basis = torch.randn(LATENT, WIDTH, generator=torch.Generator().manual_seed(1)) / LATENT**0.5
    return torch.randn(batch, TOKENS, LATENT, generator=generator) @ basis


def train(transceiver: Transceiver, steps: int, what: str) -> list[float]:
    """Train it; the loss of every step."""
    optimizer = torch.optim.Adam(transceiver.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for step in track(range(steps), what):
        features = make_features(generator)
        loss = (transceiver(features, SNR_DB, seed=step) - features).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def nmse_db(transceiver: Transceiver, snr_db: float) -> float:
    """Error over signal power of features that it was not trained on [dB]."""
    features = make_features(torch.Generator().manual_seed(3), 200)
    error = transceiver(features, snr_db, seed=10**6) - features
    return float(10 * torch.log10(error.square().sum() / features.square().sum()))


def run(steps: int, plot: Path | None = None) -> tuple[float, float]:
    """Train both transceivers: NMSE [dB] over the amplifier of the one that ignored it, and of the other."""
    torch.manual_seed(0)
    ignorant = Transceiver(nn.Identity())
    train(ignorant, steps, "as if the amplifier were linear")
    ignorant.amplifier = TensorFlowModule(Amplifier())
    torch.manual_seed(0)
    joint = Transceiver(TensorFlowModule(Amplifier()))
    train(joint, steps, "through the amplifier          ")
    if plot:
        draw({"trained as if linear": ignorant, "trained through it": joint}, plot)
    return nmse_db(ignorant, SNR_DB), nmse_db(joint, SNR_DB)


@torch.no_grad()
def draw(transceivers: dict[str, Transceiver], path: Path) -> None:
    """How strongly each drives the amplifier, and its error against SNR."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    amplitude = torch.linspace(0, 4, 200)
    left.plot(amplitude, 2 * amplitude / (1 + amplitude**2), "k-", lw=1, label="amplitude out of the amplifier")
    snrs = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    features = make_features(torch.Generator().manual_seed(3))
    for name, transceiver in transceivers.items():
        symbols, _ = transceiver.amplified(features)
        driven = symbols.abs().flatten() * 10 ** (transceiver.amplifier.get_parameter("drive_db_0") / 20)
        left.hist(driven, bins=80, range=(0, 4), density=True, histtype="step", label=f"density, {name}")
        right.plot(snrs, [nmse_db(transceiver, snr) for snr in snrs], "o-", label=name)
    left.set(xlabel="amplitude into the amplifier")
    right.set(xlabel="SNR [dB]", ylabel="NMSE of the features [dB]")
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="training steps of each transceiver")
    parser.add_argument("--plot", type=Path, metavar="FILE", default=Path("amplifier.png"))
    options = parser.parse_args()
    before, after = run(options.steps, options.plot)
    Console().print(
        f"NMSE over the amplifier at {SNR_DB:.0f} dB: [bold]{before:.1f} dB[/] trained as if it were linear, "
        f"[bold]{after:.1f} dB[/] trained through it; figure: {options.plot}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
