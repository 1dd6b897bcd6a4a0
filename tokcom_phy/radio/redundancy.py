"""Redundancy versions of the 5G LDPC code: parts of its circular buffer (3GPP TS 38.212, 5.4.2.1)."""

REDUNDANCY_VERSIONS = (0, 2, 3, 1)
"""Their order in 5G NR (3GPP TS 38.321, 5.4.2.2); after the last comes the first."""


def redundancy_version(round_number: int) -> int:
    """Redundancy version of a round, counted from zero."""
    return REDUNDANCY_VERSIONS[round_number % len(REDUNDANCY_VERSIONS)]


def redundancy_versions(num_rounds: int) -> tuple[int, ...]:
    """Redundancy versions of so many rounds."""
    return tuple(redundancy_version(round_number) for round_number in range(num_rounds))
