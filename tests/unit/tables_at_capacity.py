"""Tables of block error rates for tests that need any, in place of measured ones."""

import torch

from tokcom_phy.radio.bler_table import BlerTable, CodeKey
from tokcom_phy.radio.miesm import snr_db_of
from tokcom_phy.radio.scheme import CRC_BITS


def at_capacity(key: CodeKey, rounds: int) -> BlerTable:
    """A code that decodes where the mutual information reaches its rate."""
    rate = (key.num_info_bits + CRC_BITS) / key.num_symbols
    edge = snr_db_of(torch.tensor(rate), key.bits_per_symbol)
    return BlerTable(torch.stack([edge - 0.1, edge + 0.1]), torch.tensor([9.0, -9.0]).double())
