"""A receiver of your own: a transformer over the tokens of one modality, which knows the SNR of every token.

Name it in a YAML file: ``receiver: {_target_: transformer_receiver.TransformerReceiver, depth: 2}``.
"""

from torch import Tensor, nn


class TransformerReceiver(nn.Module):
    """In place of G_m, equation (8). The widths are those of the system.

    Parameters
    ----------
    token_width : int
        d_T.
    hidden_width : int
        The experiment's ``receiver_width``.
    depth, heads : int
        Layers, and attention heads of each.
    """

    def __init__(self, token_width: int, hidden_width: int, depth: int = 2, heads: int = 4):
        super().__init__()
        self.snr = nn.Linear(1, token_width)
        layer = nn.TransformerEncoderLayer(token_width, heads, hidden_width, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, noise_var: Tensor, mask: Tensor) -> Tensor:
        """Tokens [b, s, d_T], noise variance per token [b, s] and mask [b, s], False for padding → [b, s, d_T]."""
        snr_db = -10 * noise_var.clamp(1e-4, 1e4).log10()
        return self.layers(tokens + self.snr(snr_db.unsqueeze(-1) / 10), src_key_padding_mask=~mask)
