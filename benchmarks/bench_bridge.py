"""What a crossing costs, whatever the size: ``python benchmarks/bench_bridge.py [--json FILE] [--plot FILE]``.

The opponent takes the tensor through NumPy, which copies it. Every figure is the median of several warm rounds, with
the spread between their quartiles; rounds of the two sides alternate, so that the load of the machine is the same for
both. Then the engines, as ``benchmarks/bench_engines.py`` measures them; ``--beside PYTHON`` names an environment with
the other one.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from bench_engines import beside, measure
from rich.console import Console

from tokcom_phy.bridge import TensorFlowModule, to_tensorflow, to_torch
from tokcom_phy.bridge.runtime import tf
from tokcom_phy.radio.engine import describe, engine
from tokcom_phy.utils.files import write_atomically

SIZES = [2**exponent for exponent in range(10, 29, 2)]
"""1 KB to 256 MB, as powers of two [bytes]."""

CROSSINGS = 200
"""Crossings in one round: of one alone the clock would be a part."""

Quartiles = tuple[float, ...]
Crossings = dict[str, dict[int, dict[str, Quartiles]]]


def microseconds(*sides: Callable[[], object], rounds: int, most: list[int]) -> list[Quartiles]:
    """Quartiles of the time that each side takes [µs]; ``most`` says how many times a round runs it."""
    times = np.empty((len(sides), rounds))
    for side in sides:
        side()
    for number in range(rounds):
        for place, (side, repeats) in enumerate(zip(sides, most, strict=True)):
            start = time.perf_counter()
            for _ in range(repeats):
                side()
            times[place, number] = (time.perf_counter() - start) / repeats * 1e6
    return [tuple(quartiles) for quartiles in np.quantile(times, [0.25, 0.5, 0.75], axis=1).T]


def sides(size: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Direction → a tensor of some size [bytes] crosses by DLPack, and through NumPy."""
    here, there = torch.zeros(size // 4), tf.zeros(size // 4)
    return {
        "torch to TensorFlow": (lambda: to_tensorflow(here), lambda: tf.constant(here.numpy())),
        "TensorFlow to torch": (lambda: to_torch(there), lambda: torch.from_numpy(there.numpy())),
    }


def crossings(rounds: int) -> Crossings:
    """Direction → size [bytes] → how → quartiles [µs]."""
    results: Crossings = {direction: {} for direction in sides(SIZES[0])}
    for size in SIZES:
        copies = max(1, min(CROSSINGS, 2**26 // size))
        for direction, (crossing, copying) in sides(size).items():
            ours, theirs = microseconds(crossing, copying, rounds=rounds, most=[CROSSINGS, copies])
            results[direction][size] = {"DLPack": ours, "NumPy copy": theirs}
    return results


def module_overhead(rounds: int) -> tuple[Quartiles, Quartiles]:
    """Forward and backward of one multiplication [µs]: inside a `TensorFlowModule`, and by TensorFlow alone."""

    def block(x: tf.Tensor) -> tf.Tensor:
        return x * 2.0

    module, compiled = TensorFlowModule(block), tf.function(block)
    x = torch.ones(1000, requires_grad=True)
    there = tf.ones(1000)

    def ours() -> None:
        torch.autograd.grad(module(x).sum(), x)

    def alone() -> None:
        with tf.GradientTape() as tape:
            tape.watch(there)
            y = compiled(there)
        tape.gradient(y, there)

    first, second = microseconds(ours, alone, rounds=rounds, most=[20, 20])
    return first, second


def plot_crossings(results: Crossings, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    for ax, (direction, sizes) in zip(axes, results.items(), strict=True):
        for side in ("DLPack", "NumPy copy"):
            low, median, high = np.array([sizes[size][side] for size in SIZES]).T
            (line,) = ax.loglog(SIZES, median, "o-", ms=3, base=2, label=side)
            ax.fill_between(SIZES, low, high, color=line.get_color(), alpha=0.2)
        ax.set(title=direction, xlabel="size [bytes]", yscale="log")
        ax.set_xticks([2**10, 2**16, 2**22, 2**28], ["1 KB", "64 KB", "4 MB", "256 MB"])
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("one crossing [µs]")
    axes[0].legend(frameon=False)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the cost of a crossing against size into FILE")
    parser.add_argument("--beside", type=Path, metavar="PYTHON", help="interpreter with the other engine")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    console = Console()
    console.print(f"{torch.get_num_threads()} threads; median of {options.rounds} rounds and its quartiles")
    results = crossings(options.rounds)
    for direction, sizes in results.items():
        for size, sides in sizes.items():
            (low, ours, high), theirs = sides["DLPack"], sides["NumPy copy"][1]
            console.print(
                f"{direction}, {size / 1024:g} KB: [bold]{ours:.2f}[/] µs ({low:.2f}–{high:.2f}), NumPy copy "
                f"{theirs:.3g} µs, ratio {theirs / ours:.3g}",
                highlight=False,
                soft_wrap=True,
            )
    module, alone = module_overhead(options.rounds)
    console.print(
        f"forward and backward of a multiplication by 2: [bold]{module[1]:.0f}[/] µs in a TensorFlowModule, "
        f"{alone[1]:.0f} µs in TensorFlow alone",
        highlight=False,
        soft_wrap=True,
    )
    engines = {describe(engine()): measure(options.rounds)}
    if options.beside:
        engines |= beside(options.beside, options.rounds)
    for name, found in engines.items():
        console.print(
            f"{name}: draw and apply {found['draw and apply [s]']:.3f} s, "
            f"stock chain {found['stock chain [s]']:.3f} s, ratio [bold]{found['ratio']:.2f}[/]",
            highlight=False,
            soft_wrap=True,
        )
    if options.plot:
        plot_crossings(results, options.plot)
    if options.json:
        calls = {"ours": module, "TensorFlow": alone}
        everything = {"crossing [us]": results, "module [us]": calls, "engines": engines}
        with write_atomically(options.json) as temporary:
            temporary.write_text(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
