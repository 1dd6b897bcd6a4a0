"""What a question takes in the mean over links where that depends on the channel: with HARQ or adaptation."""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.foundation_config import foundation_width, load_tokenizer
from tokcom_phy.radio import Link
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.identifiers import to_bits
from tokcom_phy.results.budget import in_words, sent_tokens
from tokcom_phy.utils.errors import UserError

REALISATIONS = 32
HARQ_COLUMNS = ["tokens", "link", "snr_db", "channel_uses", "latency", "energy"]
"""Columns of `tabulate_harq`."""

_MAX_BYTES = 2**28


def tabulate_harq(experiment: Experiment, links: Mapping[str, Link], question_tokens: int) -> pd.DataFrame:
    """The mean cost of a question over links where it varies, at the SNRs at which they are evaluated.

    It is the mean over 32 realisations. Decoding is mapped, whatever the link says.

    Parameters
    ----------
    experiment : Experiment
    links : name in the experiment → Link
    question_tokens : int
        Length of a question that is sent over the air.

    Returns
    -------
    DataFrame
        Columns tokens (what is sent, in words), link, snr_db, channel_uses, latency [s] and energy [J]. Links that this
        machine cannot draw are left out.
    """
    resolved, rows = experiment.resolved(), {}
    for variant, visits in resolved.visits.items():
        lengths = sent_tokens(resolved.variants[variant], question_tokens) if variant in resolved.variants else {}
        for name, snrs in visits.items():
            link, words = links[name], in_words(lengths)
            if not (lengths and isinstance(link, DigitalLink) and link.varies and _drawable(link)):
                continue
            mapped = link.mapped().cached(_MAX_BYTES)
            for snr_db in snrs:
                if (words, name, snr_db) not in rows:
                    _, state = mapped.transmit(_tokens(experiment, link, lengths), snr_db, seed=0)
                    spent = mapped.spent(state)
                    assert spent is not None
                    rows[words, name, snr_db] = [float(part.mean()) for part in spent]
    return pd.DataFrame([(*key, *means) for key, means in rows.items()], columns=HARQ_COLUMNS)


def _tokens(experiment: Experiment, link: Link, lengths: Mapping[str, int]) -> dict[str, Tensor]:
    """Tokens of each user, as a link takes them; what a transmission costs does not depend on their values."""
    width, tokens = foundation_width(experiment.foundation), {}
    for user, length in lengths.items():
        if user in link.identifiers:
            vocabulary = len(load_tokenizer(experiment.foundation))
            tokens[user] = to_bits(torch.zeros(REALISATIONS, length, dtype=torch.long), vocabulary)
        else:
            tokens[user] = torch.ones(REALISATIONS, length, width)
    return tokens


def _drawable(link: Link) -> bool:
    try:
        link.check_drawable()
    except UserError:
        return False
    return True
