"""Hybrid ARQ: a code block that is lost is sent again, and the receiver combines what arrives."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.block_errors import block_error_rate, error_rate_of
from tokcom_phy.radio.harq_config import Combining
from tokcom_phy.radio.miesm import block_information
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import Blocks, segment


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


class Expected(NamedTuple):
    """What payloads of n symbols lose and take in the mean, for block k of n_k symbols in N_k channel uses.

    Attributes
    ----------
    losses : float64 [...]
        Share that is lost after the last of R rounds, Σ_k (n_k/n)·p_{k,R}.
    first_uses : float64 [...]
        Channel uses of the first round over the n of analog tokens, Σ_k N_k/n.
    uses : float64 [...]
        Those of all rounds, Σ_k (N_k/n)·(1 + Σ_{r<R} p_{k,r}).
    """

    losses: Tensor
    first_uses: Tensor
    uses: Tensor


def expected(
    rounds: Sequence[Observation], lengths: Tensor, scheme: Scheme, combining: Combining, as_bits: bool = False
) -> Expected:
    """What payloads lose and take in the mean, given the realisation of each round: float64 [b] each.

    Parameters
    ----------
    rounds : sequence of Observation [b, n]
    lengths : int64 [b]
        Symbols of the payloads.
    scheme : Scheme
    combining : 'incremental-redundancy' or 'chase'
    as_bits : bool
        Whether a symbol of the payload is a bit.
    """
    found = Expected(*torch.zeros(3, len(lengths), dtype=torch.float64, device=lengths.device))
    for blocks in segment(lengths, [scheme], as_bits=as_bits):
        rates, rows = error_rates(rounds, blocks, combining).double(), blocks.rows[:, 0]
        found.losses.index_add_(0, rows, rates[-1] * blocks.columns.shape[1] / lengths[rows])
        uses = blocks.code.num_symbols / lengths[rows].double()
        found.first_uses.index_add_(0, rows, uses)
        found.uses.index_add_(0, rows, uses * (1 + rates[:-1].sum(0)))
    return found
