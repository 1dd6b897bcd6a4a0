"""What an experiment sends and what that costs on each of its links: the command ``tokcom budget``."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tokcom_phy.data.media import SUFFIXES
from tokcom_phy.errors import UserError
from tokcom_phy.experiments.results import ALL, COLUMNS
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.foundation import foundation_width, load_tokenizer
from tokcom_phy.prompt import prompt
from tokcom_phy.radio import Link
from tokcom_phy.radio.budget import Budget, budget, symbols_of_bits, symbols_of_tokens
from tokcom_phy.system import TEXT

BITS_PER_VALUE = 8
"""Quantisation of the digital tokens that the analog ones are compared with."""


def sent_tokens(experiment: Experiment, variant: str, question_tokens: int) -> dict[str, int]:
    """Tokens that each user of a variant sends for one question: modality → s_m."""
    lengths = experiment.modalities(variant)
    if experiment.variants[variant].question == "on-air":
        lengths[TEXT] = question_tokens
    return lengths


def budget_tables(experiment: Experiment, media: Path | None, question_tokens: int) -> Group:
    """The cost of one question on every link: as analog tokens, as digital tokens, and as the clip's own file.

    Parameters
    ----------
    experiment : Experiment
    media : Path, optional
        A dataset's folder with video files, whose mean size is that of a clip; without it that comparison is left out.
    question_tokens : int
        Length of a question that is sent over the air.

    Returns
    -------
    Group
        A table for the variants that send the same, no wider than 80 columns.

    Raises
    ------
    UserError
        If the foundation model is not to be had, or there are no video files in ``media``.
    """
    width = foundation_width(experiment.foundation)
    clip_bits = _mean_clip_bits(media) if media else None
    groups: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for variant in experiment.variants:
        groups.setdefault(tuple(sent_tokens(experiment, variant, question_tokens).items()), []).append(variant)
    parts: list[RenderableType] = []
    for payload, variants in groups.items():
        links = [
            link
            for series in experiment.evaluate
            for link in series.links
            if any(variant in series.variants for variant in variants)
        ]
        parts += [f"\n[bold]{escape(', '.join(variants))}[/]", _describe(dict(payload), width)]
        if payload:
            named = {name: experiment.load_link(name) for name in links}
            parts.append(_table(dict(payload), named, width, clip_bits))
    parts.append(
        f"digital: tokens of {BITS_PER_VALUE} bits a value, 16-QAM at rate 1/2"
        + ("; file: the clip as it is, likewise" if clip_bits else "")
        + "; energy at 23 dBm a user"
    )
    return Group(*parts)


def question_lengths(experiment: Experiment, questions: Sequence[str]) -> list[int]:
    """Tokens of each question."""
    tokenizer = load_tokenizer(experiment.foundation)
    return [len(ids) for ids in tokenizer([prompt(q) for q in questions], add_special_tokens=False)["input_ids"]]


def tabulate_budgets(experiment: Experiment, questions: Sequence[str]) -> pd.DataFrame:
    """Rows of ``results.csv`` with what one question costs each variant over each link that it is evaluated on.

    Metrics are ``channel_uses``, ``latency_ms`` and ``energy_mj``; ``snr_db`` and ``seed`` are absent (NaN).

    Parameters
    ----------
    experiment : Experiment
    questions : list of str
        Those that are asked: one that goes over the air is as long as they are in the mean, rounded.
    """
    on_air = any(variant.question == "on-air" for variant in experiment.variants.values())
    question_tokens = round(mean(question_lengths(experiment, questions))) if on_air else 0
    width = foundation_width(experiment.foundation)
    links = {name: experiment.load_link(name) for name in experiment.evaluated_links()}
    visits = {
        (variant, link): None for series in experiment.evaluate for variant in series.variants for link in series.links
    }
    rows = []
    for variant, link in visits:
        payload = {
            user: symbols_of_tokens(length, width)
            for user, length in sent_tokens(experiment, variant, question_tokens).items()
        }
        cost = budget(links[link], payload, symbols_per_token=width // 2) if payload else None
        for metric, value in {
            "channel_uses": cost.channel_uses if cost else 0,
            "latency_ms": 1e3 * cost.latency if cost else 0.0,
            "energy_mj": 1e3 * cost.energy if cost else 0.0,
        }.items():
            rows.append((experiment.name, variant, link, np.nan, np.nan, metric, ALL, value, np.nan, np.nan, 1))
    return pd.DataFrame(rows, columns=COLUMNS)


def _describe(payload: Mapping[str, int], width: int) -> str:
    if not payload:
        return "nothing goes over the air"
    return ", ".join(f"{length} {user}" for user, length in payload.items()) + f" tokens of {width} values a question"


def _table(payload: Mapping[str, int], links: Mapping[str, Link], width: int, clip_bits: float | None) -> Table:
    analog = {user: symbols_of_tokens(length, width) for user, length in payload.items()}
    digital = {user: symbols_of_bits(length * width * BITS_PER_VALUE) for user, length in payload.items()}
    table = Table("link", "sent as", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("uses", "elements", "slots", "ms", "kHz", "mJ", "overhead"):
        table.add_column(column, justify="right")
    for name, link in links.items():
        table.add_row(name, "tokens", *_cells(budget(link, analog, symbols_per_token=width // 2)))
        table.add_row("", "digital", *_cells(budget(link, digital)))
        if clip_bits and set(payload) != {TEXT}:
            table.add_row("", "file", *_cells(budget(link, {next(iter(payload)): symbols_of_bits(clip_bits)})))
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


def _mean_clip_bits(media: Path) -> float:
    files = (path for path in sorted(media.rglob("*")) if path.suffix in SUFFIXES and not path.name.startswith("."))
    sizes = [8 * path.stat().st_size for path in islice(files, 200)]
    if not sizes:
        raise UserError(f"no video files in {media}: give a folder with ID.mp4 files, see tokcom data check")
    return mean(sizes)
