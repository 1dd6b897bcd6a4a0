"""How fast the installed engine draws and applies a link, with its own stock chain as the opponent.

``python benchmarks/bench_engines.py [--json FILE] [--beside PYTHON]``; ``--beside`` names the interpreter of an
environment with the other engine, which is then measured on the same work. Runs of the two sides of a ratio alternate.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console

from tokcom_phy.radio import load_link
from tokcom_phy.radio.channels import TdlChannel
from tokcom_phy.radio.engine import describe, engine
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.utils.files import write_atomically

SLOTS, SNR_DB, NO = 64, 10.0, 0.1


def seconds(*sides: Callable[[], object], repeats: int) -> list[float]:
    """Median time of each side [s], after two runs to warm up."""
    times: list[list[float]] = [[] for _ in sides]
    for number in range(repeats + 2):
        for side, measured in zip(sides, times, strict=True):
            start = time.perf_counter()
            side()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number > 1:
                measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]


def drawn_side(link: OfdmLink) -> Callable[[], None]:
    """Forward and backward through a link: draw, apply, gradient of the payload."""
    users, per_slot = link.config.users, link.estimator.grid.num_data_symbols
    sent = {user: torch.randn(SLOTS, per_slot, dtype=torch.complex64, device=link.device) for user in users}

    def run() -> None:
        leaves = {user: x.clone().requires_grad_() for user, x in sent.items()}
        received = link.draw(SLOTS, dict.fromkeys(users, per_slot), SNR_DB, seed=0).apply(leaves)
        torch.stack([y.abs().square().sum() for y in received.values()]).sum().backward()

    return run


def stock_side(link: OfdmLink) -> Callable[[], None]:
    """The same through the engine's own blocks, differentiated end to end."""
    if engine() == "torch":
        from bench_links import stock_side as torch_stock_side

        return torch_stock_side(link, SLOTS)
    return _tensorflow_stock_side(link)


def _tensorflow_stock_side(link: OfdmLink) -> Callable[[], None]:
    """Sionna 1.2's chain inside one compiled function, gradient included."""
    from sionna.phy.channel import ChannelModel, OFDMChannel
    from sionna.phy.mimo import StreamManagement
    from sionna.phy.ofdm import LMMSEEqualizer, LSChannelEstimator, ResourceGridMapper

    from tokcom_phy.bridge.runtime import tf

    assert isinstance(link.channel, TdlChannel)
    num_users, grid, model = len(link.config.users), link.estimator.grid.block, link.channel.model.block

    class IndependentUsers(ChannelModel):
        """Sionna's TDL for several users at once, which it makes for one."""

        def __call__(self, batch_size: int, num_time_steps: int, sampling_frequency: float) -> tuple[object, object]:
            a, tau = model(batch_size * num_users, num_time_steps, sampling_frequency)
            a = tf.reshape(a, [batch_size, num_users, 1, *a.shape[2:3], 1, *a.shape[5:]])
            tau = tf.reshape(tau, [batch_size, num_users, 1, tau.shape[-1]])
            return tf.transpose(a, [0, 2, 3, 1, 4, 5, 6]), tf.transpose(tau, [0, 2, 1, 3])

    mapper, channel = ResourceGridMapper(grid), OFDMChannel(IndependentUsers(), grid)
    estimator = LSChannelEstimator(grid, interpolation_type="lin")
    equalizer = LMMSEEqualizer(grid, StreamManagement(np.ones([1, num_users]), 1))
    reals = tf.random.normal([2, SLOTS, num_users, 1, int(grid.num_data_symbols)])
    sent = tf.complex(reals[0], reals[1]) / 2**0.5

    @tf.function
    def run(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = channel(mapper(x), NO)
            h_hat, err_var = estimator(y, NO)
            x_hat, _ = equalizer(y, h_hat, err_var, NO)
            loss = tf.reduce_sum(tf.abs(x_hat) ** 2)
        return tape.gradient(loss, x)

    return lambda: run(sent).numpy()


def measure(repeats: int) -> dict[str, float]:
    """Draw and apply, and the stock chain, forward and backward [s]."""
    link = load_link("ofdm-tdl-c")
    assert isinstance(link, OfdmLink)
    drawn, stock = seconds(drawn_side(link), stock_side(link), repeats=repeats)
    return {"draw and apply [s]": drawn, "stock chain [s]": stock, "ratio": stock / drawn}


def beside(python: Path, repeats: int) -> dict[str, dict[str, float]]:
    """What this benchmark finds in another environment."""
    with TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [str(python), __file__, "--json", str(found), "--repeats", str(repeats)]
        root = str(Path(__file__).resolve().parents[1])
        subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "PYTHONPATH": root})
        results: dict[str, dict[str, float]] = json.loads(found.read_text())
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into FILE")
    parser.add_argument("--beside", type=Path, metavar="PYTHON", help="interpreter with the other engine")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    results = {describe(engine()): measure(options.repeats)}
    if options.beside:
        results |= beside(options.beside, options.repeats)
    console = Console()
    console.print(f"{SLOTS} slots × 3 users × 8 antennas × 132 × 14, forward and backward, {os.cpu_count()} cores")
    for name, found in results.items():
        ours, theirs = found["draw and apply [s]"], found["stock chain [s]"]
        console.print(
            f"{name}: draw and apply {ours:.3f} s, stock chain {theirs:.3f} s, ratio [bold]{found['ratio']:.2f}[/]",
            highlight=False,
            soft_wrap=True,
        )
    if options.json:
        with write_atomically(options.json) as temporary:
            temporary.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
