"""Block error rates of a digital link from the SINRs of a realisation: link-to-system mapping."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokcom_phy.radio.bler_table import bler_table
from tokcom_phy.radio.miesm import effective_snr_db
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import Blocks, segment


def block_error_rate(sinr: Tensor, blocks: Blocks) -> Tensor:
    """Error rate of each block at its effective SNR, float32 [blocks]; ``sinr`` is float32 [b, n]."""
    own = sinr[blocks.rows, blocks.columns]
    return bler_table(blocks.code).bler(effective_snr_db(own, blocks.code.bits_per_symbol))


def expected_distortion(sinr: Tensor, lengths: Sequence[int], scheme: Scheme, quantizer: Quantizer) -> Tensor:
    """Mean squared error of a payload of Gaussian values of unit variance, given the realisation: float64 [b].

    A delivered block has the distortion D_Q of the quantiser, a lost one arrives as zeros and has distortion one. The
    mean over the payload's symbols is D = Σ_k (n_k/n)·[D_Q + p_k·(1 − D_Q)] with block error rates p_k.
    """
    lost = torch.zeros(len(lengths), dtype=torch.float64, device=sinr.device)
    for blocks in segment(lengths, [scheme] * len(lengths), str(sinr.device)):
        share = blocks.columns.shape[1] / torch.tensor(lengths, device=sinr.device)[blocks.rows[:, 0]]
        lost.index_add_(0, blocks.rows[:, 0], block_error_rate(sinr, blocks).double() * share)
    return quantizer.distortion + lost * (1 - quantizer.distortion)
