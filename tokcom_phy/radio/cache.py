"""Drawn realisations, cached: all systems under test are evaluated over the same ones."""

from collections.abc import Callable, Hashable

from torch import Tensor

from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.state import LinkState


class RealisationCache:
    """A cache of realisations, by request. It is filled up to its size; nothing is evicted.

    Parameters
    ----------
    max_bytes : int
        Size of all cached realisations together [bytes]. One that does not fit is drawn anew on every request.
    """

    def __init__(self, max_bytes: int):
        self._free_bytes = max_bytes
        self._states: dict[Hashable, LinkState] = {}

    def draw(self, request: DrawRequest, draw: Callable[[DrawRequest], LinkState]) -> LinkState:
        """Return the cached realisation, or call ``draw``, whose result must depend on the request alone."""
        key = _key(request)
        if key in self._states:
            return self._states[key]
        state = draw(request)
        if state.nbytes <= self._free_bytes:
            self._free_bytes -= state.nbytes
            self._states[key] = state
        return state


def _key(request: DrawRequest) -> Hashable:
    no = {user: _bytes(tensor) for user, tensor in request.no.items()}
    mask = {user: _bytes(tensor) for user, tensor in request.mask.items()}
    parts = (request.num_symbols, no, mask)
    return (request.seed, tuple(request.indices), *(tuple(part.items()) for part in parts))


def _bytes(tensor: Tensor) -> bytes:
    return tensor.cpu().numpy().tobytes()
