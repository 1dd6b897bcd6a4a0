"""Block error rates of a digital link from the symbols of a realisation: link-to-system mapping."""

from torch import Tensor

from tokcom_phy.radio.bler_table import CodeKey, bler_table
from tokcom_phy.radio.miesm import block_information, snr_db_of
from tokcom_phy.radio.observation import Observation


def block_error_rate(observation: Observation, code: CodeKey) -> Tensor:
    """Error rate of blocks at their effective SNR, float32 [blocks]; the observation is of their symbols."""
    return error_rate_of(block_information(observation, code.bits_per_symbol), code)


def error_rate_of(information: Tensor, code: CodeKey, rounds: int = 1) -> Tensor:
    """Error rate of blocks whose symbols carry so much in the mean [bits], float32 of the same shape.

    With several rounds of incremental redundancy the symbols are those of all rounds.
    """
    return bler_table(code, rounds).bler(snr_db_of(information, code.bits_per_symbol))
