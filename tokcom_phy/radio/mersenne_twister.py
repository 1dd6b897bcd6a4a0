"""Seeding of torch's generator on a CPU, a Mersenne Twister: its own ``manual_seed`` takes 32 bits of a seed of 64."""

import numpy as np
import torch

_WORD = 2**32 - 1
_STATE = slice(24, 24 + 8 * 624)
"""Bytes of the twister's 624 words in what ``get_state`` returns."""


def seed_generator(generator: torch.Generator, seed: int) -> torch.Generator:
    """Seed a generator by all 64 bits of a seed, and return it.

    On a CPU the words of its state are the sums of those that the two halves of the seed give, one of them shifted by a
    word, so that the halves cannot be exchanged.
    """
    if generator.device.type != "cpu":
        return generator.manual_seed(seed)
    state, other = (generator.manual_seed(half).get_state() for half in (seed & _WORD, seed >> 32))
    # By NumPy, whose overhead an array of 624 words notices: an example of a batch has a generator each.
    words, moved = (half.numpy()[_STATE].view(np.int64) for half in (state, other))
    words[1:] += moved[:-1]
    words[0] += moved[-1]
    words &= _WORD
    return generator.set_state(state)
