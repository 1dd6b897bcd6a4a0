"""Link adaptation: which of its candidate schemes a digital link uses."""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from tokcom_phy.radio.block_errors import expected_losses
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.state import LinkState

_SEED = 2**40 + 7
_REALISATIONS = 64
_STEP_DB = 0.1


class Adaptation:
    """Chooses for each transmission the candidate scheme of least expected distortion, or the fastest reliable one.

    The instantaneous rule minimises over schemes given the realisation, so its mean distortion is at most that of any
    fixed scheme, E[min_s D_s] ≤ min_s E[D_s]; the average rule attains min_s E[D_s]. With a target error rate the
    choice is the scheme of most bits a channel use among those that lose no more; if all do, that which loses least.

    Parameters
    ----------
    candidates : sequence of (Scheme, Quantizer)
    draw : DrawRequest → LinkState
        Of the link below, for payloads of this link.
    instantaneous : bool
        Whether the transmitter knows the realisation, or only the SNR, to 0.1 dB, and the statistics of the channel.
    target_bler : float, optional
    as_bits : collection of str
        Users whose payload is bits instead of values: what they lose is to be least.
    """

    def __init__(
        self,
        candidates: Sequence[tuple[Scheme, Quantizer]],
        draw: Callable[[DrawRequest], LinkState],
        instantaneous: bool,
        target_bler: float | None = None,
        as_bits: Collection[str] = (),
    ):
        self._candidates = candidates
        self._draw = draw
        self._instantaneous = instantaneous
        self._target_bler = target_bler
        self._as_bits = as_bits
        self._known: dict[tuple[tuple[str, int, int], ...], dict[tuple[str, int], int]] = {}

    def choose(self, request: DrawRequest, state: LinkState) -> dict[str, Tensor]:
        """Positions of the schemes that are used: user → int64 [b]."""
        lengths = payload_lengths(request)
        if self._instantaneous:
            return {user: self._best(self.losses(state, user, lengths[user]), user) for user in lengths}
        steps = torch.stack([(-10 * torch.log10(request.no[user]) / _STEP_DB).round().long() for user in lengths])
        snrs, which = steps.unique(dim=1, return_inverse=True)
        chosen = {user: torch.zeros_like(which) for user in lengths}
        for kind, own in enumerate(snrs.mT.tolist()):
            rows = (which == kind).nonzero()[:, 0]
            sizes = {user: length[rows].tolist() for user, length in lengths.items()}
            known = self._on_average(request, dict(zip(lengths, own, strict=True)), sizes)
            for user, of_rows in sizes.items():
                chosen[user][rows] = which.new_tensor([known[user, size] for size in of_rows])
        return chosen

    def losses(self, state: LinkState, user: str, lengths: Tensor) -> Tensor:
        """Share of the payload that each scheme loses on average, given the realisation: float64 [schemes, b]."""
        observation, as_bits = Observation.of(state, user), user in self._as_bits
        return torch.stack([expected_losses(observation, lengths, scheme, as_bits) for scheme, _ in self._candidates])

    def distortions(self, losses: Tensor, user: str) -> Tensor:
        """Expected squared error of Gaussian values of unit variance, D = D_Q + p·(1 − D_Q); of bits, their losses."""
        if user in self._as_bits:
            return losses
        quantised = losses.new_tensor([quantizer.distortion for _, quantizer in self._candidates])[:, None]
        return quantised + losses * (1 - quantised)

    def _best(self, losses: Tensor, user: str) -> Tensor:
        """Positions of the best schemes, int64 [b], from what each loses, float64 [schemes, b]."""
        if self._target_bler is None:
            return self.distortions(losses, user).argmin(0)
        speed = losses.new_tensor([scheme.efficiency for scheme, _ in self._candidates])[:, None]
        return torch.where(losses <= self._target_bler, speed, -losses).argmax(0)

    def _on_average(
        self, request: DrawRequest, snr_steps: Mapping[str, int], sizes: Mapping[str, list[int]]
    ) -> Mapping[tuple[str, int], int]:
        """The choice for each user and length among ``sizes``, at SNRs in steps of `_STEP_DB`."""
        key = tuple((user, length, snr_steps[user]) for user, length in request.num_symbols.items())
        known = self._known.setdefault(key, {})
        missing = {(user, size) for user, own in sizes.items() for size in own} - known.keys()
        if missing:
            no = {
                user: torch.full((_REALISATIONS,), 10 ** (-step * _STEP_DB / 10), device=request.no[user].device)
                for user, step in snr_steps.items()
            }
            average = DrawRequest(_SEED, list(range(_REALISATIONS)), request.num_symbols, no, {})
            state = self._draw(average)
            for user, size in missing:
                losses = self.losses(state, user, torch.full_like(no[user], size, dtype=torch.long))
                known[user, size] = int(self._best(losses.mean(1, keepdim=True), user))
        return known


def payload_lengths(request: DrawRequest) -> Mapping[str, Tensor]:
    """Valid symbols of each example: user → int64 [b]."""
    return {
        user: request.mask[user].sum(1)
        if user in request.mask
        else torch.full_like(request.no[user], length, dtype=torch.long)
        for user, length in request.num_symbols.items()
    }
