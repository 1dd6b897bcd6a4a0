"""Hybrid ARQ: a code block that is lost is sent again, and the receiver combines what arrives."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokcom_phy.radio.block_errors import block_error_rate, error_rate_of
from tokcom_phy.radio.harq_config import Combining
from tokcom_phy.radio.miesm import demapped_information
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.segmentation import Blocks

REDUNDANCY_VERSIONS = (0, 2, 3, 1)
"""Their order in 5G NR (3GPP TS 38.321, 5.4.2.2); after the last comes the first."""


def redundancy_version(round_number: int) -> int:
    """Redundancy version of a round, counted from zero."""
    return REDUNDANCY_VERSIONS[round_number % len(REDUNDANCY_VERSIONS)]


def error_rates(rounds: Sequence[Observation], blocks: Blocks, combining: Combining) -> Tensor:
    """Error rate of each block after each round, float32 [rounds, blocks], falling from round to round.

    Chase combining adds the SINRs of a symbol. Incremental redundancy adds the mutual information of the rounds: it
    takes as much as the first round needs alone.

    Parameters
    ----------
    rounds : sequence of Observation [b, n]
    blocks : Blocks
    combining : 'incremental-redundancy' or 'chase'
    """
    own = [one.at(blocks.rows, blocks.uses) for one in rounds]
    if combining == "chase":
        rates = [block_error_rate(Observation.combined(own[: r + 1]), blocks.code) for r in range(len(own))]
    else:
        information = torch.stack([demapped_information(one, blocks.code.bits_per_symbol).mean(-1) for one in own])
        rates = list(error_rate_of(information.cumsum(0), blocks.code))
    return torch.stack(rates).cummin(0).values
