"""What a demapper meets: the gain and the noise of its symbols, and the noise that it was told of."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.state import LinkState

NOISE_VARIANCES = (1e-6, 1e6)
"""Range of noise variances that a demapper is told."""


class Observation(NamedTuple):
    """Symbols y = A·x + n at a demapper, which takes A for one.

    Attributes
    ----------
    gain : complex64 or float32 [..., n]
        A; one where the channel is known and the output unbiased.
    noise_var : float32 [..., n]
        Of n, interference included.
    believed_var : float32 [..., n]
        What the receiver takes the noise variance for.
    """

    gain: Tensor
    noise_var: Tensor
    believed_var: Tensor

    @classmethod
    def of(cls, state: LinkState, user: str) -> "Observation":
        """Of a user's symbols in a realisation, [b, n]."""
        sinr, believed, gain = state.sinr[user], state.effective_noise_var[user], state.gain[user][user]
        believed = believed.clamp(*NOISE_VARIANCES)
        gain = torch.ones_like(sinr) if gain is None else gain
        if user in state.waveform:
            gain = state.waveform[user].mean(gain, state.mask.get(user))
        noise_var = torch.where(sinr > 0, gain.abs().square() / sinr, believed)
        return cls(gain, noise_var.clamp(*NOISE_VARIANCES), believed)

    def at(self, rows: Tensor, columns: Tensor) -> "Observation":
        """That of some symbols of some examples."""
        return Observation(*(part[rows, columns] for part in self))

    @classmethod
    def combined(cls, observations: Sequence["Observation"]) -> "Observation":
        """That of symbols which are sent several times and added with weights 1/v: maximum ratio combining."""
        weights = torch.stack([1 / one.believed_var for one in observations])
        believed = 1 / weights.sum(0)
        gain = torch.stack([one.gain for one in observations])
        noise_var = torch.stack([one.noise_var for one in observations])
        return cls((gain * weights).sum(0) * believed, (noise_var * weights**2).sum(0) * believed**2, believed)


def combine_symbols(received: Sequence[Tensor], believed_var: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The symbols to which `Observation.combined` belongs, and their noise variance as the receiver computes it.

    Parameters
    ----------
    received : sequence of complex64 [..., n]
    believed_var : sequence of float32 [..., n]
    """
    weights = torch.stack([1 / var.clamp(*NOISE_VARIANCES) for var in believed_var])
    believed = 1 / weights.sum(0)
    return (torch.stack(list(received)) * weights).sum(0) * believed, believed
