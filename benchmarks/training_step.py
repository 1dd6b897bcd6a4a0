"""The training step that bench_train.py measures: its sizes, its parts and a clock for them."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from transformers import (
    ASTConfig,
    ASTModel,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen2Config,
    VivitConfig,
    VivitModel,
)

from tokcom_phy.data.store import Contents, FeatureStore, Modality, Row, write_store
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.foundation_config import find_foundation
from tokcom_phy.model.hub import locate
from tokcom_phy.model.system import LinkUse, SystemConfig, TokenCommSystem
from tokcom_phy.model.text import TextBatch
from tokcom_phy.radio import load_link
from tokcom_phy.training.align import AlignmentStep
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.finetune import FinetuningStep
from tokcom_phy.training.settings import AlignmentSettings
from tokcom_phy.training.trainer import LinkSampler

LINKS = ["awgn", "ofdm-tdl-c"]
"""The link that the steps go through, and another that is timed by itself."""


@dataclass(frozen=True)
class Size:
    """Shapes of a training step."""

    foundation: Any
    dtype: torch.dtype
    receiver_width: int
    encoders: dict[str, Any]
    tokens: int
    question: int
    answer: int
    batch: int


def sizes(batch: int | None) -> dict[str, Size]:
    tiny = AutoConfig.from_pretrained(locate("tiny/foundation", ["config.json"], "foundation"))
    qwen = Qwen2Config(
        hidden_size=1536,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        intermediate_size=8960,
        vocab_size=151_936,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    small = {
        name: AutoConfig.from_pretrained(locate(f"tiny/{name}", ["config.json"], f"encoders.{name}"))
        for name in ("audio", "video")
    }
    return {
        "tiny": Size(tiny, torch.float32, 256, small, 32, 12, 4, batch or 16),
        "full": Size(
            qwen, torch.bfloat16, 1024, {"audio": ASTConfig(), "video": VivitConfig()}, 128, 28, 4, batch or 8
        ),
    }


class Clock:
    """Adds up the seconds of the parts of a step; `wrap` has a method of an object counted as a part."""

    def __init__(self, device: torch.device):
        self.device = device
        self.steps: list[dict[str, float]] = []

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = self.now()
        yield
        self.steps[-1][name] += self.now() - start

    def wrap(self, owner: Any, method: str, name: str) -> None:
        call = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return call(*arguments, **options)

        setattr(owner, method, timed)

    def step(self, run: Callable[[], object]) -> None:
        self.steps.append(defaultdict(float))
        with self.part("step"):
            run()

    def medians(self) -> dict[str, float]:
        """Seconds of each part and of the rest, the first step left out."""
        measured = [{**step, "rest": 2 * step["step"] - sum(step.values())} for step in self.steps[1:]]
        return {part: statistics.median(step[part] for step in measured) for part in measured[0]}

    def spread(self) -> float:
        """Slowest step over fastest."""
        seconds = [step["step"] for step in self.steps[1:]]
        return max(seconds) / min(seconds)


class Bench:
    """A system of some size, features on disk, and steps of both stages and of the opponent."""

    def __init__(self, size: Size, device: torch.device, scratch: Path):
        torch.manual_seed(0)
        self.size, self.device = size, device
        tokenizer = AutoTokenizer.from_pretrained(find_foundation("tiny/foundation"))
        model = AutoModelForCausalLM.from_config(size.foundation, dtype=size.dtype)
        foundation = Foundation(model.to(device), tokenizer, "random weights")
        widths = {modality: config.hidden_size for modality, config in size.encoders.items()}
        self.system = TokenCommSystem(SystemConfig(widths, foundation.width, size.receiver_width), foundation).to(
            device
        )
        self.names = [f"clip{i}" for i in range(8 * size.batch)]
        self.batcher = Batcher(self.store(widths, scratch), dict.fromkeys(widths, size.tokens), foundation)
        self.radio = LinkSampler(load_link(LINKS[0]), 10.0, 0)
        self.done = 0

    def store(self, widths: dict[str, int], folder: Path) -> FeatureStore:
        generator, positions = np.random.default_rng(0), tuple(range(self.size.tokens))
        kept = {m: Modality("random", self.size.tokens, width, positions) for m, width in widths.items()}
        rows = {
            name: Row(
                "", {m: generator.normal(size=self.size.tokens * w).astype(np.float16) for m, w in widths.items()}
            )
            for name in self.names
        }
        write_store(folder, Contents(kept), rows)
        return FeatureStore.open(folder)

    def adapt(self) -> None:
        self.system.foundation.add_lora()
        self.system.to(self.device).train()

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimiser that the Trainer takes."""
        trained = [p for p in module.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)

    def text(self, length: int) -> TextBatch:
        shape = self.size.batch, length
        ids = torch.randint(self.size.foundation.vocab_size, shape, device=self.device)
        return TextBatch(ids, torch.ones(shape, dtype=torch.bool, device=self.device))

    def features(self) -> dict[str, Tensor]:
        """The next clips, from the store."""
        first = self.done % 8 * self.size.batch
        return send_to_device(self.batcher.features(self.names[first : first + self.size.batch]), self.device)

    def step(self, module: nn.Module, texts: dict[str, Any], optimizer: torch.optim.Optimizer, clock: Clock) -> None:
        with clock.part("features"):
            features = self.features()
        sample_indices = list(range(self.done * self.size.batch, (self.done + 1) * self.size.batch))
        self.done += 1
        loss = module(features=features, **texts, weight=1.0, sample_indices=sample_indices)["loss"]
        self.update(loss, optimizer, clock)

    def update(self, loss: Tensor, optimizer: torch.optim.Optimizer, clock: Clock) -> None:
        with clock.part("backward"):
            loss.backward()
        with clock.part("optimiser"):
            optimizer.step()
            optimizer.zero_grad()

    def alignment(self, clock: Clock) -> Callable[[], None]:
        """A step of stage 1."""
        settings = AlignmentSettings(steps=1, batch=self.size.batch, learning_rate=1e-4)
        module = AlignmentStep(self.system, self.radio, settings, "contrastive")
        texts, optimizer = {"text": self.text(self.size.question)}, self.optimizer(module)
        return lambda: self.step(module, texts, optimizer, clock)

    def finetuning(self, clock: Clock) -> Callable[[], None]:
        """A step of stage 2."""
        module = FinetuningStep(self.system, self.radio)
        texts = {"question": self.text(self.size.question), "answer": self.text(self.size.answer)}
        optimizer = self.optimizer(module)
        return lambda: self.step(module, texts, optimizer, clock)

    def opponent(self, clock: Clock) -> Callable[[], None]:
        """A step of the foundation model with its adapter on ready-made embeddings."""
        foundation, size = self.system.foundation, self.size
        length = size.tokens * len(size.encoders) + size.question + size.answer - 1
        embeddings = torch.randn(size.batch, length, foundation.width, device=self.device, dtype=size.dtype)
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=self.device)
        answer = self.text(size.answer).ids
        optimizer = self.optimizer(foundation)
        last = torch.arange(-size.answer, 0, device=self.device)

        def run() -> None:
            found = foundation.model(
                inputs_embeds=embeddings, attention_mask=mask, use_cache=False, logits_to_keep=last
            ).logits.float()
            loss = nn.functional.cross_entropy(found.flatten(0, 1), answer.flatten())
            self.update(loss, optimizer, clock)

        return run

    def evaluation(self, steps: int) -> float:
        """Seconds for a question of a batch that is sent, received and answered."""
        question, radio = self.text(self.size.question), LinkUse(self.radio.link, 10.0, 0, range(self.size.batch))
        self.system.eval()
        clock = Clock(self.device)
        with torch.no_grad():
            for _ in range(steps + 1):
                clock.step(lambda: self.system.generate(self.features(), question, radio, self.size.answer))
        return clock.medians()["step"] / self.size.batch

    def encode(self) -> float:
        """Seconds that the frozen encoders take for one batch, measured on one clip and taken ``batch`` times."""
        audio, video = self.size.encoders["audio"], self.size.encoders["video"]
        encoders = ASTModel(audio).to(self.device).eval(), VivitModel(video).to(self.device).eval()
        inputs = (
            torch.randn(1, audio.max_length, audio.num_mel_bins, device=self.device),
            torch.randn(1, video.num_frames, 3, video.image_size, video.image_size, device=self.device),
        )
        clock = Clock(self.device)
        with torch.no_grad():
            for _ in range(2):
                clock.step(lambda: [encoder(x) for encoder, x in zip(encoders, inputs, strict=True)])
        return clock.medians()["step"] * self.size.batch

    def other_link(self) -> float:
        """Seconds for sending the tokens of a step over the link that is timed by itself, once warm."""
        link, size = load_link(LINKS[1]), self.size
        width = self.system.foundation.width
        sent = {m: torch.randn(size.batch, size.tokens, width, device=self.device) for m in size.encoders}
        clock = Clock(self.device)
        for step in range(3):
            sample_indices = range(step * size.batch, (step + 1) * size.batch)
            clock.step(partial(link.transmit, sent, 10.0, seed=0, indices=sample_indices))
        return clock.medians()["step"]

    def flops(self) -> float:
        """Floating-point operations of the foundation's matrix products in a stage-2 step: forward, and backward to the
        embeddings, the weights being frozen; 2 a weight and position each."""
        weights = sum(p.numel() for name, p in self.system.foundation.named_parameters() if "proj" in name)
        positions = self.size.batch * (
            self.size.tokens * len(self.size.encoders) + self.size.question + self.size.answer
        )
        return 4.0 * weights * positions
