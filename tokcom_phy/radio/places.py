"""A ray-traced link whose users stand at given places: those of one person together, interferers anywhere."""

from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.channels import RayTracedChannel
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.raytracing import TracedPaths, joined
from tokcom_phy.radio.seeding import BLOCK, entropy
from tokcom_phy.utils.errors import UserError


class StandingChannel(RayTracedChannel):
    """A channel whose users stand at places instead of random positions; interferers stay where they were.

    All users of a realisation are at the same place, each somewhere in its cell: at a random distance of up to half a
    cell from the place, along its heading. That turns the phases of its paths as walking there does; strength, delay
    and angle of a path are those at the place. The mean over positions, to which powers are relative without power
    control, remains that of the random positions.

    Parameters
    ----------
    channel : RayTracedChannel
        With users at random positions.
    places : TracedPaths
    of_block : function of a block
        Which place its realisations stand at.
    cell_size : float
        [m]
    """

    def __init__(
        self, channel: RayTracedChannel, places: TracedPaths, of_block: Callable[[int], int], cell_size: float
    ):
        super().__init__(channel.config, channel.device)
        self._elsewhere, self._of_block, self._cell_size = channel, of_block, cell_size
        self._standing = [user not in channel.config.interferers for user in channel.config.users]
        on_device = TracedPaths(*(tensor.to(channel.device) for tensor in places))
        self.traced = joined([channel.traced, on_device])
        self.mean_power = channel.mean_power

    def positions(self, seed: int, block: int) -> tuple[np.ndarray, Tensor | None]:
        chosen, _ = self._elsewhere.positions(seed, block)
        chosen[:, self._standing] = len(self._elsewhere.traced.a) + self._of_block(block)
        generator = np.random.default_rng(entropy(seed, block, "place"))
        start = (generator.random(chosen.shape) - 0.5) * self._cell_size * self._standing
        return chosen, torch.from_numpy(start.astype(np.float32))


def check_traced(link: Link) -> tuple[OfdmLink, RayTracedChannel]:
    """A link and its channel, if its users have places in a ray-traced scene.

    Raises
    ------
    UserError
        For any other link.
    """
    if not isinstance(link, OfdmLink) or not isinstance(link.channel, RayTracedChannel):
        raise UserError(
            f"link '{link.name}' has no places: give a ray-traced one, such as munich, or a link file with channel: "
            "ray-traced"
        )
    return link, link.channel


def standing(link: OfdmLink, places: TracedPaths, cell_size: float, realisations: int) -> OfdmLink:
    """A copy of a ray-traced link whose realisation i stands at place i // ``realisations``, see `StandingChannel`.

    Parameters
    ----------
    link : OfdmLink
    places : TracedPaths
    cell_size : float
        [m]
    realisations : int
        Of each place, a multiple of `tokcom_phy.radio.seeding.BLOCK`; at the last place stand all further ones too.
    """
    assert realisations % BLOCK == 0
    _, channel = check_traced(link)
    last = len(places.a) - 1
    twin = copy(link)
    twin.channel = StandingChannel(channel, places, lambda block: min(block * BLOCK // realisations, last), cell_size)
    return twin


def draw_places(
    link: OfdmLink,
    places: Sequence[int],
    realisations: int,
    num_symbols: dict[str, int],
    snr_db: float,
    seed: int,
) -> dict[str, Tensor]:
    """Effective SNRs at some places of a `standing` link [dB]: user → float64 [places, realisations].

    Parameters
    ----------
    link : OfdmLink
    places : sequence of int
    realisations : int
        Of each place, those of the link.
    num_symbols : user → symbols of its payload
    snr_db : float [dB]
    seed : int
    """
    indices = [place * realisations + number for place in places for number in range(realisations)]
    state = link.draw(len(indices), num_symbols, snr_db, seed, indices)
    return {user: snr.view(len(places), realisations).cpu() for user, snr in state.effective_snr_db_each.items()}
