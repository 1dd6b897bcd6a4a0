"""Samples of the foundation model's pretraining, laid out in batches."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Bag = list[tuple[int, float]]
"""One input position: token identifiers with weights, whose weighted sum of embeddings enters the model."""


@dataclass(frozen=True)
class Sample:
    """A context and the questions asked of it. ``soft`` says whether the context's tokens stand for more than words."""

    context: list[Bag]
    soft: bool
    pairs: list[tuple[list[int], list[int]]]


@dataclass(frozen=True)
class Batch:
    """Samples laid out in rows of equal length.

    Each question with its answer sees its row's context and itself only, and is positioned as if it followed the
    context at once, as when the model is used.
    """

    bag_ids: Tensor
    """int64 [n], all positions' token identifiers"""
    bag_weights: Tensor
    """float32 [n]"""
    bag_offsets: Tensor
    """int64 [b·length], where each position's bag begins"""
    soft: Tensor
    """bool [b, length], positions that carry noise and scale"""
    positions: Tensor
    """int64 [b, length]"""
    mask: Tensor
    """bool [b, 1, length, length], True where a query may see a key"""
    targets: Tensor
    """int64 [b, length], the token that follows; -100 where none is to be predicted"""
    answers: Tensor
    """bool [b, length], targets that belong to an answer or end it"""


def collate(samples: list[Sample]) -> Batch:
    """Lay samples out in rows; see `Batch`."""
    ids: list[int] = []
    weights: list[float] = []
    offsets: list[int] = []
    length = max(len(s.context) + sum(len(q) + len(a) for q, a in s.pairs) for s in samples)
    shape = (len(samples), length)
    soft = np.zeros(shape, dtype=bool)
    answers = np.zeros(shape, dtype=bool)
    positions = np.zeros(shape, dtype=np.int64)
    targets = np.full(shape, -100, dtype=np.int64)
    segments = np.full(shape, -1, dtype=np.int64)
    for row, sample in enumerate(samples):
        end = len(sample.context)
        bags = list(sample.context)
        soft[row, :end] = sample.soft
        positions[row, :end] = np.arange(end)
        segments[row, :end] = 0
        if not sample.soft and end:
            targets[row, : end - 1] = [bag[0][0] for bag in sample.context[1:]]
        for number, (question, answer) in enumerate(sample.pairs, start=1):
            tokens = question + answer
            begin, end = end, end + len(tokens)
            bags += [[(token, 1.0)] for token in tokens]
            positions[row, begin:end] = len(sample.context) + np.arange(len(tokens))
            segments[row, begin:end] = number
            targets[row, begin : end - 1] = tokens[1:]
            answers[row, begin + len(question) - 1 : end - 1] = True
        for bag in bags + [[]] * (length - end):
            offsets.append(len(ids))
            ids += [token for token, _ in bag]
            weights += [weight for _, weight in bag]
    query, key = segments[:, :, None], segments[:, None, :]
    mask = ((key == query) | (key == 0) & (query > 0)) & np.tril(np.ones((length, length), dtype=bool))
    return Batch(
        torch.tensor(ids),
        torch.tensor(weights),
        torch.tensor(offsets),
        *(torch.from_numpy(a) for a in (soft, positions, mask[:, None], targets, answers)),
    )
