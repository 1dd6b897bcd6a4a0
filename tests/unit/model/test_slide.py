import math

import pytest
import torch

from tokcom_phy.model.slide import slide, slide_indices
from tokcom_phy.radio.symbols import from_symbols, symbol_mask, to_symbols
from tokcom_phy.utils.errors import UserError


@pytest.mark.parametrize(("num_tokens", "length"), [(1214, 64), (3137, 128), (130, 16), (73, 73), (5, 1), (2, 2)])
def test_slide_keeps_floor_of_linspace(num_tokens, length):
    step = (num_tokens - 1) / max(length - 1, 1)
    expected = [math.floor(round(k * step, 9)) for k in range(length)]
    assert slide_indices(num_tokens, length).tolist() == expected


def test_slide_takes_first_and_last_token():
    tokens = torch.arange(10.0).reshape(1, 10, 1)
    assert slide(tokens, 4).flatten().tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("length", [0, 11])
def test_slide_refuses_lengths_that_do_not_fit(length):
    with pytest.raises(UserError, match="gives 10 tokens"):
        slide(torch.zeros(1, 10, 2), length)


def test_consecutive_values_are_real_and_imaginary_part():
    symbols = to_symbols(torch.tensor([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]))
    assert symbols.tolist() == [[1 + 2j, 3 + 4j, 5 + 6j, 7 + 8j]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_symbols_map_back_to_the_same_tokens(dtype):
    tokens = torch.randn(3, 5, 8, dtype=torch.float64).to(dtype)
    back = from_symbols(to_symbols(tokens), 8)
    assert back.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(back.to(dtype), tokens)


def test_mapping_back_is_differentiable():
    tokens = torch.randn(2, 3, 4, requires_grad=True)
    from_symbols(to_symbols(tokens), 4).square().sum().backward()
    torch.testing.assert_close(tokens.grad, 2 * tokens)


def test_odd_width_is_refused():
    with pytest.raises(UserError, match="width 3 is odd"):
        to_symbols(torch.zeros(1, 2, 3))
    with pytest.raises(UserError, match="even width"):
        from_symbols(torch.zeros(1, 6, dtype=torch.complex64), 3)


def test_part_of_a_token_is_refused():
    with pytest.raises(UserError, match="5 symbols are not a whole number"):
        from_symbols(torch.zeros(1, 5, dtype=torch.complex64), 4)


def test_mask_covers_all_symbols_of_a_token():
    mask = torch.tensor([[True, False]])
    assert symbol_mask(mask, 3).tolist() == [[True] * 3 + [False] * 3]
