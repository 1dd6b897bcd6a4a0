"""The cost of a transmission: channel uses, resource elements, time, bandwidth, energy and overhead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

HEADER_SYMBOLS = 64
"""One scale, a float of 32 bits, as QPSK at rate 1/4."""


@dataclass(frozen=True)
class Budget:
    """The cost of one transmission of all users.

    Attributes
    ----------
    channel_uses : int
        Payload symbols of all users together.
    resource_elements : int
        Occupied by the transmission: payload, headers, pilots and unused ones. Spatially multiplexed users share them.
    slots : int
        Slots from the first to the last symbol; 0 on a link without slots.
    latency : float
        Time from the first to the last symbol [s].
    bandwidth : float
        [Hz]
    energy : float
        Transmit energy of all users together [J], every symbol at the same energy: at equal path loss it is received
        at the same Es on every link, whatever the bandwidth.
    header_overhead, pilot_overhead, prefix_overhead : float
        Shares of the time-frequency area that headers, pilots and cyclic prefixes take.
    overhead : float
        Share of the time-frequency area that is not payload: the three above and unused resource elements.
    """

    channel_uses: int
    resource_elements: int
    slots: int
    latency: float
    bandwidth: float
    energy: float
    header_overhead: float
    pilot_overhead: float
    prefix_overhead: float
    overhead: float


SYMBOL_ENERGY = 0.2e-6
"""Transmit energy of a symbol, Es before the path loss [J]: a handset of power class 3, 23 dBm, over 1 MHz."""


class Spent(NamedTuple):
    """What each example of a transmission really took, float64 [b]: channel uses of all users, time [s] and transmit
    energy [J]."""

    channel_uses: Tensor
    latency: Tensor
    energy: Tensor


@dataclass(frozen=True)
class Load:
    """What is to be sent: payload symbols per user, the same with headers, and the energy of a symbol.

    Attributes
    ----------
    payload, sent : user → symbols, without and with headers
    symbol_energy : user → energy of a symbol at the transmitter [J]
    """

    payload: Mapping[str, int]
    sent: Mapping[str, int]
    symbol_energy: Mapping[str, float]


def symbols_of_tokens(length: int, width: int) -> int:
    """Channel uses of ``length`` analog tokens of ``width`` values, equation (5)."""
    return length * width // 2


def symbols_of_bits(num_bits: float, bits_per_symbol: float = 2.0) -> int:
    """Channel uses of a digital payload: of media or of quantised tokens.

    Parameters
    ----------
    num_bits : float
    bits_per_symbol : float
        Bits of the modulation times the code rate; 2 is 16-QAM at rate 1/2.
    """
    return -int(-num_bits // bits_per_symbol)


def single_carrier_cost(load: Load, symbol_rate: float | Mapping[str, float], *, shared: bool = False) -> Budget:
    """The cost on a single carrier, or on one for each user.

    Parameters
    ----------
    load : Load
    symbol_rate : float, or user → float
        Channel uses per second [Hz]; those of each user are of a band of its own, and users send at once.
    shared : bool
        Whether all users share the channel uses instead of having their own.
    """
    over_users = max if shared else sum
    uses, payload = over_users(load.sent.values()), over_users(load.payload.values())
    return Budget(
        channel_uses=sum(load.payload.values()),
        resource_elements=uses,
        slots=0,
        latency=uses / symbol_rate
        if not isinstance(symbol_rate, Mapping)
        else max(n / symbol_rate[user] for user, n in load.sent.items()),
        bandwidth=sum(symbol_rate[u] for u in load.sent) if isinstance(symbol_rate, Mapping) else symbol_rate,
        energy=sum(load.symbol_energy[user] * n for user, n in load.sent.items()),
        header_overhead=1 - payload / uses,
        pilot_overhead=0.0,
        prefix_overhead=0.0,
        overhead=1 - payload / uses,
    )
