"""The transmitter: projection of encoder features to tokens, equation (4)."""

from torch import Tensor, nn


class Transmitter(nn.Module):
    """The projection F_m of one non-text modality, equation (4): a linear layer from the encoder's width to d_T.

    Parameters
    ----------
    encoder_width : int
        d_m.
    token_width : int
        d_T, the foundation model's width.
    """

    def __init__(self, encoder_width: int, token_width: int):
        super().__init__()
        self.projection = nn.Linear(encoder_width, token_width)

    def forward(self, features: Tensor) -> Tensor:
        """float [b, s_m, d_m] → [b, s_m, d_T]."""
        return self.projection(features)
