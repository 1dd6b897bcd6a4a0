"""The parts of a system that an experiment may replace by its own, named by import path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Components:
    """A system's own parts; None is the paper's part.

    Each is ``{"_target_": "module.Name", argument: value, …}``, built by `tokcom_phy.utils.instantiate.instantiate`.

    Attributes
    ----------
    transmitter : mapping, optional
        Stands in for F_m (4): one component for all modalities, or modality → component.
    receiver : mapping, optional
        Stands in for G_m (8), likewise; its modalities include ``text``.
    selector : mapping, optional
        Stands in for Slide (3): one component for all modalities, or modality → component.
    """

    transmitter: Mapping[str, Any] | None = None
    receiver: Mapping[str, Any] | None = None
    selector: Mapping[str, Any] | None = None
