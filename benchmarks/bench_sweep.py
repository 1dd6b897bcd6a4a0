"""What a sweep costs beside the foundation model: ``python benchmarks/bench_sweep.py [--json FILE]``.

- Evaluation of the quickstart's variants against as many bare forwards: from the same prefixes, without features,
  radio, receivers or text. A worker without a memory does it, link by link.
- Encoder calls of a sweep: each clip once, however often it is used.
- Trainings on two local workers against one, their start included.
- The radio's part of an evaluation point over ``ofdm-tdl-c``: analog, and digital by decoding, adaptation and HARQ.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from digital_points import digital_points
from rich.console import Console
from torch import Tensor
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, set_seed

from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import STAGE_NAMES, Job
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.encoders import PretrainedEncoder
from tokcom_phy.model.foundation import Foundation, find_foundation
from tokcom_phy.sweep.messages import Start
from tokcom_phy.sweep.resources import Resources
from tokcom_phy.sweep.run import run
from tokcom_phy.sweep.stages import evaluator
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.synthetic.corpus import synthesize
from tokcom_phy.utils.files import write_atomically

CORPUS = {"captions": 256, "train_clips": 160, "test_clips": 100, "train_questions": 800, "test_questions": 400}
SMALL_CORPUS = {"captions": 8, "train_clips": 8, "test_clips": 8, "train_questions": 16, "test_questions": 20}
LARGE = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
"""Qwen2.5-0.5B, but for its vocabulary."""


def experiment(corpus: dict[str, int], **overrides: Any) -> Experiment:
    """The quickstart on a small corpus."""
    settings = {f"data.synthetic.{name}": number for name, number in corpus.items()} | overrides
    return load_experiment("quickstart", overrides=[f"{key}={value}" for key, value in settings.items()])


def corpus_of(settings: Experiment, folder: Path) -> tuple[Path, Path]:
    """The experiment's corpus and its features."""
    corpus = settings.data.synthetic
    assert corpus is not None
    root = synthesize(corpus.folder(folder / "run"), **corpus.model_dump(), workers=1)
    return root, prepare(root, settings.encoders, settings.resolved().lengths, workers=1)


def evaluations(settings: Experiment, link: str, variants: Sequence[str], snr_db: tuple[float, ...]) -> list[Job]:
    """The jobs that evaluate variants over a link, at these SNRs [dB], in the order in which a run does them."""
    return [
        replace(job, snr_db=snr_db)
        for job in settings.resolved().jobs
        if job.link.name == link and job.subject in variants
    ]


def large_foundation(folder: Path) -> Path:
    """A model of the size of Qwen2.5-0.5B with random weights and the tiny model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(find_foundation("tiny/foundation"))
    set_seed(0)
    config = Qwen2Config(
        **LARGE,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def counted(owner: type, name: str) -> Iterator[list[tuple]]:
    """The arguments of all calls of a method within the block."""
    calls: list[tuple] = []
    method = getattr(owner, name)

    def call(self: Any, *arguments: Any) -> Any:
        result = method(self, *arguments)
        calls.append((self, *arguments, result))
        return result

    setattr(owner, name, call)
    try:
        yield calls
    finally:
        setattr(owner, name, method)


def evaluation(start: Start, jobs: list[Job]) -> Callable[[], None]:
    """Every point of some jobs, as a new worker evaluates them, but for the file."""

    def sweep() -> None:
        resources = Resources(start)
        for job in jobs:
            with evaluator(job, resources, start.run_dir) as evaluate:
                for snr_db in job.snr_db:
                    evaluate(snr_db)

    return sweep


def bare(calls: list[tuple[Foundation, Tensor, Tensor, int, Tensor]]) -> Callable[[], None]:
    """The foundation model alone: as many answers of the same lengths from the same prefixes."""

    @torch.no_grad()
    def generate() -> None:
        for foundation, prefix, mask, _, ids in calls:
            new = ids.shape[1]
            foundation.model.generate(
                inputs_embeds=prefix.to(foundation.dtype),
                attention_mask=mask.long(),
                min_new_tokens=new,
                max_new_tokens=new,
                do_sample=False,
                pad_token_id=foundation.tokenizer.pad_token_id,
            )

    return generate


def share(start: Start, jobs: list[Job], repeats: int) -> tuple[float, float]:
    """Median time [s] of the jobs' points, and of their bare forwards by the adapted model, in turns, both warm."""
    sweep = evaluation(start, jobs)
    with counted(Foundation, "generate") as calls:
        sweep()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        times[0].append(seconds(sweep))
        with Resources(start).foundation() as foundation:
            foundation.add_lora()
            foundation.model.eval()
            times[1].append(seconds(bare(calls)))
    return statistics.median(times[0]), statistics.median(times[1])


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def trained(start: Start, variants: Sequence[str]) -> Start:
    """Train some variants for as many steps as timing them takes: one."""
    start.run_dir.mkdir()
    jobs = {job.name: job for job in start.experiment.resolved().jobs}
    worker = Worker(start)
    for variant in variants:
        job = jobs[f"finetune {variant} seed 0"]
        for name in (*job.needs, job.name):
            if not jobs[name].done(start.run_dir):
                worker.run(jobs[name], worker.resources, lambda report: None)
    return start


def training_seconds(settings: list[str], run_dir: Path, workers: int) -> float:
    """All trainings of the quickstart on so many workers, from the first worker's start to the last one's end [s]."""
    run("quickstart", out=run_dir, overrides=settings, workers=workers, until="finetune")
    times = json.loads((run_dir / "logs" / "seconds.json").read_text())
    return times[STAGE_NAMES["align"]] + times[STAGE_NAMES["finetune"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into FILE")
    parser.add_argument("--repeats", type=int, default=2, help="of each comparison; their median counts")
    options = parser.parse_args()
    console = Console(highlight=False)
    results: dict[str, float] = {}
    brief = {"stage1.steps": 1, "stage2.steps": 1}

    def compare(size: str, start: Start, variants: Sequence[str], snr_db: tuple[float, ...]) -> None:
        trained(start, variants)
        times = []
        for link in start.experiment.resolved().evaluated_links:
            jobs = evaluations(start.experiment, link, variants, snr_db)
            times.append(share(start, jobs, options.repeats))
            say(f"{size}, {link}, {sum(len(job.snr_db) for job in jobs)} points", *times[-1])
        say(f"{size}, all links", *map(sum, zip(*times, strict=True)))

    def say(what: str, ours: float, alone: float) -> None:
        results[f"forward share, {what}"] = alone / ours
        console.print(f"{what}: {ours:.2f} s, bare forwards {alone:.2f} s, share [bold]{alone / ours:.3f}[/]")

    for name, taken, once in digital_points():
        results[f"radio of a point, {name}"] = taken
        results[f"radio of a point, {name}, once for an SNR"] = once
        console.print(f"radio of a point, {name}: {taken:.3f} s, and {once:.3f} s once for an SNR")
    faster = results["radio of a point, bit-exact"] / results["radio of a point, mapped"]
    console.print(f"mapped decoding is [bold]{faster:.0f}[/] times as fast as bit-exact")

    with tempfile.TemporaryDirectory(prefix="tokcom-bench-") as scratch:
        folder = Path(scratch)
        settings = experiment(CORPUS, **brief)
        with counted(PretrainedEncoder, "encode") as encoded:
            root, store = corpus_of(settings, folder)
            first = len(encoded)
            start = Start(settings, folder / "tiny", root, store, Path.cwd())
            compare("tiny", start, list(settings.variants), (-10.0, 0.0, 10.0, 20.0))
            prepare(root, settings.encoders, settings.resolved().lengths)
        clips = len(FeatureStore.open(store).video_ids)
        results["encoder calls per clip and modality"] = first / clips / len(settings.encoders)
        results["encoder calls again"] = len(encoded) - first
        console.print(
            f"{clips} clips: {first} encoder calls, by sweep and second preparation {len(encoded) - first} more"
        )

        overrides = [f"data.synthetic.{name}={number}" for name, number in CORPUS.items()]
        overrides += ["stage1.steps=150", "stage2.steps=75"]
        one, two = (training_seconds(overrides, folder / f"on-{n}", n) for n in (1, 2))
        results["trainings, two workers"] = one / two
        console.print(f"trainings: one worker {one:.1f} s, two {two:.1f} s, ratio [bold]{one / two:.2f}[/]")

        large = {
            "foundation": large_foundation(folder / "large"),
            "receiver_width": 1024,
            "stage1.batch": 8,
            "evaluation_batch": 20,
        }
        settings = experiment(SMALL_CORPUS, **brief, **large)
        start = Start(settings, folder / "large-run", *corpus_of(settings, folder), Path.cwd())
        compare("0.5B", start, ["aligned"], (10.0,))

    if options.json:
        with write_atomically(options.json) as path:
            path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
