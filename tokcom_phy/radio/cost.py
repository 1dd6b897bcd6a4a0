"""What a transmission costs: channel uses, resource elements, time, bandwidth, energy and overhead."""

from collections.abc import Mapping
from dataclasses import dataclass

from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.flat import FlatLink
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.utils.errors import UserError

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
        Transmit energy of all users together [J].
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


def symbols_of_tokens(length: int, width: int) -> int:
    """Channel uses of ``length`` analog tokens of ``width`` values, equation (5)."""
    return length * width // 2


def symbols_of_bits(num_bits: float, bits_per_symbol: float = 2.0) -> int:
    """Channel uses of a digital payload: of raw media (8 bits per byte) or of quantised tokens.

    Parameters
    ----------
    num_bits : float
    bits_per_symbol : float
        Bits of the modulation times the code rate; 2 is 16-QAM at rate 1/2.
    """
    return -int(-num_bits // bits_per_symbol)


def budget(
    link: Link,
    num_symbols: Mapping[str, int],
    transmit_power: float = 0.2,
    *,
    symbols_per_token: int | None = None,
) -> Budget:
    """Count what it costs to send a payload over a link.

    Parameters
    ----------
    link : Link
    num_symbols : user → payload symbols
        See `symbols_of_tokens` and `symbols_of_bits`.
    transmit_power : float
        Transmit power of an active user [W]; 0.2 W is 23 dBm, a handset of power class 3.
    symbols_per_token : int, optional
        Symbols of an analog token: on a link with ``power: token`` each token has its own header. By default a user's
        payload is one block with one header. A link with ``scale: withheld`` sends no headers.

    Returns
    -------
    Budget

    Raises
    ------
    UserError
        If the payload is empty, or a user is unknown to the link.
    """
    link.check_users(list(num_symbols))
    if not num_symbols or min(num_symbols.values()) < 1:
        raise UserError("empty payload: give every active user at least one symbol")
    with_header = {user: n + _header(link, n, symbols_per_token) for user, n in num_symbols.items()}
    radio = link.over if isinstance(link, DigitalLink) else link
    if isinstance(radio, OfdmLink):
        return _ofdm(radio, num_symbols, with_header, transmit_power)
    return _single_carrier(radio, num_symbols, with_header, transmit_power)


def _header(link: Link, num_symbols: int, symbols_per_token: int | None) -> int:
    """Symbols of the headers that carry a user's scales."""
    if link.config.scale == "withheld":
        return 0
    if link.config.power == "block" or symbols_per_token is None:
        return HEADER_SYMBOLS
    return HEADER_SYMBOLS * -(-num_symbols // symbols_per_token)


def _single_carrier(
    link: Link, num_symbols: Mapping[str, int], sent: Mapping[str, int], transmit_power: float
) -> Budget:
    together = isinstance(link, FlatLink) and link.config.access == "mu-mimo"
    uses = max(sent.values()) if together else sum(sent.values())
    payload = max(num_symbols.values()) if together else sum(num_symbols.values())
    return Budget(
        channel_uses=sum(num_symbols.values()),
        resource_elements=uses,
        slots=0,
        latency=uses / link.config.symbol_rate,
        bandwidth=link.config.symbol_rate,
        energy=transmit_power * sum(sent.values()) / link.config.symbol_rate,
        header_overhead=1 - payload / uses,
        pilot_overhead=0.0,
        prefix_overhead=0.0,
        overhead=1 - payload / uses,
    )


def _ofdm(link: OfdmLink, num_symbols: Mapping[str, int], sent: Mapping[str, int], transmit_power: float) -> Budget:
    config = link.config
    parts = link.parts(sent)
    slot_duration = config.num_ofdm_symbols * link.channel.symbol_duration
    slots = max(part.slots[-1] for part in parts) + 1
    on_air = sum(len(link.parts({user: n})[0].slots) for user, n in sent.items())
    elements = slots * config.num_ofdm_symbols * config.num_subcarriers
    pilots = sum(
        len(part.slots) * len(config.pilot_symbols) * (part.subcarriers.stop - part.subcarriers.start) for part in parts
    )
    payload = sum(max(num_symbols[user] for user in part.users) for part in parts)
    headers = sum(max(sent[user] for user in part.users) for part in parts) - payload
    useful = 1 / (1 + config.cyclic_prefix_length / config.num_subcarriers)
    return Budget(
        channel_uses=sum(num_symbols.values()),
        resource_elements=elements,
        slots=slots,
        latency=slots * slot_duration,
        bandwidth=config.num_subcarriers * config.subcarrier_spacing,
        energy=transmit_power * on_air * slot_duration,
        header_overhead=headers / elements * useful,
        pilot_overhead=pilots / elements * useful,
        prefix_overhead=1 - useful,
        overhead=1 - payload / elements * useful,
    )
