"""Digital links: tokens quantised, channel-coded and modulated, over any other link at equal channel uses."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tokcom_phy.radio.blockcode import BITS_PER_SYMBOL, BlockCode, block_code, check_rate, symbols_per_block
from tokcom_phy.radio.cost import Budget, Load
from tokcom_phy.radio.digital_config import DigitalConfig
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.panels import Panel
from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.state import LinkState


class Blocks(NamedTuple):
    """The code blocks of equal length in a user's payload.

    Attributes
    ----------
    code : BlockCode
    rows : int64 [blocks, 1]
        Example that each block belongs to.
    columns : int64 [blocks, num_symbols]
        Positions of its symbols in the example's payload.
    """

    code: BlockCode
    rows: Tensor
    columns: Tensor


class DigitalLink(Link[DigitalConfig]):
    """A link of the digital family; see `DigitalConfig`.

    Each complex symbol of the analog link, two values, becomes one QAM symbol: the channel uses are equal, and the code
    rate follows from them. The quantiser's range follows from the scale in the protected header. Power normalisation is
    a setting of this link; that of the link below is ignored.
    An example's valid symbols are cut into code blocks of nearly equal length, as few as the code allows, each with a
    CRC. A block whose CRC fails is lost: its values arrive as zeros.

    A realisation is one of the link below, over which the QAM symbols are sent. Detection is not linear in the tokens;
    the gradient is the straight-through estimate: identity for delivered blocks, zero for lost ones.

    Attributes
    ----------
    over : Link
        The link below, with unbiased combining.
    quantizer : Quantizer
    """

    analog = False

    def __init__(self, name: str, config: DigitalConfig, over: Link[Any]):
        check_rate(config.bits, config.modulation, symbols_per_block(config.bits))
        super().__init__(name, config, over.device)
        self.memory_mend = over.memory_mend
        self.over = over
        self.snr_offset_db = over.snr_offset_db
        self.users = over.users
        self.sent_as = f"{config.bits} bit {config.modulation}"
        self.quantizer = Quantizer(config.bits, config.clip)

    def check_drawable(self) -> None:
        self.over.check_drawable()

    def _draw(self, request: DrawRequest) -> LinkState:
        return self.over._draw(request)

    def _memory(self, request: DrawRequest) -> int:
        return self.over._memory(request)

    def _cost(self, load: Load) -> Budget:
        return self.over._cost(load)

    def panels(self) -> list[Panel]:
        return self.over.panels()

    def _transmit_symbols(
        self, symbols: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: LinkState
    ) -> dict[str, Tensor]:
        sent, layouts = {}, {}
        for user, x in symbols.items():
            lengths = masks[user].sum(1).tolist() if user in masks else [x.shape[1]] * len(x)
            layouts[user] = self._layout(lengths)
            sent[user] = self._amplify(self._encode(x.detach().to(self.device), layouts[user]))
        received = {}
        for user, y in state.apply(sent).items():
            decoded, delivered = self._decode(y, state.effective_noise_var[user], layouts[user])
            x = symbols[user]
            straight_through = decoded.to(x) + (x - x.detach())
            received[user] = straight_through.where(delivered.to(x.device), 0)
        return received

    def _layout(self, lengths: Sequence[int]) -> list[Blocks]:
        """Segmentation into code blocks of payloads of the given numbers of symbols."""
        bits, modulation = self.config.bits, self.config.modulation
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for example, length in enumerate(lengths):
            count = -(-length // symbols_per_block(bits))
            for start, stop in pairwise(block * length // count for block in range(count + 1)):
                found[stop - start].append((example, start))
        layout = []
        for size, places in found.items():
            check_rate(bits, modulation, size)
            rows, starts = torch.tensor(places, device=self.device).mT[..., None]
            columns = starts + torch.arange(size, device=self.device)
            layout.append(
                Blocks(block_code(2 * bits * size, size, BITS_PER_SYMBOL[modulation], self.device), rows, columns)
            )
        return layout

    def _encode(self, symbols: Tensor, layout: list[Blocks]) -> Tensor:
        """Quantise, encode and map complex symbols of mean power one [b, n] to QAM symbols, complex64 [b, n]."""
        bits = self.quantizer.quantize(torch.view_as_real(symbols) * 2**0.5).flatten(2)
        sent = torch.zeros_like(symbols, dtype=torch.complex64)
        for code, rows, columns in layout:
            sent[rows, columns] = code.encode(bits[rows, columns].flatten(1))
        return sent

    @torch.no_grad()
    def _decode(self, received: Tensor, no: Tensor, layout: list[Blocks]) -> tuple[Tensor, Tensor]:
        """Dequantised symbols, complex64 [b, n], and whether their block was delivered, bool [b, n]."""
        bits = torch.zeros(*received.shape, 2 * self.config.bits, device=self.device)
        delivered = torch.zeros_like(received, dtype=torch.bool)
        for code, rows, columns in layout:
            decoded, intact = code.decode(received[rows, columns], no[rows, columns])
            bits[rows, columns] = decoded.unflatten(1, (columns.shape[1], -1))
            delivered[rows, columns] = intact[:, None]
        values = self.quantizer.dequantize(bits.unflatten(2, (2, -1)))
        return torch.view_as_complex(values) / 2**0.5, delivered
