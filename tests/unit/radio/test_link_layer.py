"""The link as a function and as a layer: tensors or mappings, real or complex, with or without an SNR and a seed."""

import copy
import math
import pickle
import sys
import warnings
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest
import torch
from torch import nn

from tokcom_phy.radio import load_link
from tokcom_phy.radio.power import normalize_power
from tokcom_phy.utils.errors import UserError

DEEPJSCC = Path(__file__).resolve().parents[3] / "examples" / "deepjscc.py"
LINKS = ["awgn", "rayleigh", "ofdm-tdl-c", "erasure", "digital-awgn"]
REAL = torch.randn(2, 3, 128, generator=torch.Generator().manual_seed(0))
COMPLEX = torch.view_as_complex(REAL.unflatten(2, (-1, 2)))


@pytest.mark.parametrize("name", LINKS)
def test_a_tensor_is_the_payload_of_one_user(name: str) -> None:
    link = load_link(name, device="cpu")
    received, state = link.transmit(REAL, 10.0, seed=3)
    assert torch.equal(received, link({"payload": REAL}, 10.0, seed=3)["payload"])
    assert list(state.gain) == ["payload"]


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("power", ["block", "token"])
def test_complex_tokens_are_their_symbols(name: str, power: str) -> None:
    """Complex tokens go on the air as the real tokens whose pairs they are."""
    link = load_link(name, device="cpu", power=power)
    mask = torch.tensor([[True, True, True], [False, True, True]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        received = link(COMPLEX, 10.0, mask, seed=3)
    assert received.dtype == COMPLEX.dtype
    expected = link(REAL, 10.0, mask, seed=3)
    torch.testing.assert_close(torch.view_as_real(received).flatten(2), expected, rtol=0, atol=0)


def test_complex_tokens_of_any_width_and_view() -> None:
    link = load_link("ideal", device="cpu")
    odd = torch.randn(2, 3, 7, dtype=torch.complex128)
    torch.testing.assert_close(link(odd, 0.0), odd)
    torch.testing.assert_close(link(COMPLEX.conj(), 0.0), COMPLEX.conj().resolve_conj())
    torch.testing.assert_close(link({"a": odd, "b": REAL}, 0.0)["a"], odd)


@pytest.mark.parametrize("name", ["awgn", "ofdm-tdl-c"])
def test_gradients_of_complex_tokens_are_exact(name: str) -> None:
    link = load_link(name, device="cpu", **({"num_subcarriers": 12, "num_rx_ant": 4} if name != "awgn" else {}))
    tokens = torch.randn(1, 2, 3, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: link(x, 10.0, seed=0), tokens)


def test_realisations_differ_from_call_to_call_unless_torch_is_seeded() -> None:
    link = load_link("awgn", device="cpu")
    torch.manual_seed(1)
    first, second = link(REAL, 10.0), link(REAL, 10.0)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(link(REAL, 10.0), first)
    assert torch.equal(link(REAL, 10.0), second)
    noise = load_link("awgn-raw", device="cpu").draw(1, 20_000, 0.0).noise["payload"]
    # 20,000 exponentially distributed powers: 0.7 % standard deviation.
    assert noise.abs().square().mean().item() == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_a_layer_without_parameters(name: str) -> None:
    link = load_link(name, device="cpu")
    net = nn.Sequential(nn.Linear(4, 128), link.at(snr_db=10.0), nn.Linear(128, 4)).double()
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(list(net.parameters())) == 4
    layers: list[nn.Module] = [net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    for layer in layers:
        torch.manual_seed(0)
        received = layer(torch.ones(2, 3, 4, dtype=torch.float64))
        torch.manual_seed(0)
        torch.testing.assert_close(received, net(torch.ones(2, 3, 4, dtype=torch.float64)), rtol=0, atol=0)
    received.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in layer.parameters())


def test_default_snr_is_that_of_the_copy() -> None:
    link = load_link("awgn", device="cpu")
    near = link.at(snr_db=30.0)
    torch.testing.assert_close(near(REAL, seed=0), link(REAL, 30.0, seed=0), rtol=0, atol=0)
    torch.testing.assert_close(near(REAL, 0.0, seed=0), link(REAL, 0.0, seed=0), rtol=0, atol=0)
    with pytest.raises(UserError, match=r"link 'awgn' has no SNR: pass snr_db, such as 10\.0, or use link\.at"):
        link(REAL)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "integers": (lambda: load_link("awgn")(REAL.long(), 0.0), "int64 [2, 3, 128]: give floating point or complex"),
    "axes": (lambda: load_link("awgn")({"audio": REAL[0]}, 0.0), "tokens of 'audio' are float32 [3, 128]"),
    "no tensor": (lambda: load_link("awgn")({"audio": [1.0]}, 0.0), "tokens of 'audio' are a list"),
    "empty": (lambda: load_link("awgn")(REAL[:, :0], 0.0), "empty payload"),
    "mask by user": (lambda: load_link("awgn")(REAL, 0.0, {"audio": REAL > 0}), "give one mask"),
    "mask without a user": (lambda: load_link("awgn")({"audio": REAL}, 0.0, torch.ones(2, 3) > 0), "by user too"),
    "mask of symbols": (lambda: load_link("awgn")(REAL, 0.0, torch.ones(2, 192) > 0), "bool [2, 192]"),
    "mask of numbers": (lambda: load_link("awgn")(REAL, 0.0, torch.ones(2, 3)), "give bool [batch, tokens]"),
    "token mask of symbols": (
        lambda: normalize_power(COMPLEX.flatten(1), torch.ones(2, 3) > 0),
        "mask has shape [2, 3], symbols [2, 192]: give one flag per symbol",
    ),
    "part of a token": (lambda: normalize_power(COMPLEX[:, 0], symbols_per_token=5), "64 symbols are not a whole"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_be_sent_is_refused_in_one_line(mistake: str) -> None:
    attempt, mend = MISTAKES[mistake]
    with pytest.raises(UserError) as raised:
        attempt()
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)


@pytest.mark.long
def test_an_autoencoder_learns_around_the_link() -> None:
    spec = util.spec_from_file_location("deepjscc", DEEPJSCC)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["deepjscc"] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before, after = module.run(100)
    assert math.isfinite(after)
    assert after < before - 5
