"""The receiver: refinement of received tokens at the base station, equation (8)."""

from torch import Tensor, nn


class Receiver(nn.Module):
    """The receiver G_m of one modality, equation (8): Linear, ReLU, Linear; not shared between modalities.

    Parameters
    ----------
    token_width : int
        d_T.
    hidden_width : int
        1024 in the paper.
    """

    def __init__(self, token_width: int, hidden_width: int = 1024):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(token_width, hidden_width), nn.ReLU(), nn.Linear(hidden_width, token_width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """float [b, s, d_T] → [b, s, d_T]."""
        return self.layers(tokens)
