"""Belief propagation over many blocks at once, for measuring error rates."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_LLR_MAX = 20.0
_PHI_RANGE = (8.5e-8, 16.635532)
_CHECK_EVERY = 3


class BeliefPropagation:
    """Sum-product decoding of a 5G LDPC code with flooding, the algorithm of Sionna's decoder and its constants.

    Messages lie in memory as [edges, blocks], so that a gather copies whole rows, and blocks that are right leave the
    batch: five to ten times as fast as Sionna's decoder on a CPU, with the same decisions up to rounding.

    Parameters
    ----------
    encoder : Sionna's LDPC5GEncoder
    pcm : scipy.sparse matrix [checks, nodes]
        The parity checks of Sionna's decoder, without those that only concern punctured bits.
    num_iter : int
    device : str
    starts : sequence of int
        Where the received redundancy versions begin in the circular buffer, fillers left out.
    """

    def __init__(self, encoder: Any, pcm: Any, num_iter: int, device: str, starts: Sequence[int] = (0,)):
        self._num_info_bits, self._lifting, self._num_fillers = encoder.k, encoder.z, encoder.k_ldpc - encoder.k
        self._deinterleaver = torch.from_numpy(encoder.generate_out_int(encoder.n, encoder.num_bits_per_symbol)[1]).to(
            device
        )
        self._num_coded_bits, self._starts = encoder.n, starts
        self._num_nodes = pcm.shape[1]
        self._num_iter = num_iter
        check, node = (torch.from_numpy(index).long() for index in pcm.tocoo().coords)
        degree = torch.bincount(check)[check]
        order = (degree * pcm.shape[0] + check).argsort(stable=True)
        self._node = node[order].to(device)  # of each edge, sorted by the degree of the check, then by check
        self._groups = [(int(d), int((degree == d).sum())) for d in degree.unique()]

    def recovers(self, llr: Tensor, bits: Tensor) -> Tensor:
        """Whether blocks are decoded to the bits that were sent, bool [blocks].

        Parameters
        ----------
        llr : float32 [blocks, coded bits]
            As for `decode`.
        bits : float32 [blocks, k]
        """
        expected = bits > 0.5
        return self.decode(llr, lambda found, blocks: (found == expected[blocks]).all(1))[1]

    def decode(self, llr: Tensor, accept: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Decode blocks until they are accepted.

        Parameters
        ----------
        llr : float32 [blocks, coded bits]
            Log-odds of a one, as Sionna's demappers give them; of all versions, one after the other.
        accept : (bool [n, k], int64 [n]) → bool [n]
            Whether bits of these blocks are right; asked after every third iteration and after the last.

        Returns
        -------
        bits : bool [blocks, k]
        accepted : bool [blocks]
        """
        channel = self._channel(llr)
        bits = torch.zeros(len(llr), self._num_info_bits, dtype=torch.bool, device=llr.device)
        accepted = torch.zeros(len(llr), dtype=torch.bool, device=llr.device)
        left = torch.arange(len(llr), device=llr.device)
        to_check = channel[self._node]
        for iteration in range(1, self._num_iter + 1):
            to_node = self._update_checks(to_check)
            total = channel.index_add(0, self._node, to_node)
            to_check = (total[self._node] - to_node).clamp_(-_LLR_MAX, _LLR_MAX)
            if iteration % _CHECK_EVERY and iteration < self._num_iter:
                continue
            found = (total[: self._num_info_bits] < 0).mT
            bits[left], done = found, accept(found, left)
            if done.any():
                accepted[left[done]] = True
                left, channel, to_check = left[~done], channel[:, ~done], to_check[:, ~done]
            if not len(left):
                break
        return bits, accepted

    def _channel(self, llr: Tensor) -> Tensor:
        """Log-odds of a zero of all nodes, float32 [nodes, blocks]: punctured and unsent bits unknown, fillers zero.

        Those of a bit that is sent several times add.
        """
        first, stop = 2 * self._lifting, self._num_info_bits + self._num_fillers
        buffer = llr.new_zeros(self._num_nodes - first - self._num_fillers, len(llr))
        for start, version in zip(self._starts, llr.split(self._num_coded_bits, dim=1), strict=True):
            places = (start + torch.arange(self._num_coded_bits, device=llr.device)) % len(buffer)
            buffer[places] -= version[:, self._deinterleaver].mT
        buffer.clamp_(-_LLR_MAX, _LLR_MAX)
        systematic = self._num_info_bits - first
        nodes = llr.new_zeros(self._num_nodes, len(llr))
        nodes[first : self._num_info_bits] = buffer[:systematic]
        nodes[self._num_info_bits : stop] = _LLR_MAX
        nodes[stop:] = buffer[systematic:]
        return nodes

    def _update_checks(self, message: Tensor) -> Tensor:
        """Box-plus of the other messages at each check, float32 [edges, blocks]."""
        magnitude, negative = _phi(message.abs()), message < 0
        out, start = torch.empty_like(message), 0
        for degree, edges in self._groups:
            part = slice(start, start + edges)
            own, sign = magnitude[part].unflatten(0, (-1, degree)), negative[part].unflatten(0, (-1, degree))
            others = _phi(own.sum(1, keepdim=True) - own)
            flipped = (sign.sum(1, keepdim=True) & 1).bool() ^ sign
            out[part] = torch.where(flipped, -others, others).flatten(0, 1)
            start += edges
        return out.clamp_(-_LLR_MAX, _LLR_MAX)


def _phi(x: Tensor) -> Tensor:
    """−log(tanh(x/2)), its own inverse."""
    return x.clamp(*_PHI_RANGE).div_(2).tanh_().log_().neg_()
