"""Digital links: tokens quantised, channel-coded and modulated, over any other link at equal channel uses."""

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.adaptation import Adaptation
from tokcom_phy.radio.block_errors import block_error_rate
from tokcom_phy.radio.blockcode import block_code, check_rate, symbols_per_block
from tokcom_phy.radio.cost import Budget, Load
from tokcom_phy.radio.digital_config import DigitalConfig
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.panels import NUM_SYMBOLS, SEED, Panel, draw_block_errors
from tokcom_phy.radio.quantizer import LloydMaxQuantizer, Quantizer
from tokcom_phy.radio.seeding import entropy
from tokcom_phy.radio.segmentation import Blocks, num_blocks, segment
from tokcom_phy.radio.state import ANONYMOUS, LinkState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PICTURED = 16


class DigitalLink(Link[DigitalConfig]):
    """A link of the digital family; see `DigitalConfig`.

    Each complex symbol of the analog link, two values, becomes one QAM symbol: the channel uses are equal, and the code
    rate follows from them. The quantiser's range follows from the scale in the protected header, which also names the
    scheme of an adaptive link. Power normalisation is a setting of this link; that of the link below is ignored.
    An example's valid symbols are cut into code blocks of nearly equal length, as few as the code allows, each with a
    CRC. A block whose CRC fails is lost: its values arrive as zeros.

    A realisation is one of the link below, over which the QAM symbols are sent. Detection is not linear in the tokens;
    the gradient is the straight-through estimate: identity for delivered blocks, zero for lost ones.

    Attributes
    ----------
    over : Link
        The link below, with unbiased output.
    schemes : list of Scheme
        Candidates; one where the link does not adapt.
    """

    analog = False

    def __init__(self, name: str, config: DigitalConfig, over: Link[Any]):
        for scheme in config.candidates:
            check_rate(scheme.bits, scheme.modulation, symbols_per_block(scheme.bits))
        super().__init__(name, config, over.device)
        self.memory_mend = over.memory_mend
        self.over = over
        self.snr_offset_db = over.snr_offset_db
        self.users = over.users
        self.schemes = config.candidates
        self.sent_as = " or ".join(str(scheme) for scheme in self.schemes)
        self._quantizers = {scheme: self._quantizer(scheme.bits) for scheme in self.schemes}
        self._adaptation = None
        if config.adaptation != "none":
            candidates = list(self._quantizers.items())
            self._adaptation = Adaptation(candidates, over._draw, config.adaptation == "instantaneous")

    def _quantizer(self, bits: int) -> Quantizer:
        return Quantizer(bits, self.config.clip) if self.config.quantizer == "uniform" else LloydMaxQuantizer(bits)

    def mapped(self) -> Self:
        """This link with mapped decoding; unchanged if it has an amplifier, whose distortion only bits show."""
        if self.config.amplifier_backoff_db is not None:
            return self
        twin = copy(self)
        twin.config = self.config.model_copy(update={"decoding": "mapped"})
        return twin

    def check_drawable(self) -> None:
        self.over.check_drawable()

    def _draw(self, request: DrawRequest) -> LinkState:
        below = self.over._draw(request)
        if self._adaptation is None:
            none = torch.zeros(len(request.indices), dtype=torch.long, device=self.device)
            scheme = dict.fromkeys(request.num_symbols, none)
        else:
            scheme = self._adaptation.choose(request, below)
        return DigitalState.of(below, scheme, {user: self._chances(request, user) for user in request.num_symbols})

    def _chances(self, request: DrawRequest, user: str) -> Tensor:
        """Uniform numbers of a user's blocks, float32 [b, blocks]; those of a shorter payload are the first ones."""
        most = max(num_blocks(request.num_symbols[user], scheme) for scheme in self.schemes)

        def draw() -> Tensor:
            keys = [(request.seed, index, "block", user) for index in request.indices]
            drawn = np.stack([np.random.default_rng(entropy(*key)).random(most, np.float32) for key in keys])
            return torch.from_numpy(drawn).to(self.device)

        return request.once(("block", request.seed, tuple(request.indices), user, most), draw)

    def _memory(self, request: DrawRequest) -> int:
        return self.over._memory(request)

    def _cost(self, load: Load) -> Budget:
        return self.over._cost(load)

    def panels(self) -> list[Panel]:
        return [*self.over.panels(), self._draw_block_errors]

    def _draw_block_errors(self, axes: "Axes") -> None:
        """Draw the mean block error rate of each scheme, by link-to-system mapping."""
        snr_db = list(range(-10, 31))
        rates: dict[str, list[float]] = {str(scheme): [] for scheme in self.schemes}
        for snr in snr_db:
            sinr = self.over.draw(_PICTURED, NUM_SYMBOLS, float(snr), SEED).sinr[ANONYMOUS]
            for scheme in self.schemes:
                layout = segment([NUM_SYMBOLS] * _PICTURED, [scheme] * _PICTURED, self.device)
                lost = torch.cat([block_error_rate(sinr, blocks) for blocks in layout])
                rates[str(scheme)].append(float(lost.mean()))
        draw_block_errors(axes, snr_db, rates)

    def _transmit_symbols(
        self, symbols: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: LinkState
    ) -> dict[str, Tensor]:
        assert isinstance(state, DigitalState)
        layouts = {}
        for user, x in symbols.items():
            lengths = masks[user].sum(1).tolist() if user in masks else [x.shape[1]] * len(x)
            schemes = [self.schemes[position] for position in state.scheme[user].tolist()]
            layouts[user] = segment(lengths, schemes, self.device)
        values = {user: x.detach().to(self.device) for user, x in symbols.items()}
        if self.config.decoding == "mapped":
            found = {user: self._map(x, user, state, layouts[user]) for user, x in values.items()}
        else:
            sent = {user: self._amplify(self._encode(x, layouts[user])) for user, x in values.items()}
            found = {
                user: self._decode(y, state.effective_noise_var[user], layouts[user])
                for user, y in state.apply(sent).items()
            }
        received = {}
        for user, (decoded, delivered) in found.items():
            x = symbols[user]
            straight_through = decoded.to(x) + (x - x.detach())
            received[user] = straight_through.where(delivered.to(x.device), 0)
        return received

    def _encode(self, symbols: Tensor, layout: list[Blocks]) -> Tensor:
        """Quantise, encode and map complex symbols of mean power one [b, n] to QAM symbols, complex64 [b, n]."""
        sent = torch.zeros_like(symbols, dtype=torch.complex64)
        for blocks in layout:
            bits = self._quantizers[blocks.scheme].quantize(_values(symbols, blocks)).flatten(1)
            sent[blocks.rows, blocks.columns] = block_code(*blocks.code, self.device).encode(bits)
        return sent

    @torch.no_grad()
    def _decode(self, received: Tensor, no: Tensor, layout: list[Blocks]) -> tuple[Tensor, Tensor]:
        """Dequantised symbols, complex64 [b, n], and whether their block was delivered, bool [b, n]."""
        symbols, delivered = torch.zeros_like(received), torch.zeros_like(received, dtype=torch.bool)
        for blocks in layout:
            own = blocks.rows, blocks.columns
            decoded, intact = block_code(*blocks.code, self.device).decode(received[own], no[own])
            bits = decoded.unflatten(1, (blocks.columns.shape[1], 2, blocks.scheme.bits))
            symbols[own] = _symbols(self._quantizers[blocks.scheme].dequantize(bits))
            delivered[own] = intact[:, None]
        return symbols, delivered

    def _map(self, symbols: Tensor, user: str, state: DigitalState, layout: list[Blocks]) -> tuple[Tensor, Tensor]:
        """What `_decode` returns, by the error rate of each block instead of its bits."""
        decoded, delivered = torch.zeros_like(symbols), torch.zeros_like(symbols, dtype=torch.bool)
        for blocks in layout:
            own = blocks.rows, blocks.columns
            chance = state.chance[user][blocks.rows[:, 0], blocks.numbers]
            decoded[own] = _symbols(self._quantizers[blocks.scheme].nearest(_values(symbols, blocks))).to(decoded)
            delivered[own] = (chance >= block_error_rate(state.sinr[user], blocks))[:, None]
        return decoded, delivered


def _values(symbols: Tensor, blocks: Blocks) -> Tensor:
    """The values of unit power that the symbols of mean power one [b, n] carry: float [blocks, num_symbols, 2]."""
    return torch.view_as_real(symbols[blocks.rows, blocks.columns]) * 2**0.5


def _symbols(values: Tensor) -> Tensor:
    """Values [..., 2] as complex symbols, the inverse of `_values`."""
    return torch.view_as_complex(values) / 2**0.5
