"""Throughput of a digital link, measured: bits a channel use over SNR, as a concave function."""

import torch

from tokcom_phy.radio import Link
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.utils.errors import UserError

SNRS_DB = tuple(range(-20, 41, 2))
_EXAMPLES, _TOKENS = 32, 16


def measured_efficiency(link: Link, token_width: int) -> tuple[tuple[float, float], ...]:
    """Bits that arrive a channel use, at SNRs from −20 to 40 dB: points (SNR, bits) of the least concave function
    above the measured ones, the SNR as a power ratio. Channel uses are those of all rounds of HARQ.

    What lies between two schemes is reached by sending some blocks with either, so the concave hull is what a scheduler
    gets; and the bandwidth step is convex for it.

    A link whose block error rates have no table yet measures them first, which takes minutes.

    Raises
    ------
    UserError
        If the link is not digital.
    """
    if not isinstance(link, DigitalLink):
        raise UserError(f"efficiency: link '{link.name}' is not digital: name one that is, such as digital-awgn")
    tokens = torch.randn(_EXAMPLES, _TOKENS, token_width, generator=torch.Generator().manual_seed(0))
    points = [(0.0, 0.0)]
    for snr_db in SNRS_DB:
        received, state = link.mapped().transmit({"audio": tokens}, float(snr_db), seed=0)
        assert isinstance(state, DigitalState)
        bits = torch.tensor([scheme.bits for scheme in link.schemes])[state.scheme["audio"].cpu()]
        arrived = bits * (received["audio"] != 0).cpu().sum((1, 2))
        uses = torch.stack([of_users["audio"] for of_users in state.spent]).sum()
        points.append((10 ** (snr_db / 10), float(arrived.sum() / uses)))
    return tuple(concave_hull(points))


def concave_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the least concave, rising function above some points, in their order along the first axis."""
    hull: list[tuple[float, float]] = []
    for x, y in sorted(points):
        while len(hull) > 1 and (y - hull[-2][1]) * (hull[-1][0] - hull[-2][0]) >= (hull[-1][1] - hull[-2][1]) * (
            x - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    return [point for place, point in enumerate(hull) if place == 0 or point[1] > hull[place - 1][1]]
