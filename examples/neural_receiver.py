"""A Keras receiver trained with a torch transmitter over fading: ``python examples/neural_receiver.py``.

Tokens go over Rayleigh fading as it comes, h·x + n, equation (6): there are no pilots and no equaliser. The Keras
model estimates h in each faded token, undoes it and recovers the features; the torch transmitter learns at the same
time what to send so that h can be found. Torch trains the model's TensorFlow variables as parameters of its own.
Beside it: the token receiver of equation (8), which does not equalise, and the same one behind a perfect equaliser.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from tokcom_phy import load_link
from tokcom_phy.bridge import TensorFlowModule
from tokcom_phy.bridge.runtime import tf
from tokcom_phy.model.receiver import Receiver
from tokcom_phy.model.transmitter import Transmitter
from tokcom_phy.utils.files import write_atomically

import keras  # isort: skip  # after the bridge, which starts TensorFlow quietly

FEATURES, WIDTH, TOKENS, BATCH, SNR_DB = 16, 128, 8, 64, 15.0


class Equalise(keras.layers.Layer):
    """Divide every token by the fade that a correlation with a learnt pilot finds in it."""

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.pilot = self.add_weight(shape=(input_shape[-1] // 2, 2), name="pilot")
        self.noise = self.add_weight(shape=(), initializer="zeros", name="log_noise")

    def call(self, tokens: tf.Tensor) -> tf.Tensor:
        """float32 [b, s, 2n], (real, imaginary) pairs → the same, equalised."""
        pairs = tf.reshape(tokens, (*tf.unstack(tf.shape(tokens)[:-1]), -1, 2))
        y, pilot = tf.complex(pairs[..., 0], pairs[..., 1]), tf.complex(self.pilot[:, 0], self.pilot[:, 1])
        h_hat = tf.reduce_sum(y * tf.math.conj(pilot), axis=-1, keepdims=True)
        x_hat = y * tf.math.conj(h_hat) / tf.complex(tf.abs(h_hat) ** 2 + tf.exp(self.noise), 0.0)
        return tf.reshape(tf.stack([tf.math.real(x_hat), tf.math.imag(x_hat)], axis=-1), tf.shape(tokens))


def keras_receiver() -> nn.Module:
    """A small Keras model as a torch module: received tokens [b, s, WIDTH] → features [b, s, FEATURES]."""
    layers = [Equalise(), keras.layers.Dense(256, "relu"), keras.layers.Dense(FEATURES)]
    return TensorFlowModule(keras.Sequential([keras.Input((TOKENS, WIDTH)), *layers]))


def token_receiver() -> nn.Module:
    """G_m of equation (8), and a layer back to the features."""
    return nn.Sequential(Receiver(WIDTH, 256), nn.Linear(WIDTH, FEATURES))


class Transceiver(nn.Module):
    """Features through transmitter, link and receiver."""

    def __init__(self, link: str, receiver: nn.Module):
        super().__init__()
        self.transmitter = Transmitter(FEATURES, WIDTH)
        self.link = load_link(link, device="cpu")
        self.receiver = receiver

    def forward(self, features: Tensor, snr_db: float, seed: int) -> Tensor:
        """float32 [b, s, FEATURES] → what the receiver makes of it, the same shape."""
        return self.receiver(self.link({"audio": self.transmitter(features)}, snr_db, seed=seed)["audio"])


def train(transceiver: Transceiver, steps: int, what: str) -> list[float]:
    """Train it; the loss of every step."""
    optimizer = torch.optim.Adam(transceiver.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for step in track(range(steps), what):
        features = torch.randn(BATCH, TOKENS, FEATURES, generator=generator)
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
    features = torch.randn(500, TOKENS, FEATURES, generator=torch.Generator().manual_seed(3))
    error = transceiver(features, snr_db, seed=10**6) - features
    return float(10 * torch.log10(error.square().sum() / features.square().sum()))


def run(steps: int, plot: Path | None = None) -> tuple[float, float]:
    """Train the Keras receiver and what it is compared with: its NMSE [dB] before and after."""
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    transceivers = {
        "Keras receiver": Transceiver("rayleigh-raw", keras_receiver()),
        "token receiver, no equaliser": Transceiver("rayleigh-raw", token_receiver()),
        "token receiver, perfect equaliser": Transceiver("rayleigh", token_receiver()),
    }
    keras_transceiver = transceivers["Keras receiver"]
    before = nmse_db(keras_transceiver, SNR_DB)
    longest = max(map(len, transceivers))
    losses = {name: train(t, steps, f"{name:{longest}}") for name, t in transceivers.items()}
    if plot:
        draw(transceivers, losses, plot)
    return before, nmse_db(keras_transceiver, SNR_DB)


def draw(transceivers: dict[str, Transceiver], losses: dict[str, list[float]], path: Path) -> None:
    """The losses of training, and the errors against SNR."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    snrs = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
    for name, transceiver in transceivers.items():
        smooth = torch.tensor(losses[name]).unfold(0, max(1, len(losses[name]) // 50), 1).mean(1)
        left.semilogy(smooth, label=name)
        right.plot(snrs, [nmse_db(transceiver, snr) for snr in snrs], "o-", label=name)
    left.set(xlabel="training step", ylabel="mean squared error")
    right.set(xlabel="SNR [dB]", ylabel="NMSE of the features [dB]")
    for ax in (left, right):
        ax.grid(alpha=0.3)
    right.legend(frameon=False)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500, help="training steps of each transceiver")
    parser.add_argument("--plot", type=Path, metavar="FILE", default=Path("neural_receiver.png"))
    options = parser.parse_args()
    before, after = run(options.steps, options.plot)
    Console().print(
        f"NMSE over fading at {SNR_DB:.0f} dB with the Keras receiver: [bold]{before:.1f} dB[/] before training, "
        f"[bold]{after:.1f} dB[/] after it; figure: {options.plot}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
