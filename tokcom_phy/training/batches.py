"""Batches of both stages: features from the store, and tokenised texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from tokcom_phy.data.formats import Caption, Question
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.model.compression import Compression
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.system import TokenCommSystem

WHOLE = slice(None)


class EpochSampler(Dataset[int]):
    """Which item each training sample takes, shuffled anew in every epoch.

    Training samples are numbered through from the first of the first step. The number, the *sample index*, determines
    the item and the realisation of the link, whichever process computes the sample and however often the training was
    interrupted. As a dataset this gives the indices themselves; the collator reads the items, a whole batch at a time.

    Parameters
    ----------
    num_items : int
        At least ``batch``; items that do not fill a batch at the end of an epoch are left out of that epoch.
    steps, batch : int
        Optimiser steps, and samples in each.
    seed : int
    """

    def __init__(self, num_items: int, steps: int, batch: int, seed: int):
        whole = num_items - num_items % batch
        epochs = -(-steps * batch // whole)
        shuffled = [np.random.default_rng(_epoch_seed(seed, epoch)).permutation(num_items) for epoch in range(epochs)]
        self.items = np.concatenate([order[:whole] for order in shuffled])[: steps * batch]
        self.batch = batch

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, sample_index: int) -> int:
        return sample_index

    def step(self, sample_index: int) -> list[int]:
        """The items of the whole optimiser step that a sample belongs to."""
        first = sample_index - sample_index % self.batch
        return self.items[first : first + self.batch].tolist()


def _epoch_seed(seed: int, epoch: int) -> np.random.SeedSequence:
    """One of its own for every epoch of every seed: a sum of the two would be shared by the next seed's last epoch."""
    return np.random.SeedSequence(seed, spawn_key=(epoch,))


@dataclass(frozen=True)
class Batcher:
    """Makes batches of captions or questions.

    Attributes
    ----------
    store : FeatureStore or None
        None for a system without audio and video.
    lengths : modality → s_m
        Which modalities to load, and how many tokens of each.
    foundation : Foundation
        Its tokenizer is used.
    compressions : modality → how its tokens are compressed, Slide where it is not named
    """

    store: FeatureStore | None
    lengths: Mapping[str, int]
    foundation: Foundation
    compressions: Mapping[str, Compression] = field(default_factory=dict)

    @classmethod
    def of(cls, system: TokenCommSystem, store: FeatureStore | None, lengths: Mapping[str, int]) -> "Batcher":
        """Batches for a system: ``lengths`` tokens of each modality, all where it has its own selector."""
        whole = {}
        if store is not None:
            whole = {m: store.modalities[m].num_tokens for m in lengths if m in system.selectors}
        compressions = {m: system.config.components.compression(m) for m in lengths}
        return cls(store, {**lengths, **whole}, system.foundation, compressions)

    def features(self, video_ids: Sequence[str]) -> dict[str, Tensor]:
        """modality → float32 [b, s_m, d_m]."""
        if self.store is None:
            return {}
        return {
            m: self.store.tokens(m, video_ids, length, self.compressions.get(m, "slide"))
            for m, length in self.lengths.items()
        }

    def captions(self, captions: Sequence[Caption], part: slice = WHOLE) -> dict:
        """``features``, the captions' ``text`` (`TextBatch`) and its ``weight``.

        Parameters
        ----------
        captions : sequence of b captions
        part : slice
            Which of them are wanted. Texts are padded to the longest of all. ``weight`` is the mean number of text
            tokens per example of the part over that of all: the weighted mean losses of equal parts average to the
            mean loss over all text tokens.
        """
        text = self.foundation.tokenize_text([c.text for c in captions])
        return {
            "features": self.features([c.video_id for c in captions[part]]),
            "text": text[part],
            "weight": _weight(text.mask, part),
        }

    def questions(self, questions: Sequence[Question], part: slice = WHOLE) -> dict:
        """``features`` and the `texts` of questions; ``part`` as in `captions`."""
        return {"features": self.features([q.video_id for q in questions[part]]), **self.texts(questions, part)}

    def texts(self, questions: Sequence[Question], part: slice = WHOLE) -> dict:
        """``question`` (padded on the left), ``answer`` (padded on the right) and the answer's ``weight``.

        ``part`` and ``weight`` as in `captions`.
        """
        question = self.foundation.tokenize_questions([q.text for q in questions])
        answer = self.foundation.tokenize_answers([q.answer for q in questions])
        return {"question": question[part], "answer": answer[part], "weight": _weight(answer.mask, part)}


def _weight(mask: Tensor, part: slice) -> float:
    return (mask[part].sum() * len(mask)).item() / (mask.sum() * len(mask[part])).item()
