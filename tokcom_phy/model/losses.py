"""The losses of cross-modal alignment: reconstruction (9), pooling (10) and contrast (11)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Pooling = Literal["mean", "cls"]


def reconstruction_loss(received: Tensor, sent: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared error between received and sent tokens, equation (9), averaged over the valid elements.

    Parameters
    ----------
    received, sent : float [b, s, d]
    mask : bool [b, s], optional
        True for valid tokens; without it all are.

    Returns
    -------
    float32 scalar
    """
    error = (received.float() - sent.float()).square().mean(-1)
    if mask is None:
        return error.mean()
    return error.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def pool(tokens: Tensor, mask: Tensor | None = None, how: Pooling = "mean") -> Tensor:
    """Pool the tokens of one modality to one feature a_m, equation (10).

    Parameters
    ----------
    tokens : float [b, s, d]
    mask : bool [b, s], optional
    how : 'mean' or 'cls'
        The mean over valid tokens, or the first token.

    Returns
    -------
    float32 [b, d]
    """
    tokens = tokens.float()
    if how == "cls":
        return tokens[:, 0]
    if mask is None:
        return tokens.mean(1)
    return tokens.masked_fill(~mask.unsqueeze(-1), 0.0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def contrastive_loss(features: Tensor, text_features: Tensor, temperature: float = 0.07, first: int = 0) -> Tensor:
    """InfoNCE over the batch, equation (11): each clip's feature must find the text of its own clip.

    Cross-entropy of the cosine similarities over ``temperature`` against the diagonal, in float32 log-sum-exp, so that
    no temperature overflows. The text feature is used as given: detach it to keep the text side fixed.

    Parameters
    ----------
    features : float [b, d]
        Pooled features a_m of one modality.
    text_features : float [n, d], n ≥ b
        Pooled text features; row ``first + i`` belongs to the same clip as row i of ``features``, all others are
        negatives.
    temperature : float
        τ.
    first : int
        Where the b clips begin among the n; not 0 where several processes have a part of the batch each.

    Returns
    -------
    float32 scalar
    """
    similarity = functional.normalize(features.float(), dim=-1) @ functional.normalize(text_features.float(), dim=-1).T
    target = torch.arange(first, first + len(features), device=features.device)
    return functional.cross_entropy(similarity / temperature, target)
