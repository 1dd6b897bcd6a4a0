"""Source coding of a digital link: the symbols of a block as information bits, and back."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from tokcom_phy.radio.quantizer import Quantizer
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import Blocks


class SourceCoder:
    """Each of the two values of a symbol by the quantiser of the block's scheme; or symbols ±1 that are bits already.

    Parameters
    ----------
    quantizers : Scheme → Quantizer
    as_bits : collection of str
        Users whose symbols are bits.
    """

    def __init__(self, quantizers: Mapping[Scheme, Quantizer], as_bits: Collection[str]):
        self._quantizers = quantizers
        self._as_bits = as_bits

    def encode(self, symbols: Tensor, blocks: Blocks, user: str) -> Tensor:
        """Information bits of symbols of mean power one: complex [blocks, n] to float32 [blocks, num_info_bits]."""
        if user in self._as_bits:
            return torch.nn.functional.pad(
                (symbols.real > 0).float(), (0, blocks.code.num_info_bits - symbols.shape[1])
            )
        return self._quantizers[blocks.scheme].quantize(_values(symbols)).flatten(1)

    def decode(self, bits: Tensor, blocks: Blocks, user: str) -> Tensor:
        """The inverse of `encode`, but for quantisation: float32 [blocks, num_info_bits] to complex64 [blocks, n]."""
        if user in self._as_bits:
            return (2 * bits[:, : blocks.columns.shape[1]] - 1).to(torch.complex64)
        per_value = bits.unflatten(1, (blocks.columns.shape[1], 2, blocks.scheme.bits))
        return _symbols(self._quantizers[blocks.scheme].dequantize(per_value))

    def nearest(self, symbols: Tensor, blocks: Blocks, user: str) -> Tensor:
        """What `decode` makes of the bits of `encode`, without making them: complex [blocks, n]."""
        return symbols if user in self._as_bits else _symbols(self._quantizers[blocks.scheme].nearest(_values(symbols)))


def _values(symbols: Tensor) -> Tensor:
    """The values of unit power that symbols of mean power one carry: complex [...] to float [..., 2]."""
    return torch.view_as_real(symbols) * 2**0.5


def _symbols(values: Tensor) -> Tensor:
    """Values [..., 2] as complex symbols, the inverse of `_values`."""
    return torch.view_as_complex(values) / 2**0.5
