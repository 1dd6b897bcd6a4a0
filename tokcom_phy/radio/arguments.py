"""What a link is called with: a value for all users or for each, and masks that fit their tokens."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from tokcom_phy.utils.errors import UserError

Value = TypeVar("Value", float | Tensor, Tensor)


def per_user(value: Value | Mapping[str, Value], users: list[str]) -> dict[str, Value]:
    """The value of each user: its own from a mapping, or one for all."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(users, value)
    for user in users:
        if user not in value:
            raise UserError(f"no SNR for user '{user}', only for {', '.join(value)}: give one for every active user")
    return {user: value[user] for user in users}


def check_token_mask(user: str, tokens: Tensor, mask: Tensor | None) -> None:
    """Raise a UserError if a mask is not bool [b, s] for a user's tokens [b, s, d]."""
    if mask is not None and (mask.dtype != torch.bool or mask.shape != tokens.shape[:2]):
        raise UserError(
            f"mask of '{user}' is {str(mask.dtype).removeprefix('torch.')} {list(mask.shape)}, its tokens are "
            f"{list(tokens.shape)}: give bool [batch, tokens]"
        )


def check_device(link: str, device: str) -> None:
    """Raise a UserError if PyTorch has no such device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"link '{link}' cannot draw on device '{device}': name cpu, or a GPU that PyTorch sees, as cuda:0"
        ) from error
