"""Realisations that are met again: every system under test goes over the same ones, so they are drawn once."""

from collections.abc import Callable, Hashable, Iterator

from torch import Tensor

from tokcom_phy.radio.draw_request import Request
from tokcom_phy.radio.state import LinkState


class Kept:
    """Realisations as they were drawn, as many as there is room for.

    Parameters
    ----------
    room : int
        For all of them together [bytes]; what finds none is drawn again whenever it is met.
    """

    def __init__(self, room: int):
        self.room = room
        self._states: dict[Hashable, LinkState] = {}

    def draw(self, request: Request, draw: Callable[[Request], LinkState]) -> LinkState:
        """The realisation that is asked for: kept, or drawn by ``draw``, which must depend on the request alone."""
        key = _key(request)
        if key in self._states:
            return self._states[key]
        state = draw(request)
        size = _size(state)
        if size <= self.room:
            self.room -= size
            self._states[key] = state
        return state


def _key(request: Request) -> Hashable:
    no = {user: _bytes(tensor) for user, tensor in request.no.items()}
    mask = {user: _bytes(tensor) for user, tensor in request.mask.items()}
    parts = (request.num_symbols, no, mask)
    return (request.seed, tuple(request.indices), *(tuple(part.items()) for part in parts))


def _bytes(tensor: Tensor) -> bytes:
    return tensor.cpu().numpy().tobytes()


def _size(state: LinkState) -> int:
    """Bytes of memory that a realisation holds; tensors may share it."""
    return sum({s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in _tensors(state))}.values())


def _tensors(state: LinkState) -> Iterator[Tensor]:
    for gains in state.gain.values():
        yield from (gain for gain in gains.values() if gain is not None)
    for part in (state.noise, state.effective_noise_var, state.sinr, state.mask):
        yield from part.values()
