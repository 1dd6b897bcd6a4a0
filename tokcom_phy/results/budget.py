"""What an experiment sends and what that costs on each of its links: the command ``tokcom budget``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tokcom_phy.data.formats import dataset_folders
from tokcom_phy.data.media import raw_files
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.foundation_config import foundation_width, load_tokenizer
from tokcom_phy.model.prompt import prompt
from tokcom_phy.model.system_config import TEXT
from tokcom_phy.radio import Link
from tokcom_phy.radio.cost import Budget, symbols_of_bits, symbols_of_tokens
from tokcom_phy.results.tables import ALL, COLUMNS
from tokcom_phy.utils.errors import UserError

BITS_PER_VALUE = 8
"""Quantisation of the digital tokens that the analog ones are compared with."""


@dataclass(frozen=True)
class Cost:
    """What one question costs over one link, sent as tokens, digital tokens, a digital link's own bits, or the file."""

    link: str
    sent_as: str
    budget: Budget


@dataclass(frozen=True)
class Payload:
    """What some variants send for one question, and what that costs.

    Attributes
    ----------
    variants : those that send the same
    lengths : modality → s_m; empty where nothing goes over the air
    costs : in the order of the links
    """

    variants: list[str]
    lengths: dict[str, int]
    costs: list[Cost]

    def describe(self, width: int) -> str:
        """What is sent, in words; ``width`` is that of a token."""
        if not self.lengths:
            return "nothing goes over the air"
        tokens = ", ".join(f"{length} {user}" for user, length in self.lengths.items())
        return f"{tokens} tokens of {width} values a question"


def sent_tokens(experiment: Experiment, variant: str, question_tokens: int) -> dict[str, int]:
    """Tokens that each user of a variant sends for one question: modality → s_m."""
    lengths = dict(experiment.resolved().variants[variant].modalities)
    if experiment.variants[variant].question == "on-air":
        lengths[TEXT] = question_tokens
    return lengths


def payloads(
    experiment: Experiment,
    links: Mapping[str, Link],
    width: int,
    question_tokens: int,
    clip_bits: float | None = None,
) -> list[Payload]:
    """What each variant sends for one question, and its cost over each link that the variant is evaluated on.

    Parameters
    ----------
    experiment : Experiment
    links : name in the experiment → Link
    width : d_T
    question_tokens : length of a question that is sent over the air
    clip_bits : size of a clip's file, to compare with sending that; left out by default
    """
    groups: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for variant in experiment.variants:
        groups.setdefault(tuple(sent_tokens(experiment, variant, question_tokens).items()), []).append(variant)
    found = []
    for payload, variants in groups.items():
        visited = [s.links for s in experiment.evaluate if any(variant in s.variants for variant in variants)]
        names = dict.fromkeys(name for names in visited for name in names)
        lengths = dict(payload)
        costs = [cost for name in names for cost in _costs(name, links[name], lengths, width, clip_bits)]
        found.append(Payload(variants, lengths, costs))
    return found


def _costs(name: str, link: Link, lengths: Mapping[str, int], width: int, clip_bits: float | None) -> Iterator[Cost]:
    if not lengths:
        return
    analog = {user: symbols_of_tokens(length, width) for user, length in lengths.items()}
    digital = {user: symbols_of_bits(length * width * BITS_PER_VALUE) for user, length in lengths.items()}
    yield Cost(name, link.sent_as, link.cost(analog, symbols_per_token=width // 2))
    if link.analog:
        yield Cost(name, "digital", link.cost(digital))
    if clip_bits and set(lengths) != {TEXT}:
        yield Cost(name, "file", link.cost({next(iter(lengths)): symbols_of_bits(clip_bits)}))


def budget_tables(experiment: Experiment, media: Path | None, question_tokens: int) -> Group:
    """The cost of one question on every link: as analog tokens, as digital tokens, and as the clip's own file.

    Parameters
    ----------
    experiment : Experiment
    media : Path, optional
        A dataset's folder; the mean size of its video files is that of a clip. Without it, or where it holds none, that
        comparison is left out.
    question_tokens : int
        Length of a question that is sent over the air.

    Returns
    -------
    Group
        A table for the variants that send the same, no wider than 80 columns.

    Raises
    ------
    UserError
        If the foundation model is not to be had, or there is no folder ``media``.
    """
    width = foundation_width(experiment.foundation)
    clip_bits = _mean_clip_bits(media) if media else None
    links = {name: experiment.resolved().links[name].load() for name in experiment.resolved().evaluated_links}
    parts: list[RenderableType] = []
    for payload in payloads(experiment, links, width, question_tokens, clip_bits):
        parts += [f"\n[bold]{escape(', '.join(payload.variants))}[/]", payload.describe(width)]
        if payload.costs:
            parts.append(_table(payload.costs))
    parts.append(
        f"digital: tokens of {BITS_PER_VALUE} bits a value, 16-QAM at rate 1/2, in as many uses as that takes; digital "
        "links send theirs in as many as analog tokens"
        + ("; file: the clip as it is, likewise" if clip_bits else "")
        + "; energy at 23 dBm a user"
    )
    return Group(*parts)


def question_lengths(experiment: Experiment, questions: Sequence[str]) -> list[int]:
    """Tokens of each question."""
    tokenizer = load_tokenizer(experiment.foundation)
    return [len(ids) for ids in tokenizer([prompt(q) for q in questions], add_special_tokens=False)["input_ids"]]


def mean_question_tokens(experiment: Experiment, questions: Sequence[str]) -> int:
    """Tokens of a question that goes over the air, the mean of all; 0 if none does."""
    if all(variant.question == "reliable" for variant in experiment.variants.values()):
        return 0
    return round(mean(question_lengths(experiment, questions)))


def tabulate_budgets(experiment: Experiment, questions: Sequence[str]) -> pd.DataFrame:
    """Rows of ``results.csv`` with what one question costs each variant over each link that it is evaluated on.

    Metrics are ``channel_uses``, ``latency_ms`` and ``energy_mj``; ``snr_db`` and ``seed`` are absent (NaN).

    Parameters
    ----------
    experiment : Experiment
    questions : list of str
        Those that are asked: one that goes over the air is as long as they are in the mean, rounded.
    """
    width = foundation_width(experiment.foundation)
    links = {name: experiment.resolved().links[name].load() for name in experiment.resolved().evaluated_links}
    visits = {
        (variant, link): None for series in experiment.evaluate for variant in series.variants for link in series.links
    }
    on_air = mean_question_tokens(experiment, questions)
    rows = []
    for variant, link in visits:
        payload = {
            user: symbols_of_tokens(length, width) for user, length in sent_tokens(experiment, variant, on_air).items()
        }
        try:
            cost = links[link].cost(payload, symbols_per_token=width // 2) if payload else None
        except UserError:  # what cannot be sent there has no point either, and is named as missing
            continue
        for metric, value in {
            "channel_uses": cost.channel_uses if cost else 0,
            "latency_ms": 1e3 * cost.latency if cost else 0.0,
            "energy_mj": 1e3 * cost.energy if cost else 0.0,
        }.items():
            rows.append((experiment.name, variant, link, np.nan, np.nan, metric, ALL, value, np.nan, np.nan, 1))
    return pd.DataFrame(rows, columns=COLUMNS)


def _table(costs: Sequence[Cost]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("link", "sent as"):
        table.add_column(column, overflow="fold")
    for column in ("uses", "elements", "slots", "ms", "kHz", "mJ", "overhead"):
        table.add_column(column, justify="right")
    shown = ""
    for cost in costs:
        table.add_row("" if cost.link == shown else escape(cost.link), cost.sent_as, *_cells(cost.budget))
        shown = cost.link
    return table


def _cells(cost: Budget) -> list[str]:
    return [
        f"{cost.channel_uses}",
        f"{cost.resource_elements}",
        f"{cost.slots or ''}",
        f"{1e3 * cost.latency:.3g}",
        f"{cost.bandwidth / 1e3:.0f}",
        f"{1e3 * cost.energy:.3g}",
        f"{100 * cost.overhead:.0f} %",
    ]


def _mean_clip_bits(media: Path) -> float | None:
    """Mean size of the first 200 video files of a dataset; None if it has none."""
    files = chain.from_iterable(raw_files(folder).values() for folder in dataset_folders(media))
    sizes = [8 * path.stat().st_size for path in islice(files, 200)]
    return mean(sizes) if sizes else None
