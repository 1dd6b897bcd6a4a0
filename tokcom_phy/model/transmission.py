"""What goes over a link: which of its realisations, and the tokens before and behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

from tokcom_phy.radio import Link, LinkState
from tokcom_phy.radio.budgeted import Snr


@dataclass(frozen=True)
class LinkUse:
    """Which link a batch is sent over, at what SNR [dB], one or each user's own, and through which of its realisations.

    ``indices`` holds one number per example. Seed and number determine the realisation.
    """

    link: Link
    snr_db: Snr
    seed: int
    indices: Sequence[int]


@dataclass(frozen=True)
class Transmission:
    """What went over the air.

    Attributes
    ----------
    sent, received : modality → float [b, s_m, d_T]
        Tokens before and after the link.
    masks : modality → bool [b, s_m]
    state : LinkState, or None where nothing was sent
        The realisation that they went through.
    """

    sent: dict[str, Tensor]
    received: dict[str, Tensor]
    masks: dict[str, Tensor]
    state: LinkState | None

    def noise_var(self, modality: str) -> Tensor:
        """Effective noise variance per token, float32 [b, s_m]: what a receiver knows of the channel's quality.

        The mean over a token's channel uses of `LinkState.effective_noise_var`, relative to signal power one whatever
        the ``output`` of the link; 1 for padding.
        """
        assert self.state is not None
        received, mask = self.received[modality], self.masks[modality]
        per_symbol = self.state.effective_noise_var[modality].to(received.device)
        per_token = adaptive_avg_pool1d(per_symbol, received.shape[1])
        order = (~mask).byte().argsort(dim=1, stable=True)  # valid tokens go on the air one after the other
        return per_token.gather(1, order.argsort(dim=1)).masked_fill(~mask, 1.0)
