"""What a system is made of, apart from its weights."""

from dataclasses import dataclass, field
from typing import Literal

from tokcom_phy.model.components import Components

TEXT = "text"
Delivery = Literal["reliable", "on-air"]


@dataclass(frozen=True)
class SystemConfig:
    """What a system is made of, apart from its weights.

    Attributes
    ----------
    encoder_widths : modality → d_m
        Non-text modalities in the order in which they are concatenated, equation (12).
    token_width : int
        d_T.
    receiver_width : int
        Hidden width of the receivers G_m.
    question : 'reliable' or 'on-air'
        Whether the question reaches the model as it is, or goes over the link and through G_T.
    components : Components
        Own parts in place of the paper's.
    token_lengths : modality → s_m
        How many tokens of each modality are sent. Features of a modality that is not named are sent as they come.
    """

    encoder_widths: dict[str, int]
    token_width: int
    receiver_width: int = 1024
    question: Delivery = "reliable"
    components: Components = field(default_factory=Components)
    token_lengths: dict[str, int] = field(default_factory=dict)
