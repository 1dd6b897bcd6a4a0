"""Block error rates of a digital link from the symbols of a realisation: link-to-system mapping."""

import torch
from torch import Tensor

from tokcom_phy.radio.bler_table import CodeKey, bler_table
from tokcom_phy.radio.miesm import block_information, snr_db_of
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import segment


def block_error_rate(observation: Observation, code: CodeKey) -> Tensor:
    """Error rate of blocks at their effective SNR, float32 [blocks]; the observation is of their symbols."""
    return error_rate_of(block_information(observation, code.bits_per_symbol), code)


def error_rate_of(information: Tensor, code: CodeKey, rounds: int = 1) -> Tensor:
    """Error rate of blocks whose symbols carry so much in the mean [bits], float32 of the same shape.

    With several rounds of incremental redundancy the symbols are those of all rounds.
    """
    return bler_table(code, rounds).bler(snr_db_of(information, code.bits_per_symbol))


def expected_losses(observation: Observation, lengths: Tensor, scheme: Scheme, as_bits: bool = False) -> Tensor:
    """Share of a payload that is lost on average, given the realisation: Σ_k (n_k/n)·p_k, float64 [b].

    Parameters
    ----------
    observation : Observation [b, n]
    lengths : int64 [b]
        Symbols of the payloads.
    scheme : Scheme
    as_bits : bool
        Whether a symbol of the payload is a bit.
    """
    lost = torch.zeros_like(lengths, dtype=torch.float64)
    for blocks in segment(lengths, [scheme], as_bits=as_bits):
        rates = block_error_rate(observation.at(blocks.rows, blocks.uses), blocks.code)
        rows = blocks.rows[:, 0]
        lost.index_add_(0, rows, rates.double() * blocks.columns.shape[1] / lengths[rows])
    return lost
