"""Batches for both stages: features from the store, texts through the foundation model's tokenizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.utils.data import Dataset

from tokcom_phy.data.formats import Caption, Question
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.foundation import Foundation


class Items(Dataset):
    """A list as a torch dataset; the collator does the work, a whole batch at a time."""

    def __init__(self, items: Sequence[Caption] | Sequence[Question]):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Caption | Question:
        return self.items[index]


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

    def captions(self, captions: Sequence[Caption]) -> dict:
        """``features`` and the caption ``text`` (ids and mask, padded on the right)."""
        return {
            "features": self.features([c.video_id for c in captions]),
            "text": self.foundation.tokenize_text([c.text for c in captions]),
        }

    def questions(self, questions: Sequence[Question]) -> dict:
        """``features``, ``question`` (padded on the left) and ``answer`` (padded on the right)."""
        return {
            "features": self.features([q.video_id for q in questions]),
            "question": self.foundation.tokenize_questions([q.text for q in questions]),
            "answer": self.foundation.tokenize_answers([q.answer for q in questions]),
        }
