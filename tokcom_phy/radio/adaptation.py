"""Link adaptation: which of its candidate schemes a digital link uses."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tokcom_phy.radio.block_errors import expected_distortion
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.state import LinkState

_SEED = 2**40 + 7
_REALISATIONS = 64


class Adaptation:
    """Chooses for each transmission the candidate scheme of least expected distortion.

    The instantaneous rule minimises over schemes given the realisation, so its mean distortion is at most that of any
    fixed scheme, E[min_s D_s] ≤ min_s E[D_s]; the average rule attains min_s E[D_s].

    Parameters
    ----------
    candidates : sequence of (Scheme, Quantizer)
    draw : DrawRequest → LinkState
        Of the link below.
    instantaneous : bool
        Whether the transmitter knows the realisation, or only the SNR and the statistics of the channel.
    """

    def __init__(
        self,
        candidates: Sequence[tuple[Scheme, Quantizer]],
        draw: Callable[[DrawRequest], LinkState],
        instantaneous: bool,
    ):
        self._candidates = candidates
        self._draw = draw
        self._instantaneous = instantaneous
        self._known: dict[tuple[tuple[str, int, int], ...], dict[str, int]] = {}

    def choose(self, request: DrawRequest, state: LinkState) -> dict[str, Tensor]:
        """Positions of the schemes that are used: user → int64 [b]."""
        lengths = payload_lengths(request)
        if self._instantaneous:
            return {user: self.distortions(state.sinr[user], lengths[user]).argmin(0) for user in lengths}
        chosen = [self._on_average(request, example) for example in range(len(request.indices))]
        device = next(iter(request.no.values())).device
        return {user: torch.tensor([choice[user] for choice in chosen], device=device) for user in lengths}

    def distortions(self, sinr: Tensor, lengths: Sequence[int]) -> Tensor:
        """Expected distortion of each scheme given the realisation, float64 [schemes, b]."""
        found = [expected_distortion(sinr, lengths, scheme, quantizer) for scheme, quantizer in self._candidates]
        return torch.stack(found)

    def _on_average(self, request: DrawRequest, example: int) -> dict[str, int]:
        """The choice of each user at the SNRs of an example, which are rounded to whole decibels."""
        snr_db = {user: round(-10 * float(torch.log10(no[example]))) for user, no in request.no.items()}
        key = tuple((user, length, snr_db[user]) for user, length in request.num_symbols.items())
        if key not in self._known:
            no = {user: 10 ** (-torch.full((_REALISATIONS,), float(snr)) / 10) for user, snr in snr_db.items()}
            no = {user: values.to(request.no[user].device) for user, values in no.items()}
            trial = DrawRequest(_SEED, list(range(_REALISATIONS)), request.num_symbols, no, {})
            sinr = self._draw(trial).sinr
            self._known[key] = {
                user: int(self.distortions(sinr[user], [length] * _REALISATIONS).mean(1).argmin())
                for user, length in request.num_symbols.items()
            }
        return self._known[key]


def payload_lengths(request: DrawRequest) -> Mapping[str, list[int]]:
    """Valid symbols of each example: user → [b]."""
    return {
        user: request.mask[user].sum(1).tolist() if user in request.mask else [length] * len(request.indices)
        for user, length in request.num_symbols.items()
    }
