"""Link adaptation: which of its candidate schemes a digital link uses."""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from tokcom_phy.radio.cache import RealisationCache
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.effective_snr import effective_snr_db
from tokcom_phy.radio.harq import Expected, expected
from tokcom_phy.radio.harq_config import Combining, HarqConfig
from tokcom_phy.radio.observation import NOISE_VARIANCES, Observation
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import carries
from tokcom_phy.radio.state import LinkState

_SEED = 2**40 + 7
_REALISATIONS = 64
_STEP_DB = 0.1
_CACHED_BYTES = 128 * 2**20
_MOST_KNOWN = 10_000


class Adaptation:
    """Chooses for each transmission the candidate scheme of least expected distortion, or the fastest reliable one.

    The instantaneous rule minimises over schemes given the realisation, so its mean distortion is at most that of any
    fixed scheme, E[min_s D_s] ≤ min_s E[D_s]; the average rule attains min_s E[D_s]. With a target error rate the
    choice is the scheme of most bits a channel use among those that lose no more; if all do, that which loses least.

    With HARQ scheme s takes m_s times the channel uses of analog tokens in the mean. What is least then is its
    distortion over that of analog tokens repeated m_s times, D_s·(1 + m_s·γ) given the realisation and
    E[D_s]/E[1/(1 + E[m_s]·γ)] on average; for bits what is lost, and then the channel uses.

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
    harq : HarqConfig, optional
    """

    def __init__(
        self,
        candidates: Sequence[tuple[Scheme, Quantizer]],
        draw: Callable[[DrawRequest], LinkState],
        instantaneous: bool,
        target_bler: float | None = None,
        as_bits: Collection[str] = (),
        harq: HarqConfig | None = None,
    ):
        self._candidates = candidates
        self._draw = draw
        self._instantaneous = instantaneous
        self._target_bler = target_bler
        self._as_bits = as_bits
        self._harq = harq
        self._cache = RealisationCache(_CACHED_BYTES)
        self._known: dict[tuple[tuple[str, int, int], ...], dict[tuple[str, int], int]] = {}

    def choose(self, request: DrawRequest, state: LinkState) -> dict[str, Tensor]:
        """Positions of the schemes that are used: user → int64 [b]."""
        lengths = payload_lengths(request)
        if self._instantaneous:
            return {
                user: self._best(self.expected(state, user, length), _snr(state, user)[:, None], user)
                for user, length in lengths.items()
            }
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

    def expected(self, state: LinkState, user: str, lengths: Tensor) -> Expected:
        """What payloads lose and take with each scheme in the mean, given the realisation: float64 [schemes, b] each.

        A transmitter that knows the realisation takes further rounds of HARQ to be like it. On average an example's
        further rounds meet the realisations of the next examples.
        """
        observation, as_bits = Observation.of(state, user), user in self._as_bits
        number = 1 if self._harq is None else self._harq.rounds
        combining: Combining = "incremental-redundancy" if self._harq is None else self._harq.combining
        rounds = [observation] * number
        if not self._instantaneous:
            rounds = [Observation(*(part.roll(-r, 0) for part in observation)) for r in range(number)]
        found = [self._expected_of(scheme, rounds, lengths, combining, as_bits) for scheme, _ in self._candidates]
        return Expected(*map(torch.stack, zip(*found, strict=True)))

    def _expected_of(
        self, scheme: Scheme, rounds: Sequence[Observation], lengths: Tensor, combining: Combining, as_bits: bool
    ) -> Expected:
        """What `expected` says, with an infinite loss where only other candidates carry a payload of such a length."""
        kinds, which = lengths.unique(return_inverse=True)
        left_out = [
            not carries(n, scheme, as_bits) and any(carries(n, other, as_bits) for other, _ in self._candidates)
            for n in kinds.tolist()
        ]
        if not any(left_out):
            return expected(rounds, lengths, scheme, combining, as_bits)
        rows = (~torch.tensor(left_out, device=lengths.device)[which]).nonzero()[:, 0]
        whole = Expected(*torch.ones(3, len(lengths), dtype=torch.float64, device=lengths.device))
        whole.losses.fill_(torch.inf)
        if len(rows):
            own = [Observation(*(part[rows] for part in one)) for one in rounds]
            for part, of_rows in zip(whole, expected(own, lengths[rows], scheme, combining, as_bits), strict=True):
                part[rows] = of_rows
        return whole

    def distortions(self, losses: Tensor, user: str) -> Tensor:
        """Expected squared error of Gaussian values of unit variance, D = D_Q + p·(1 − D_Q); of bits, their losses."""
        if user in self._as_bits:
            return losses
        quantised = losses.new_tensor([quantizer.distortion for _, quantizer in self._candidates])[:, None]
        return quantised + losses * (1 - quantised)

    def _best(self, found: Expected, snr: Tensor, user: str) -> Tensor:
        """Positions of the best schemes, int64 [b].

        Parameters
        ----------
        found : Expected [schemes, b]
        snr : float64 [b, realisations]
            Effective SNRs of the realisations that ``found`` is the mean over.
        user : str
        """
        if self._target_bler is not None:
            speed = found.losses.new_tensor([scheme.efficiency for scheme, _ in self._candidates])[:, None]
            speed = speed * found.first_uses / found.uses
            return torch.where(found.losses <= self._target_bler, speed, -found.losses).argmax(0)
        distortions = self.distortions(found.losses, user)
        if self._harq is None:
            return distortions.argmin(0)
        if user in self._as_bits:
            return found.uses.where(distortions == distortions.amin(0), torch.inf).argmin(0)
        repeated = (1 / (1 + found.uses[..., None] * snr)).mean(-1)
        return (distortions / repeated).argmin(0)

    def _on_average(
        self, request: DrawRequest, snr_steps: Mapping[str, int], sizes: Mapping[str, list[int]]
    ) -> Mapping[tuple[str, int], int]:
        """The choice for each user and length among ``sizes``, at SNRs in steps of `_STEP_DB`."""
        key = tuple((user, length, snr_steps[user]) for user, length in request.num_symbols.items())
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        known = self._known.setdefault(key, {})
        missing = {(user, size) for user, own in sizes.items() for size in own} - known.keys()
        if missing:
            no = {
                user: torch.full((_REALISATIONS,), 10 ** (-step * _STEP_DB / 10), device=request.no[user].device)
                for user, step in snr_steps.items()
            }
            average = DrawRequest(_SEED, list(range(_REALISATIONS)), request.num_symbols, no, {}, self._cache)
            state = self._draw(average)
            for user, size in missing:
                found = self.expected(state, user, torch.full_like(no[user], size, dtype=torch.long))
                mean = Expected(*(part.mean(1, keepdim=True) for part in found))
                known[user, size] = int(self._best(mean, _snr(state, user)[None], user))
        return known


def payload_lengths(request: DrawRequest) -> Mapping[str, Tensor]:
    """Valid symbols of each example: user → int64 [b]."""
    return {
        user: request.mask[user].sum(1)
        if user in request.mask
        else torch.full_like(request.no[user], length, dtype=torch.long)
        for user, length in request.num_symbols.items()
    }


def _snr(state: LinkState, user: str) -> Tensor:
    """Effective SNR of each payload, float64 [b], within what a demapper is told."""
    snr_db = effective_snr_db(state.sinr[user], state.mask.get(user), 1)
    return (10 ** (snr_db / 10)).clamp(max=1 / NOISE_VARIANCES[0])
