from itertools import pairwise

import pytest
import torch

from tokcom_phy.model.compression import compress, window_bounds
from tokcom_phy.utils.errors import UserError


@pytest.mark.parametrize(("num_tokens", "length"), [(1214, 128), (73, 67), (7, 7), (5, 1), (130, 32)])
def test_windows_partition_the_sequence_evenly(num_tokens: int, length: int) -> None:
    bounds = window_bounds(num_tokens, length)
    sizes = [end - begin for begin, end in pairwise(bounds)]
    assert (bounds[0], bounds[-1], len(sizes)) == (0, num_tokens, length)
    assert max(sizes) - min(sizes) <= 1


def test_pooling_of_equal_windows_is_that_of_torch() -> None:
    tokens = torch.randn(2, 24, 5, generator=torch.Generator().manual_seed(0))
    mean = torch.nn.functional.avg_pool1d(tokens.mT, 4).mT
    largest = torch.nn.functional.max_pool1d(tokens.mT, 4).mT
    torch.testing.assert_close(compress(tokens, 6, "mean-pool"), mean)
    torch.testing.assert_close(compress(tokens, 6, "max-pool"), largest)


def test_as_many_tokens_as_there_are_stay_as_they_are() -> None:
    tokens = torch.randn(2, 9, 3)
    for how in ("slide", "mean-pool", "max-pool"):
        torch.testing.assert_close(compress(tokens, 9, how), tokens, rtol=0, atol=0)


@pytest.mark.parametrize("length", [0, 10])
def test_a_length_that_the_encoder_cannot_give(length: int) -> None:
    with pytest.raises(UserError, match="choose 1 to 9"):
        compress(torch.zeros(1, 9, 2), length, "mean-pool")
