"""A token selector of your own: the tokens of highest learnt score are sent, in place of evenly spread ones.

Name it in a YAML file: ``selector: {_target_: token_selector.ScoreSelector}``.
"""

import torch
from torch import Tensor, nn


class ScoreSelector(nn.Module):
    """In place of Slide, equation (3). A token is weighted by its score, through which the score learns.

    Parameters
    ----------
    encoder_width : int
        d_m, given by the system.
    """

    def __init__(self, encoder_width: int):
        super().__init__()
        self.score = nn.Linear(encoder_width, 1)

    def forward(self, tokens: Tensor, length: int) -> Tensor:
        """All tokens of the encoder [b, ŝ_m, d_m] → those that are sent [b, length, d_m], in their order."""
        score = self.score(tokens)
        kept = score.topk(length, dim=1).indices.sort(dim=1).values
        weight = 2 * torch.sigmoid(score.gather(1, kept))
        return weight * tokens.gather(1, kept.expand(-1, -1, tokens.shape[2]))
