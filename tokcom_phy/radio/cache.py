"""Drawn realisations, cached: all systems under test are evaluated over the same ones.

Channel and unit noise do not depend on the SNR. They are cached beside the realisations that are made of them, so that
a sweep over SNRs draws them once.
"""

from collections.abc import Callable, Hashable
from typing import TypeVar

from torch import Tensor

from tokcom_phy.radio.state import LinkState

Drawn = TypeVar("Drawn", LinkState, Tensor)


class RealisationCache:
    """A cache of realisations and of what they are made of. It is filled up to its size; nothing is evicted.

    Parameters
    ----------
    max_bytes : int
        Size of all that is cached [bytes]. What does not fit is drawn anew on every request.
    """

    def __init__(self, max_bytes: int):
        self._free_bytes = max_bytes
        self._cached: dict[Hashable, LinkState | Tensor] = {}

    def get(self, key: Hashable, draw: Callable[[], Drawn]) -> Drawn:
        """Return what is cached under ``key``, or call ``draw``, whose result must depend on the key alone."""
        if key in self._cached:
            return self._cached[key]  # type: ignore[return-value]
        drawn = draw()
        size = drawn.untyped_storage().nbytes() if isinstance(drawn, Tensor) else drawn.nbytes
        if size <= self._free_bytes:
            self._free_bytes -= size
            self._cached[key] = drawn
        return drawn
