"""One realisation of a link, linear in the payload: received = A · sent + w."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from tokcom_phy.radio.effective_snr import effective_snr_db
from tokcom_phy.radio.waveform import Waveform
from tokcom_phy.utils.errors import UserError, nearest

Payload = TypeVar("Payload", Tensor, Mapping[str, Tensor])

ANONYMOUS = "payload"
"""User name of a payload that is a tensor instead of a mapping."""


@dataclass(frozen=True)
class LinkState:
    """One realisation of channel, pilots, estimation and combining, to be applied to any payload.

    Neither the channel nor a pilot-based estimate of it depends on the payload, so a realisation is

        received_k[n] = Σ_j gain[k][j][n] · sent_j[n] + noise[k][n],        A = G·H,  w = G·n

    over the users j that share a resource element with user k. Drawn without gradients; applied with exact ones. On an
    OFDM link with an amplifier, ``sent`` is what that makes of the waveform; precoding comes before it.

    Attributes
    ----------
    gain : receiving user k → sending user j → complex64 [b, n], or None where it is exactly one
        A; between users of different payload lengths, as long as the shorter payload.
    noise : user → complex64 [b, n]
        w; an empty dictionary for a link without noise.
    effective_noise_var : user → float32 [b, n]
        Noise and interference variance over signal power after combining, as the receiver computes it from its
        channel estimate: the same under output mmse and unbiased, since it is relative. Under output raw the receiver
        has no estimate, and it is N0.
    sinr : user → float32 [b, n]
        True SINR after combining, under every output. It takes the gain of the user's own symbol, A_kk, as known, as a
        genie would; what a receiver that takes it as one errs by is in `nmse_db`.
    mask : user → bool [b, n], may be empty
        True for valid symbols, as given at the draw; the combiner knows it.
    waveform : user → Waveform, may be empty
        What becomes of symbols before they are sent, and after they are received.
    """

    gain: Mapping[str, Mapping[str, Tensor | None]]
    noise: Mapping[str, Tensor]
    effective_noise_var: Mapping[str, Tensor]
    sinr: Mapping[str, Tensor]
    mask: Mapping[str, Tensor] = field(default_factory=dict)
    waveform: Mapping[str, Waveform] = field(default_factory=dict)

    def apply(self, symbols: Payload, mask: Payload | None = None) -> Payload:
        """Send symbols over this realisation.

        Parameters
        ----------
        symbols : complex64 [b, n], or user → complex64 [b, n_user]
            A tensor where the draw was for an anonymous user, else a dictionary with the same users.
        mask : bool, the same structure as ``symbols``, optional
            True for valid symbols; by default the mask of the draw. Padding is not transmitted, does not interfere and
            is received as exactly zero.

        Returns
        -------
        complex64, the structure and shapes of ``symbols``

        Raises
        ------
        UserError
            If users or shapes are not those of the draw.
        """
        if isinstance(symbols, Tensor):
            masks = None if mask is None else {ANONYMOUS: mask}
            return self._apply({ANONYMOUS: symbols}, masks)[ANONYMOUS]
        return self._apply(symbols, mask)

    def _apply(self, symbols: Mapping[str, Tensor], mask: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        self._check(symbols)
        mask = self.mask if mask is None else mask
        sent = {user: x * mask[user].to(x.device) if user in mask else x for user, x in symbols.items()}
        sent = {
            user: self.waveform[user].send(x, mask.get(user)) if user in self.waveform else x
            for user, x in sent.items()
        }
        received = {}
        for user, gains in self.gain.items():
            y = self.noise[user].to(sent[user].device) if user in self.noise else None
            for sender, gain in gains.items():
                y = _plus(y, sent[sender], gain)
            assert y is not None
            if user in self.waveform:
                y = self.waveform[user].receive(y, mask.get(user))
            received[user] = y * mask[user].to(y.device) if user in mask else y
        return received

    def _check(self, symbols: Mapping[str, Tensor]) -> None:
        if set(symbols) != set(self.gain):
            raise UserError(f"this realisation was drawn for {', '.join(self.gain)}, not for {', '.join(symbols)}")
        for user, x in symbols.items():
            shape = tuple(self.effective_noise_var[user].shape)
            if tuple(x.shape) != shape:
                raise UserError(f"'{user}' sends symbols of shape {tuple(x.shape)}, the link was drawn for {shape}")

    def fold_interference(self, symbols: Mapping[str, Tensor]) -> "LinkState":
        """Fold the symbols of interferers into the noise of the other users.

        Parameters
        ----------
        symbols : user → complex64 [b, n]
            Symbols sent by the interferers.
        """
        left = [user for user in self.gain if user not in symbols]
        noise = {}
        for user in left:
            noise[user] = self.noise[user]
            for sender, x in symbols.items():
                noise[user] = _plus(noise[user], x, self.gain[user][sender])
        return LinkState(
            {user: {sender: self.gain[user][sender] for sender in left} for user in left},
            noise,
            {user: self.effective_noise_var[user] for user in left},
            {user: self.sinr[user] for user in left},
            {user: mask for user, mask in self.mask.items() if user in left},
            {user: waveform for user, waveform in self.waveform.items() if user in left},
        )

    @property
    def effective_snr_db(self) -> dict[str, float]:
        """Effective SNR per user [dB]: that of the AWGN channel with the same mean mutual information.

        `radio.effective_snr` over all valid symbols of the batch; exactly the SNR on an AWGN link, infinite on an ideal
        one.
        """
        return {user: self._effective_snr_db(user) for user in self.gain}

    @property
    def effective_snr_db_each(self) -> dict[str, Tensor]:
        """Effective SNR of each example [dB], over its own valid symbols: user → float64 [b]."""
        return {user: effective_snr_db(self.sinr[user], self.mask.get(user), 1) for user in self.gain}

    def _effective_snr_db(self, user: str) -> float:
        sinr = self.sinr[user]
        return float(effective_snr_db(sinr[self.mask[user]] if user in self.mask else sinr))

    @property
    def nmse_db(self) -> dict[str, float]:
        """Expected squared error per user [dB], for independent symbols of variance one, over all valid symbols.

        E|x̂ − x|² = |A_kk − 1|² + |A_kk|²/SINR: no genie tells A_kk.
        """
        return {user: self._nmse_db(user) for user in self.gain}

    def _nmse_db(self, user: str) -> float:
        sinr, own = self.sinr[user].double(), self.gain[user][user]
        gain = torch.ones_like(sinr) if own is None else own
        error = (gain - 1).abs().square() + (gain.abs().square() / sinr).nan_to_num(0.0)
        return float(10 * torch.log10((error[self.mask[user]] if user in self.mask else error).mean()))

    @classmethod
    def merge(cls, states: Iterable["LinkState"]) -> "LinkState":
        """The joint realisation of users on orthogonal resources, from one realisation per group of users."""
        merged = cls({}, {}, {}, {}, {})
        for state in states:
            merged = cls(
                {**merged.gain, **state.gain},
                {**merged.noise, **state.noise},
                {**merged.effective_noise_var, **state.effective_noise_var},
                {**merged.sinr, **state.sinr},
                {**merged.mask, **state.mask},
                {**merged.waveform, **state.waveform},
            )
        return merged

    @classmethod
    def concatenate(cls, states: Sequence["LinkState"], order: Sequence[int]) -> "LinkState":
        """The realisation of a batch from those of its parts, which have the same users.

        Parameters
        ----------
        states : sequence of LinkState
        order : sequence of int [b]
            Position in the batch of each example of the concatenated parts.
        """
        back = None if list(order) == sorted(order) else torch.tensor(order).argsort()

        def joined(parts: Iterable[Tensor | None]) -> Tensor:
            whole = torch.cat([part for part in parts if part is not None])
            return whole if back is None else whole[back.to(whole.device)]

        first = states[0]
        return cls(
            {
                user: {other: joined(s.gain[user][other] for s in states) for other in first.gain[user]}
                for user in first.gain
            },
            {user: joined(s.noise[user] for s in states) for user in first.noise},
            {user: joined(s.effective_noise_var[user] for s in states) for user in first.gain},
            {user: joined(s.sinr[user] for s in states) for user in first.gain},
            {user: joined(s.mask[user] for s in states) for user in first.mask},
            first.waveform,
        )

    def mistake(self, shapes: Mapping[str, tuple[int, int]]) -> str | None:
        """The first tensor whose shape does not fit payloads of shape [b, n] by user, in words; None if all fit."""
        if set(self.gain) != set(shapes):
            return f"a realisation for users {', '.join(self.gain)}, requested are {', '.join(shapes)}"
        for user, shape in shapes.items():
            expected = {
                f"gain of '{user}' from '{sender}'": (gain, (shape[0], min(shape[1], shapes[sender][1])))
                for sender, gain in self.gain[user].items()
            }
            for name, part in (("noise", self.noise), ("effective_noise_var", self.effective_noise_var)):
                if user in part or name != "noise":
                    expected[f"{name} of '{user}'"] = part.get(user), shape
            expected[f"sinr of '{user}'"] = self.sinr.get(user), shape
            for what, (tensor, fits) in expected.items():
                if tensor is None and not what.startswith("gain"):
                    return f"no {what}"
                if tensor is not None and tuple(tensor.shape) != fits:
                    return f"{what} of shape {list(tensor.shape)}, expected {list(fits)}"
        return None

    @property
    def nbytes(self) -> int:
        """Memory that this realisation holds [bytes]; storage shared by several tensors counts once."""
        return sum({s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in self._tensors())}.values())

    def _tensors(self) -> Iterator[Tensor]:
        for gains in self.gain.values():
            yield from (gain for gain in gains.values() if gain is not None)
        for part in (self.noise, self.effective_noise_var, self.sinr, self.mask):
            yield from part.values()


def _plus(received: Tensor | None, symbols: Tensor, gain: Tensor | None) -> Tensor:
    """What is received [b, m], if anything is, plus symbols [b, n] times their gain [b, ≤ n], the rest cut off."""
    if gain is not None:
        gain = gain.to(symbols.device)
        symbols = symbols[:, : gain.shape[1]]
        if received is not None and received.shape == symbols.shape:
            return torch.addcmul(received, gain, symbols)
        symbols = gain * symbols
    if received is None:
        return symbols
    longer = received.shape[1] - symbols.shape[1]
    return pad(received, (0, max(-longer, 0))) + pad(symbols, (0, max(longer, 0)))


def check_users(users: Iterable[str], known: list[str]) -> None:
    """Raise a `UserError` if one of ``users`` is not among the ``known``."""
    for user in users:
        if user not in known:
            raise UserError(f"this link has no user '{user}': {nearest(user, known)}")
