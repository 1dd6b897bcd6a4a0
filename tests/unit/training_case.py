"""A small system with real parts, and items to train it on; as a script it trains and writes the losses down."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import set_seed

from tokcom_phy.data.formats import Caption, Question
from tokcom_phy.data.store import Contents, FeatureStore, Modality, Row, write_store
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.system import SystemConfig, TokenCommSystem
from tokcom_phy.radio import load_link
from tokcom_phy.training.align import align
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.distributed import process_index
from tokcom_phy.training.finetune import finetune
from tokcom_phy.training.settings import AlignmentSettings, FinetuningSettings
from tokcom_phy.training.trainer import LinkSampler

WIDTHS = {"audio": 6, "video": 10}
NUM_CLIPS = 20
QUESTIONS = ["Which instrument sounds first?", "How many?", "Is the flute there?"]
ANSWERS = ["the cello", "two", "How many flutes are there?", "no"]
CAPTIONS = ["The cello.", "Which flutes are there first? How many cello", "sounds"]
BATCH: dict[str, Any] = {"batch": 8, "learning_rate": 1e-2}


def questions() -> list[Question]:
    return [
        Question(f"clip{i}", i, ("Audio", "Counting"), "", QUESTIONS[i % 3], ANSWERS[i % 4]) for i in range(NUM_CLIPS)
    ]


def captions() -> list[Caption]:
    return [Caption(f"clip{i}", CAPTIONS[i % 3]) for i in range(NUM_CLIPS)]


def batcher(foundation: Foundation, folder: Path) -> Batcher:
    """Random features in a real store under ``folder``."""
    generator = np.random.default_rng(0)
    if not folder.is_dir():
        modalities = {name: Modality("random", 4, width, (0, 1, 2, 3)) for name, width in WIDTHS.items()}
        rows = {
            f"clip{i}": Row("", {m: generator.normal(size=4 * w).astype(np.float16) for m, w in WIDTHS.items()})
            for i in range(NUM_CLIPS)
        }
        write_store(folder, Contents(modalities), rows)
    return Batcher(FeatureStore.open(folder), dict.fromkeys(WIDTHS, 4), foundation)


def system(foundation: Foundation) -> TokenCommSystem:
    """A system with audio and video, its question over the air; the same weights every time."""
    set_seed(3)
    return TokenCommSystem(SystemConfig(WIDTHS, foundation.width, 16, "on-air"), foundation)


def train_both_stages(foundation_folder: Path, folder: Path, link: str = "rayleigh-mimo") -> dict[str, list[float]]:
    """The losses of stage 1, its contrast training the text too, and of stage 2, over SNRs drawn from a range."""
    foundation = Foundation.load(foundation_folder)
    trained, batches = system(foundation), batcher(foundation, folder / "features")
    radio = LinkSampler(load_link(link), (0.0, 20.0), 5)
    stage1 = AlignmentSettings(steps=5, learn_text=True, **BATCH)
    losses = {"stage 1": align(trained, captions(), batches, radio, stage1, "contrastive", 5)}
    set_seed(4)
    foundation.add_lora()
    stage2 = FinetuningSettings(steps=5, **BATCH)
    return {**losses, "stage 2": finetune(trained, questions(), batches, radio, stage2, 5)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = train_both_stages(Path(sys.argv[1]), Path(sys.argv[2]))
    Path(sys.argv[2], f"losses-{process_index()}.json").write_text(json.dumps(found))
