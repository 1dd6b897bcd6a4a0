"""One code block of a digital link: CRC, 5G LDPC code and QAM, all Sionna's."""

from collections.abc import Sequence
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from tokcom_phy.radio.belief_propagation import BeliefPropagation
from tokcom_phy.radio.observation import NOISE_VARIANCES
from tokcom_phy.radio.scheme import CRC_BITS
from tokcom_phy.radio.sionna import CRCDecoder, CRCEncoder, Demapper, LDPC5GDecoder, LDPC5GEncoder, Mapper, unwrapped

MAX_CODED_BITS = 3824
"""Maximum of information and CRC bits in a block, valid for both base graphs of the code (3GPP TS 38.212, 7.2.2)."""

ITERATIONS = 20
_SYMBOLS_AT_A_TIME = 2**15


class BlockCode:
    """Encoder and decoder of one block length: information bits to symbols and back.

    Parameters
    ----------
    num_info_bits : int
        Without the CRC's.
    num_symbols : int
    bits_per_symbol : int
        Of the QAM, which is Gray-labelled and has mean power one.
    device : str
    """

    def __init__(self, num_info_bits: int, num_symbols: int, bits_per_symbol: int, device: str):
        self.num_info_bits, self.num_symbols, self.bits_per_symbol = num_info_bits, num_symbols, bits_per_symbol
        self.device = device
        self._crc = CRCEncoder("CRC16", device=device)
        self._crc_check = CRCDecoder(self._crc, device=device)
        self._encoder = LDPC5GEncoder(
            num_info_bits + CRC_BITS, num_symbols * bits_per_symbol, bits_per_symbol, device=device
        )
        self._decoder = LDPC5GDecoder(self._encoder, num_iter=ITERATIONS, device=device)
        self._mapper = Mapper("qam", bits_per_symbol, device=device)
        self._demapper = Demapper("app", "pam", bits_per_symbol // 2, device=device)
        self._propagations: dict[tuple[int, ...], BeliefPropagation] = {}
        self._rows = max(1, _SYMBOLS_AT_A_TIME // num_symbols)

    def encode(self, bits: Tensor, version: int | None = None) -> Tensor:
        """Encode and map blocks: float32 [blocks, num_info_bits] to complex64 [blocks, num_symbols].

        The CRC is masked with ones, so that the all-zero output of a decoder without input fails the check. ``version``
        is a redundancy version (3GPP TS 38.212, 5.4.2.1), which only Sionna 2 has; by default the first.
        """
        options = {} if version is None else {"rv": [version]}
        coded = (self._encoder(mask_crc(self._crc(part)), **options) for part in bits.split(self._rows))
        return torch.cat([self._mapper(part.flatten(1)) for part in coded])

    def demap(self, symbols: Tensor, no: Tensor) -> Tensor:
        """Log-likelihood ratios of the coded bits: float32 [blocks, num_symbols · bits_per_symbol].

        The labels of a square QAM alternate between its real and imaginary part, and so do two PAM demappers. A part
        has half the power and half the noise; scaled by √2 it is PAM of unit power in real noise of variance N0, which
        Sionna's demapper takes for complex noise of variance 2·N0.
        """
        parts = torch.view_as_real(symbols).movedim(-1, 0) * 2**0.5
        no = 2 * no.clamp(*NOISE_VARIANCES).expand(2, *symbols.shape)
        llr = self._demapper(parts.to(symbols.dtype), no)
        return llr.unflatten(2, (symbols.shape[1], -1)).permute(1, 2, 3, 0).flatten(1)

    def decode(self, symbols: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Demap and decode blocks by belief propagation.

        Parameters
        ----------
        symbols : complex64 [blocks, num_symbols]
        no : float32 [blocks, num_symbols]
            Variance of the noise on each symbol.

        Returns
        -------
        bits : float32 [blocks, num_info_bits]
        intact : bool [blocks]
            Whether the CRC holds.
        """
        bits, intact = [], []
        for part, var in zip(symbols.split(self._rows), no.split(self._rows), strict=True):
            info, valid = self._crc_check(mask_crc(self._decoder(self.demap(part, var))))
            bits.append(info)
            intact.append(valid[:, 0])
        return torch.cat(bits), torch.cat(intact)

    def decode_versions(self, llrs: Sequence[Tensor], versions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Decode blocks of which several redundancy versions arrived; only Sionna 2 can.

        Parameters
        ----------
        llrs : sequence of float32 [blocks, num_symbols · bits_per_symbol]
            What `demap` makes of each version.
        versions : sequence of int

        Returns
        -------
        As `decode`.
        """
        info = self._harq_decoder(torch.stack(list(llrs), dim=1), rv=list(versions))
        bits, valid = self._crc_check(mask_crc(info))
        return bits, valid[:, 0]

    @cached_property
    def _harq_decoder(self) -> LDPC5GDecoder:
        return LDPC5GDecoder(self._encoder, num_iter=ITERATIONS, harq_mode=True, device=self.device)

    def encode_versions(self, bits: Tensor, versions: Sequence[int]) -> Tensor:
        """The symbols of several redundancy versions, one after the other: complex64 [blocks, versions · num_symbols].

        More than the first one needs Sionna 2.
        """
        return torch.cat([self.encode(bits, version or None) for version in versions], dim=1)

    def recovers(self, symbols: Tensor, no: Tensor, bits: Tensor, versions: Sequence[int] = (0,)) -> Tensor:
        """Whether blocks are decoded to the bits that were sent, bool [blocks]; for measuring error rates.

        The decoder is `BeliefPropagation`, which is faster than Sionna's and decides as it does.

        Parameters
        ----------
        symbols, no
            As for `decode`; of all versions, [blocks, versions · num_symbols].
        bits : float32 [blocks, num_info_bits]
        versions : sequence of int
            Redundancy versions that were received.
        """
        return self._propagation(tuple(versions)).recovers(self.demap(symbols, no), mask_crc(self._crc(bits)))

    def _propagation(self, versions: tuple[int, ...]) -> BeliefPropagation:
        if versions not in self._propagations:
            encoder = unwrapped(self._encoder)
            pcm, starts = unwrapped(self._decoder).pcm, [0]
            if versions != (0,):
                pcm, starts = unwrapped(self._harq_decoder).pcm, encoder.get_start_positions_comp(list(versions))
            self._propagations[versions] = BeliefPropagation(encoder, pcm, ITERATIONS, self.device, starts)
        return self._propagations[versions]


def mask_crc(bits: Tensor) -> Tensor:
    """Invert the CRC bits at the end of each block."""
    return torch.cat([bits[:, :-CRC_BITS], 1 - bits[:, -CRC_BITS:]], dim=1)


block_code = lru_cache(maxsize=64)(BlockCode)
