"""Batches for both stages: features from the store, texts through the foundation model's tokenizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tokcom_phy.data.formats import Caption, Question
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.model.foundation import Foundation

WHOLE = slice(None)


class Order(Dataset[int]):
    """Which item a training takes at each of its places, shuffled anew in every epoch.

    A place counts examples from the first of the first step on. It names an example's item and its realisation of the
    link, whichever process computes it and however often the training was interrupted before. As a dataset this is
    the places themselves: what is read is left to the collator, a whole batch at a time.

    Parameters
    ----------
    num_items : int
        At least ``batch``; what does not fill a batch at the end of an epoch is left out of it.
    steps, batch : int
        Optimiser steps, and examples in each.
    seed : int
    """

    def __init__(self, num_items: int, steps: int, batch: int, seed: int):
        whole = num_items - num_items % batch
        epochs = -(-steps * batch // whole)
        shuffled = [torch.randperm(num_items, generator=torch.Generator().manual_seed(seed + e)) for e in range(epochs)]
        self.items = torch.cat([order[:whole] for order in shuffled])[: steps * batch]
        self.batch = batch

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> int:
        return place

    def step(self, place: int) -> list[int]:
        """The items of the whole optimiser step that a place belongs to."""
        first = place - place % self.batch
        return self.items[first : first + self.batch].tolist()


@dataclass(frozen=True)
class Batcher:
    """Turns captions or questions into what a system takes.

    Attributes
    ----------
    store : FeatureStore or None
        None where nothing is heard or seen.
    lengths : modality → s_m
        Which modalities to load, and how many tokens of each.
    foundation : Foundation
        Whose tokenizer cuts the texts.
    """

    store: FeatureStore | None
    lengths: Mapping[str, int]
    foundation: Foundation

    def features(self, video_ids: Sequence[str]) -> dict[str, Tensor]:
        """modality → float32 [b, s_m, d_m]."""
        if self.store is None:
            return {}
        return {m: self.store.tokens(m, video_ids, length) for m, length in self.lengths.items()}

    def captions(self, captions: Sequence[Caption], part: slice = WHOLE) -> dict:
        """``features``, the caption ``text`` (ids and mask, padded on the right) and its ``weight``.

        Parameters
        ----------
        captions : sequence of b captions
        part : slice
            Which of them are wanted. Texts are padded as for all of them, and ``weight`` is the number of tokens per
            example of the part over that of all: parts of equal size whose means are weighted so have the mean of all.
        """
        ids, mask = self.foundation.tokenize_text([c.text for c in captions])
        return {
            "features": self.features([c.video_id for c in captions[part]]),
            "text": (ids[part], mask[part]),
            "weight": _weight(mask, part),
        }

    def questions(self, questions: Sequence[Question], part: slice = WHOLE) -> dict:
        """``features`` and the `texts` of questions; ``part`` is that of `captions`."""
        return {"features": self.features([q.video_id for q in questions[part]]), **self.texts(questions, part)}

    def texts(self, questions: Sequence[Question], part: slice = WHOLE) -> dict:
        """``question`` (padded on the left), ``answer`` (padded on the right) and its ``weight``.

        ``part`` is that of `captions`.
        """
        question, question_mask = self.foundation.tokenize_questions([q.text for q in questions])
        answer, answer_mask = self.foundation.tokenize_answers([q.answer for q in questions])
        return {
            "question": (question[part], question_mask[part]),
            "answer": (answer[part], answer_mask[part]),
            "weight": _weight(answer_mask, part),
        }


def _weight(mask: Tensor, part: slice) -> float:
    return (mask[part].sum() * len(mask)).item() / (mask.sum() * len(mask[part])).item()
