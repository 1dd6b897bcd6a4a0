"""What one question costs each variant on each link: channel uses, time, bandwidth and energy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import chain, islice
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from tokcom_phy.data.formats import dataset_folders
from tokcom_phy.data.media import raw_files
from tokcom_phy.data.uncompressed import uncompressed_bits
from tokcom_phy.experiments.resolve import ResolvedVariant
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.foundation_config import foundation_width, load_tokenizer
from tokcom_phy.model.prompt import prompt
from tokcom_phy.model.system_config import TEXT
from tokcom_phy.radio import Link
from tokcom_phy.radio.cost import Budget, symbols_of_bits, symbols_of_tokens
from tokcom_phy.radio.identifiers import identifier_bits
from tokcom_phy.utils.errors import MediaError, UserError

BITS_PER_VALUE = 8
"""Quantisation of the digital tokens that the analog ones are compared with."""

COSTS = [field.name for field in fields(Budget)]
BUDGET_COLUMNS = ["variant", "tokens", "link", "sent_as", "own", *COSTS, "fault"]
"""Columns of `tabulate_budget`."""


@dataclass(frozen=True)
class Payload:
    """What some variants send for one question, and the rows of the budget that say what it costs on each link."""

    variants: list[str]
    tokens: str
    costs: pd.DataFrame

    def describe(self, width: int) -> str:
        """What is sent, in words; ``width`` is that of a token."""
        return f"{self.tokens} tokens of {width} values a question" if self.tokens else "nothing goes over the air"


@dataclass(frozen=True)
class _Way:
    """A way of sending a question over a link: whether it is the link's own, and its symbols per user."""

    name: str
    own: bool
    payload: Mapping[str, int]
    symbols_per_token: int | None = None


def payloads(experiment: Experiment, budget: pd.DataFrame, question_tokens: int) -> list[Payload]:
    """The variants that send the same, together, in declared order, with their rows of `tabulate_budget`."""
    groups: dict[str, list[str]] = {}
    for name, variant in experiment.resolved().variants.items():
        groups.setdefault(in_words(sent_tokens(variant, question_tokens)), []).append(name)
    sent = budget[budget["tokens"] != ""].drop_duplicates(["tokens", "link", "sent_as"])
    return [Payload(names, tokens, sent[sent["tokens"] == tokens]) for tokens, names in groups.items()]


def tabulate_budget(
    experiment: Experiment,
    links: Mapping[str, Link],
    question_tokens: int,
    media_bits: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """What one question costs each variant over each link that it is evaluated on, a row for each way of sending it.

    Parameters
    ----------
    experiment : Experiment
    links : name in the experiment → Link
    question_tokens : int
        Length of a question that is sent over the air.
    media_bits : form → bits, optional
        Sizes of a clip, to compare with sending that; see `mean_media_bits`.

    Returns
    -------
    DataFrame
        Columns variant, tokens (what is sent, in words; empty if nothing is), link, sent_as, own (whether the link
        sends so, or this is compared with it), those of `tokcom_phy.radio.cost.Budget`, and fault: why it cannot be
        sent, else empty.

    Raises
    ------
    UserError
        If the foundation model is not to be had.
    """
    width = foundation_width(experiment.foundation)
    visits = (
        (variant, link)
        for series in experiment.resolved().series
        for variant in series.variants
        for link in series.links
    )
    rows = []
    for name, link in dict.fromkeys(visits):
        lengths = sent_tokens(experiment.resolved().variants[name], question_tokens)
        vocabulary = len(load_tokenizer(experiment.foundation)) if set(links[link].identifiers) & set(lengths) else 0
        for way in _ways(links[link], lengths, width, media_bits or {}, vocabulary):
            sends = {"variant": name, "tokens": in_words(lengths), "link": link, "sent_as": way.name, "own": way.own}
            rows.append(sends | _cost(links[link], way))
    return pd.DataFrame(rows, columns=BUDGET_COLUMNS)


def sent_tokens(variant: ResolvedVariant, question_tokens: int) -> dict[str, int]:
    """Tokens that each user of a variant sends for one question: modality → s_m."""
    return {user: variant.modalities.get(user, question_tokens) for user in variant.users}


def in_words(lengths: Mapping[str, int]) -> str:
    """What is sent, such as ``16 audio, 16 video``."""
    return ", ".join(f"{length} {user}" for user, length in lengths.items())


def mean_question_tokens(experiment: Experiment, questions: Sequence[str]) -> int:
    """Tokens of a question that goes over the air, the mean of all; 0 if none does."""
    if all(variant.question == "reliable" for variant in experiment.variants.values()):
        return 0
    return round(mean(question_lengths(experiment, questions)))


def question_lengths(experiment: Experiment, questions: Sequence[str]) -> list[int]:
    """Tokens of each question."""
    tokenizer = load_tokenizer(experiment.foundation)
    return [len(ids) for ids in tokenizer([prompt(q) for q in questions], add_special_tokens=False)["input_ids"]]


def mean_media_bits(media: Path) -> dict[str, float]:
    """Mean size of the first 200 video files of a dataset that can be opened, as they are and uncompressed; empty
    if it has none.

    Returns
    -------
    'compressed' or 'uncompressed' → bits
    """
    files = chain.from_iterable(raw_files(folder).values() for folder in dataset_folders(media))
    sizes = list(islice(_sizes(files), 200))
    return dict(zip(("compressed", "uncompressed"), map(mean, zip(*sizes, strict=True)), strict=True)) if sizes else {}


def _sizes(files: Iterable[Path]) -> Iterator[tuple[float, float]]:
    for path in files:
        with suppress(MediaError):
            yield 8 * path.stat().st_size, uncompressed_bits(path)


def _ways(
    link: Link, lengths: Mapping[str, int], width: int, media_bits: Mapping[str, float], vocabulary: int
) -> Iterator[_Way]:
    symbols = {user: symbols_of_tokens(length, width) for user, length in lengths.items()}
    symbols |= {user: lengths[user] * identifier_bits(vocabulary) for user in link.identifiers if user in lengths}
    yield _Way(link.sent_as, True, symbols, symbols_per_token=width // 2)
    if lengths and link.analog:
        bits = {user: length * width * BITS_PER_VALUE for user, length in lengths.items()}
        yield _Way("digital", False, {user: symbols_of_bits(n) for user, n in bits.items()})
    if lengths and set(lengths) != {TEXT}:
        for form, size in media_bits.items():
            yield _Way(form, False, {next(iter(lengths)): symbols_of_bits(size)})


def _cost(link: Link, way: _Way) -> dict[str, Any]:
    if not way.payload:
        return {**dict.fromkeys(COSTS, 0), "fault": ""}
    try:
        return {
            **asdict(link.cost(way.payload, symbols_per_token=way.symbols_per_token, as_tokens=way.own)),
            "fault": "",
        }
    except UserError as error:
        return {**dict.fromkeys(COSTS, float("nan")), "fault": str(error)}
