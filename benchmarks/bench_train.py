"""What a training step costs, and where: ``python benchmarks/bench_train.py [--json FILE] [--device …] [--size tiny]``.

Full size is the paper's: Qwen2.5-1.5B in bf16 with 128 + 128 + 32 tokens and a batch of 8, AST base and ViViT-B, all
with random weights, which cost what trained ones do. The opponent of stage 2 is the same foundation model with the same
adapter, stepped on ready-made embeddings with the same answer-only logits; the two alternate. Medians of ``--steps``
steps after one to warm up.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from torch import Tensor
from training_step import LINKS, Bench, Clock, sizes

from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.text import TextBatch
from tokcom_phy.utils.files import write_atomically


def matrix_rate(dtype: torch.dtype, device: torch.device, n: int) -> float:
    """Measured rate of square matrix products [FLOP/s]."""
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    clock = Clock(device)
    for _ in range(6):
        clock.step(lambda: a @ b)
    return 2 * n**3 / clock.medians()["step"]


def usual_loss(foundation: Foundation, prefix: Tensor, prefix_mask: Tensor, answer: TextBatch) -> Tensor:
    """The task loss as transformers computes it from labels: logits at all positions."""
    ignored = torch.full(prefix.shape[:2], -100, device=answer.ids.device)
    return foundation.model(
        inputs_embeds=torch.cat([prefix.to(foundation.dtype), foundation.embed(answer.ids)], dim=1),
        attention_mask=torch.cat([prefix_mask, answer.mask], dim=1).long(),
        labels=torch.cat([ignored, answer.ids.where(answer.mask, -100)], dim=1),
        use_cache=False,
    ).loss


def measure_memory(bench: Bench, logits: str, checkpointing: bool) -> float:
    """Peak memory [GB] of this process or its GPU in one stage-2 step."""
    bench.adapt()
    foundation, clock = bench.system.foundation, Clock(bench.device)
    if logits == "full":
        foundation.answer_loss = partial(usual_loss, foundation)  # type: ignore[method-assign]
    run = bench.finetuning(clock)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")
    with foundation.checkpointing(checkpointing):
        clock.step(run)
    if bench.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def peak_memory(options: argparse.Namespace, logits: str, checkpointing: bool) -> float:
    """`measure_memory` in a process of its own, in which freed memory goes back at once and so is not counted."""
    command = [sys.executable, __file__, "--device", options.device, "--memory", logits, *_given(options)]
    command += ["--checkpointing"] if checkpointing else []
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**16)}
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(output.split()[-1])


def measure_memories(options: argparse.Namespace, console: Console) -> dict[str, float]:
    """Peaks of memory with answer-only and full logits, with and without checkpointing; prints and returns them."""
    found = {}
    for checkpointing in (False, True):
        for logits in ("answer", "full"):
            what = f"peak memory, {logits} logits{', gradient checkpointing' if checkpointing else ''} [GB]"
            found[what] = peak_memory(options, logits, checkpointing)
            console.print(f"{what}: {found[what]:.2f}")
    return found


def _given(options: argparse.Namespace) -> list[str]:
    return ["--size", options.size, *(["--batch", str(options.batch)] if options.batch else [])]


def measure(bench: Bench, steps: int, console: Console, tokens: int) -> dict[str, float]:
    """Both stages by part, the opponent, the encoders and the rate; prints and returns the figures."""
    found: dict[str, float] = {}

    def show(stage: str, clock: Clock) -> dict[str, float]:
        parts = clock.medians()
        whole = parts.pop("step")
        shares = ", ".join(f"{part} {s:.4g} s ({s / whole:.1%})" for part, s in parts.items())
        console.print(f"{stage}: [bold]{whole:.4g} s[/] a step (slowest over fastest {clock.spread():.2f}): {shares}")
        found.update({f"{stage}: {part} [s]": s for part, s in {"step": whole, **parts}.items()})
        return {**parts, "step": whole}

    clock = Clock(bench.device)
    clock.wrap(bench.radio.link, "transmit", "link")
    clock.wrap(bench.system, "receive", "receivers")
    run = bench.alignment(clock)
    bench.system.train()
    for _ in range(steps + 1):
        clock.step(run)
    show("stage 1", clock)

    bench.adapt()
    clock.steps, theirs = [], Clock(bench.device)
    clock.wrap(bench.system.foundation, "answer_loss", "foundation forward")
    run, opponent = bench.finetuning(clock), bench.opponent(theirs)
    for _ in range(steps + 1):
        clock.step(run)
        theirs.step(opponent)
    ours = show("stage 2", clock)
    other = show("opponent", theirs)

    def say(what: str, value: float, text: str) -> None:
        found[what] = value
        console.print(f"{escape(what)}: {text}")

    say("stage 2 over opponent", ours["step"] / other["step"], f"[bold]{ours['step'] / other['step']:.3f}[/]")
    say("tokens a second", tokens / ours["step"], f"{tokens / ours['step']:.4g}")
    seconds = bench.other_link()
    say(f"{LINKS[1]} alone", seconds, f"{seconds:.3g} s, {seconds / ours['step']:.1%} of a stage-2 step")
    seconds = bench.evaluation(steps)
    say("evaluation: question [s]", seconds, f"[bold]{seconds:.3g} s[/], of up to {bench.size.answer} answer tokens")
    rate = matrix_rate(bench.size.dtype, bench.device, 4096 if bench.device.type == "cuda" else 1024)
    reached = bench.flops() / ours["step"]
    say("share of the matrix rate", reached / rate, f"{reached / rate:.1%} of {rate / 1e12:.3g} TFLOP/s")
    encoding = bench.encode()
    ratio = (ours["step"] + encoding) / ours["step"]
    say("encoding in the loop", ratio, f"{encoding:.3g} s more a step, [bold]{ratio:.2f}[/] times as long")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into FILE")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--steps", type=int, help="measured steps; 20 at tiny size or on a GPU, else 2")
    parser.add_argument("--batch", type=int, help="examples in a step; 16 at tiny size, 8 at full size")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks of memory, four more steps")
    parser.add_argument("--memory", choices=["answer", "full"], help=argparse.SUPPRESS)
    parser.add_argument("--checkpointing", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    size, device = sizes(options.batch)[options.size], torch.device(options.device)
    with tempfile.TemporaryDirectory() as scratch:
        if options.memory:
            print(measure_memory(Bench(size, device, Path(scratch)), options.memory, options.checkpointing))
            return
        console = Console(soft_wrap=True)
        positions = size.tokens * len(size.encoders) + size.question + size.answer
        machine = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        console.print(
            f"{machine}; {options.size} size, {size.batch} × {positions} tokens, {size.dtype}; link {LINKS[0]}"
        )
        found = {} if options.no_memory else measure_memories(options, console)
        steps = options.steps or (2 if options.size == "full" and device.type == "cpu" else 20)
        found |= measure(Bench(size, device, Path(scratch)), steps, console, size.batch * positions)
    if options.json:
        with write_atomically(options.json) as temporary:
            temporary.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
