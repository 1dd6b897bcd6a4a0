"""One question about one clip, over a link at several SNRs: what arrives, and what the model answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokcom_phy.model.transmission import Transmission
from tokcom_phy.radio import load_link
from tokcom_phy.radio.symbols import to_symbols
from tokcom_phy.results.run import Run
from tokcom_phy.results.trained import TrainedSystem
from tokcom_phy.utils.errors import UserError, quoted

LIKELIEST = 5
"""Answers whose probabilities are kept."""

SNRS_DB = (-20.0, -15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0)
"""SNRs that a question is asked at by default [dB]."""

SHOWN_SYMBOLS = 256
"""Received symbols of a modality that are kept."""


@dataclass(frozen=True)
class Hearing:
    """What arrived of one question at one SNR, and what was answered.

    Attributes
    ----------
    snr_db : float
        Per user and receive antenna [dB].
    answer : str
    right : bool, or None where the truth is not known
    likeliest : answers with their probabilities, the likeliest first
    effective_snr_db, token_error_db : modality → dB; None where it is not finite
    symbols : modality → received symbols (real, imaginary), in units of what was sent
    """

    snr_db: float
    answer: str
    right: bool | None
    likeliest: list[tuple[str, float]]
    effective_snr_db: dict[str, float | None]
    token_error_db: dict[str, float | None]
    symbols: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Asked:
    """A question about a clip, and what was heard of it at each SNR.

    Attributes
    ----------
    question : str
    truth : str, or None where it is not known
    clip : Path
    system, link : what answered, and over which link
    hearings : one an SNR, ascending
    """

    question: str
    truth: str | None
    clip: Path
    system: str
    link: str
    hearings: list[Hearing]


def ask(
    run: Run,
    variant: str,
    clip: str | None = None,
    question: str | None = None,
    *,
    link: str = "ofdm-tdl-c",
    snr_db: Sequence[float] = SNRS_DB,
    seed: int = 0,
) -> Asked:
    """Ask a run's trained system one question, at every SNR over the same realisation of the link.

    Parameters
    ----------
    run : Run
    variant : str
        One of its trained variants; a run of several seeds is asked by the first.
    clip : str, optional
        A media file, or the ``video_id`` of a clip of the run; by default that of the run's first question.
    question : str, optional
        By default the run's first question about the clip.
    link : str
        A link of the run, a built-in one, or a link file's path.
    snr_db : sequence of float [dB]
    seed : int
        Of the realisation.

    Raises
    ------
    UserError
        If there is no such variant, link or clip, the clip cannot be decoded, there is no question to ask, or what is
        asked is no text.
    """
    clip, question, truth = _choose(run, clip, question)
    if variant in [blind.name for blind in run.variants(blind=True)]:
        raise UserError(f"variant '{variant}' neither hears nor sees: ask {_others(run)}")
    named = {each.name: each for each in run.links()}
    chosen = named[link].load() if link in named else load_link(link)
    system = run.system(variant, run.experiment.seeds[0])
    features = system.features(clip)
    known = list(dict.fromkeys(run.questions["answer"]))
    hearings = []
    for snr in sorted(set(snr_db)):
        (answer,), sent = system.system.answer([question], features, chosen, snr, seed, system.longest)
        candidates = list(dict.fromkeys([answer, *known]))
        likely = system.probabilities(question, features, chosen, snr, seed, candidates)
        ranked = sorted(zip(candidates, likely, strict=True), key=lambda pair: -pair[1])[:LIKELIEST]
        hearings.append(_hearing(snr, answer, truth, ranked, sent, system))
    return Asked(question, truth, system.clip_file(clip), variant, link, hearings)


def _choose(run: Run, clip: str | None, question: str | None) -> tuple[str, str, str | None]:
    """The clip, the question and its truth, where that is known."""
    for what, text in (("clip", clip), ("question", question)):
        if text is not None and text != text.encode(errors="replace").decode():
            raise UserError(f"the {what} {quoted(text)} is no text: write it, or name its file, in UTF-8")
    questions = run.questions
    about = questions if clip is None else questions[questions["video_id"] == clip]
    if question is not None and clip is not None:
        same = about[about["question"] == question]
        return clip, question, str(same.iloc[0]["answer"]) if len(same) else None
    if about.empty:
        raise UserError(f"the run asks nothing about clip '{clip}': give a question after it")
    first = about.iloc[0]
    return str(first["video_id"]), str(first["question"]), str(first["answer"])


def _others(run: Run) -> str:
    return ", ".join(variant.name for variant in run.variants(blind=False))


def _hearing(
    snr_db: float,
    answer: str,
    truth: str | None,
    likeliest: list[tuple[str, float]],
    sent: Transmission,
    system: TrainedSystem,
) -> Hearing:
    effective = sent.state.effective_snr_db if sent.state else {}
    errors, symbols = {}, {}
    for modality, before in sent.sent.items():
        valid = sent.masks[modality]
        before, after = before[valid], sent.received[modality].to(before.device)[valid]
        power = float(before.square().mean())
        error = float((after - before).square().mean())
        errors[modality] = _finite(10 * math.log10(error / power)) if error > 0 and power > 0 else None
        received = to_symbols(after[None])[0][:SHOWN_SYMBOLS] / math.sqrt(2 * power or 1)
        symbols[modality] = [(round(float(s.real), 3), round(float(s.imag), 3)) for s in received]
    return Hearing(
        snr_db,
        answer,
        None if truth is None else answer == truth,
        likeliest,
        {modality: _finite(value) for modality, value in effective.items() if modality in symbols},
        errors,
        symbols,
    )


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
