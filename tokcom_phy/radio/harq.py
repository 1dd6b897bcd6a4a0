"""Hybrid ARQ: a code block that is lost is sent again, and the receiver combines what arrives."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokcom_phy.radio.block_errors import block_error_rate, error_rate_of
from tokcom_phy.radio.harq_config import Combining
from tokcom_phy.radio.miesm import block_information
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.segmentation import Blocks


def error_rates(rounds: Sequence[Observation], blocks: Blocks, combining: Combining) -> Tensor:
    """Error rate of each block after each round, float32 [rounds, blocks], falling from round to round.

    Chase combining adds the SINRs of a symbol. Incremental redundancy adds mutual information: the block fares as over
    an AWGN channel on which all rounds together carry as much.

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
        information = torch.stack([block_information(one, blocks.code.bits_per_symbol) for one in own])
        rates = [error_rate_of(information[:r].mean(0), blocks.code, r) for r in range(1, len(own) + 1)]
    return torch.stack(rates).cummin(0).values
