"""What a worker process loads once: foundation models, feature stores, annotations, links."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from tokcom_phy.data.formats import Caption, Question, caption_splits, load_captions, load_questions
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.experiments.resolve import ResolvedLink
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.radio import Link
from tokcom_phy.sweep.messages import Start
from tokcom_phy.utils.errors import UserError

CACHE_BYTES = 2**29
"""Memory for the realisations of one link and seed, over which all variants are evaluated [bytes]."""

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

Item = TypeVar("Item", Caption, Question)


class Resources:
    """Models, data and links of one run.

    Parameters
    ----------
    start : Start
    """

    def __init__(self, start: Start):
        self.experiment = start.experiment
        self.root = start.root
        self.store = _store(start.store) if start.store else None
        self._links: dict[str, Link] = {}
        self._cached_link: tuple[tuple[str, int], Link] | None = None

    @contextmanager
    def foundation(self) -> Iterator[Foundation]:
        """The foundation model without LoRA; adapters that are added are removed at the end of the ``with`` block."""
        foundation = _foundation(self.experiment.foundation, _PRECISIONS[self.experiment.precision])
        try:
            yield foundation
        finally:
            foundation.remove_lora()

    def questions(self, split: str) -> list[Question]:
        """The questions of a split whose clip has features; all of them where nothing is heard or seen."""
        return self._prepared(_questions(self.root, split), f"question of the {split} split")

    def captions(self, split: str) -> list[Caption]:
        """The captions of a split, likewise."""
        return self._prepared(_captions(self.root, split), f"caption of the {split} split")

    def held_out_captions(self) -> list[Caption]:
        """Captions of the splits that stage 1 does not train on."""
        used = self.experiment.data.splits.captions
        return [caption for split in caption_splits(self.root) if split != used for caption in self.captions(split)]

    def widths(self) -> dict[str, int]:
        """modality → d_m of its prepared features."""
        return {m: self.store.width(m) for m in self.experiment.encoders} if self.store is not None else {}

    def link(self, link: ResolvedLink) -> Link:
        """A link of the experiment."""
        if link.name not in self._links:
            self._links[link.name] = link.load()
        return self._links[link.name]

    def cached_link(self, link: ResolvedLink, seed: int) -> Link:
        """A link that keeps its realisations until another link or seed is evaluated."""
        if self._cached_link is None or self._cached_link[0] != (link.name, seed):
            self._cached_link = (link.name, seed), self.link(link).cached(CACHE_BYTES)
        return self._cached_link[1]

    def _prepared(self, items: list[Item], what: str) -> list[Item]:
        prepared = [item for item in items if self.store is None or item.video_id in self.store]
        if not prepared:
            raise UserError(f"no {what} in {self.root} has a prepared clip: run tokcom data check on that folder")
        return prepared


@cache
def _store(path: Path) -> FeatureStore:
    return FeatureStore.open(path)


@cache
def _foundation(name: str, dtype: torch.dtype) -> Foundation:
    return Foundation.load(name, dtype)


@cache
def _questions(root: Path, split: str) -> list[Question]:
    return load_questions(root, split)


@cache
def _captions(root: Path, split: str) -> list[Caption]:
    return load_captions(root, split)
