"""The power options of every link: what is normalised, what an amplifier cuts off, whether the scale is restored."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.cost import HEADER_SYMBOLS
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.power import normalize_power, rapp
from tokcom_phy.radio.symbols import from_symbols, to_symbols
from tokcom_phy.utils.errors import UserError

WIDTH = 16
LOUDNESS = torch.tensor([0.1, 1.0, 5.0, 30.0, 2.0])[:, None]
MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 0, 1], [0, 0, 0, 0, 1]]).bool()
OPTIONS: list[dict[str, Any]] = [
    {},
    {"power": "token"},
    {"amplifier_backoff_db": 3.0},
    {"scale": "withheld"},
    {"power": "token", "amplifier_backoff_db": 0.0, "scale": "withheld"},
]


def some_tokens(dtype: torch.dtype = torch.float32) -> Tensor:
    """Three blocks of five tokens, some louder than others."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, WIDTH, dtype=dtype, generator=generator) * LOUDNESS.to(dtype)


def send(link: Link, tokens: Tensor, mask: Tensor | None = MASK, snr_db: float = 10.0) -> Tensor:
    masks = None if mask is None else {"audio": mask}
    return link({"audio": tokens}, snr_db, masks, seed=0)["audio"]


def token_power(tokens: Tensor) -> Tensor:
    """Mean |x|² over the symbols of each token, [b, s]."""
    return tokens.double().square().mean(-1) * 2


def test_by_default_a_block_is_normalised_and_restored_and_nothing_else() -> None:
    tokens = some_tokens()
    link = load_link("ofdm-tdl-c", num_subcarriers=12, num_rx_ant=4)
    symbols, scale = normalize_power(to_symbols(tokens))
    state = link.draw(3, {"audio": symbols.shape[1]}, 10.0, seed=0)
    expected = from_symbols(state.apply({"audio": symbols})["audio"] * scale, WIDTH)
    assert torch.equal(send(link, tokens, mask=None), expected)


@pytest.mark.parametrize("options", OPTIONS[1:])
@pytest.mark.parametrize("name", ["awgn", "rayleigh"])
def test_options_leave_the_radio_as_it_was(name: str, options: dict[str, Any]) -> None:
    tokens = {"audio": some_tokens()}
    _, plain = load_link(name).transmit(tokens, 10.0, {"audio": MASK}, seed=0)
    _, other = load_link(name, **options).transmit(tokens, 10.0, {"audio": MASK}, seed=0)
    assert torch.equal(plain.noise["audio"], other.noise["audio"])
    assert torch.equal(plain.sinr["audio"], other.sinr["audio"])


def test_a_withheld_scale_leaves_a_block_at_unit_power() -> None:
    tokens = some_tokens()
    received = send(load_link("ideal", scale="withheld"), tokens)
    valid = MASK[..., None]
    power = (token_power(received) * MASK).sum(1) / MASK.sum(1)
    torch.testing.assert_close(power, torch.ones(3).double(), rtol=1e-6, atol=0)
    scale = ((token_power(tokens) * MASK).sum(1) / MASK.sum(1)).sqrt()[:, None, None]
    torch.testing.assert_close(received, (tokens / scale * valid).float())
    nmse = ((received - tokens) * valid).square().sum((1, 2)) / (tokens * valid).square().sum((1, 2))
    torch.testing.assert_close(nmse, (1 - 1 / scale.flatten()).square().float())


def test_every_token_by_itself_has_unit_power() -> None:
    tokens = some_tokens()
    received = send(load_link("ideal", power="token", scale="withheld"), tokens)
    torch.testing.assert_close(token_power(received)[MASK], torch.ones(9).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(send(load_link("ideal", power="token"), tokens)[MASK], tokens[MASK])


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ["ideal", "awgn"])
def test_padding_is_received_as_zero(name: str, options: dict[str, Any]) -> None:
    received = send(load_link(name, **options), some_tokens())
    assert (received[~MASK] == 0).all()
    assert (received[MASK] != 0).all()


def test_padding_between_tokens_changes_nothing() -> None:
    tokens = some_tokens()
    link = load_link("awgn", power="token", amplifier_backoff_db=0.0)
    alone = send(link, tokens[1:2, [1, 2, 4]], mask=None)
    padded = link({"audio": tokens[1:2]}, 10.0, {"audio": MASK[1:2]}, seed=0)["audio"]
    torch.testing.assert_close(padded[MASK[1:2]], alone[0])


def test_noise_is_relative_to_what_is_normalised() -> None:
    """Restoring the scale makes the noise as loud as the block, or as each token: NMSE is 1/SNR of either."""
    tokens, num_examples = some_tokens()[:1], 4000
    many = tokens.expand(num_examples, -1, -1)

    def noise_over_power(power: str) -> tuple[Tensor, Tensor]:
        error = token_power(send(load_link("awgn-raw", power=power), many, mask=None) - many).mean(0)
        return error.mean() / token_power(tokens).mean(), error / token_power(tokens)[0]

    block, of_tokens_in_block = noise_over_power("block")
    _, of_tokens = noise_over_power("token")
    # 4,000 × 8 exponentially distributed error powers a token: 0.6 % standard deviation.
    assert block.item() == pytest.approx(0.1, rel=0.02)
    torch.testing.assert_close(of_tokens, torch.full((5,), 0.1).double(), rtol=0.03, atol=0)
    assert of_tokens_in_block[0] > 100 > 1 > of_tokens_in_block[3]


def test_amplifier_compresses_a_constant_envelope_by_its_closed_form() -> None:
    """|x| = 1 at 0 dB back-off is fed in at saturation: 2^(−1/4) comes out, whatever the phase."""
    phases = torch.linspace(0, 6, 8)
    tokens = torch.stack([phases.cos(), phases.sin()], dim=-1).reshape(1, 1, WIDTH).repeat(1, 3, 1)
    link = load_link("ideal", amplifier_backoff_db=0.0)
    torch.testing.assert_close(send(link, 7 * tokens, mask=None), 2**-0.25 * 7 * tokens)


@pytest.mark.parametrize("backoff_db", [0.0, 6.0, 20.0])
def test_amplifier_makes_peaks_cost_something(backoff_db: float) -> None:
    """Of two blocks of the same power, the one with the higher PAPR suffers more; back-off saves both."""
    constant = torch.full((1, 4, WIDTH), 0.5**0.5, dtype=torch.float64)
    peaks = torch.zeros_like(constant)
    peaks[..., 0] = (WIDTH / 2) ** 0.5
    tokens = torch.cat([constant, peaks])
    received = send(load_link("ideal", amplifier_backoff_db=backoff_db), tokens, mask=None)
    nmse = (received - tokens).square().sum((1, 2)) / tokens.square().sum((1, 2))
    papr = torch.tensor([1, WIDTH / 2], dtype=torch.float64)
    torch.testing.assert_close(nmse, (1 - (1 + (papr / 10 ** (backoff_db / 10)) ** 2) ** -0.25) ** 2)


def test_noise_is_added_behind_the_amplifier() -> None:
    tokens = some_tokens()
    symbols, scale = normalize_power(to_symbols(tokens))
    link = load_link("awgn-raw", device="cpu", amplifier_backoff_db=3.0)
    noise = link.draw(3, {"audio": symbols.shape[1]}, 10.0, seed=0).noise["audio"]
    expected = from_symbols((rapp(symbols, 3.0) + noise) * scale, WIDTH)
    torch.testing.assert_close(send(link, tokens, mask=None), expected)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_exact(options: dict[str, Any]) -> None:
    link = load_link("ideal", **options)
    tokens = some_tokens(torch.float64)[:, :, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: send(link, x), tokens)


def test_gradient_of_silence_is_finite() -> None:
    tokens = some_tokens().index_fill(1, torch.tensor([2]), 0).requires_grad_()
    link = load_link("awgn", power="token", amplifier_backoff_db=-40.0)
    (gradient,) = torch.autograd.grad(send(link, tokens).square().sum(), tokens)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("options", "scales"),
    [({}, 1), ({"power": "token"}, 16), ({"scale": "withheld"}, 0), ({"power": "token", "scale": "withheld"}, 0)],
)
def test_budget_counts_a_header_per_scale(options: dict[str, Any], scales: int) -> None:
    cost = load_link("awgn", **options).cost({"audio": 1024}, symbols_per_token=64)
    assert cost.resource_elements == 1024 + scales * HEADER_SYMBOLS
    assert cost.header_overhead == pytest.approx(1 - 1024 / cost.resource_elements)
    cost = load_link("ofdm-tdl-c", **options).cost({"audio": 1024, "text": 640}, symbols_per_token=64)
    useful = 132 / 141
    assert cost.slots == -(-(1024 + scales * HEADER_SYMBOLS) // (12 * 132))
    assert cost.header_overhead == pytest.approx(scales * HEADER_SYMBOLS / (cost.slots * 14 * 132) * useful)


def test_a_payload_that_is_not_of_tokens_has_one_header() -> None:
    cost = load_link("awgn", power="token").cost({"audio": 1024, "text": 100})
    assert cost.resource_elements == 1124 + 2 * HEADER_SYMBOLS


@pytest.mark.parametrize("name", ["awgn", "ofdm-tdl-c", "erasure"])
@pytest.mark.parametrize(
    ("mistake", "mend"),
    [
        ({"powr": "token"}, "'power'"),
        ({"power": "tokens"}, "'token'"),
        ({"scale": "witheld"}, "'withheld'"),
        ({"amplifier_backoff": 3.0}, "'amplifier_backoff_db'"),
        ({"amplifier_backoff_db": "ideal"}, "number"),
        ({"amplifier_backoff_db": float("inf")}, "inf is not within -40 to 60"),
        ({"amplifier_backoff_db": -100.0}, "-40"),
    ],
)
def test_mistake_is_answered_in_one_line(name: str, mistake: dict[str, Any], mend: str) -> None:
    with pytest.raises(UserError) as raised:
        load_link(name, **mistake)
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)
