"""What holds for every link."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.cost import HEADER_SYMBOLS, symbols_of_bits, symbols_of_tokens
from tokcom_phy.radio.engine import engine
from tokcom_phy.radio.llvm import obstacle
from tokcom_phy.radio.plotting import draw_link
from tokcom_phy.radio.sionna import rand, seeded
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import builtin_names

SMALL: dict[str, Any] = {"num_subcarriers": 12, "num_rx_ant": 4}


def payload(**lengths: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {user: torch.randn(20, n, dtype=torch.complex64, generator=generator) for user, n in lengths.items()}


def lengths(symbols: dict[str, Tensor]) -> dict[str, int]:
    return {user: x.shape[1] for user, x in symbols.items()}


TRACED = ("munich", "ofdm-munich")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * (name in TRACED)) for name in builtin_names("links")],
)
def test_every_built_in_link_says_what_it_is_and_carries_a_payload(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few: dict[str, Any] = {}
    if name in TRACED:
        monkeypatch.setenv("TOKCOM_CACHE", str(tmp_path))
        if engine() != "torch":
            with pytest.raises(UserError, match="needs the torch engine"):
                load_link(name).check_drawable()
            return
        if obstacle() and not torch.cuda.is_available():
            pytest.skip(f"ray tracing {obstacle()}")
        few = {"scene": {"positions": 4}, "power_control": "large-scale", "budget": None}
    link = load_link(name, **few)
    assert link.description
    assert "tokcom" not in link.description
    sent = {user: x[:2] for user, x in payload(audio=70, video=40).items()}
    state = link.draw(2, lengths(sent), 30.0, seed=0)
    received = state.apply(sent)
    assert {user: y.shape for user, y in received.items()} == {user: x.shape for user, x in sent.items()}
    assert all(snr_db > 10 or name.startswith("erasure") for snr_db in state.effective_snr_db.values())


@pytest.mark.parametrize("name", ["awgn", "rician", "rayleigh-mimo", "ofdm-tdl-c", "ofdm-cdl-b", "ofdm-umi"])
def test_a_realisation_is_its_seed_and_index(name: str) -> None:
    link = load_link(name, **(SMALL if name.startswith("ofdm") else {}))
    sent = payload(audio=200, video=90)
    whole = link.draw(20, lengths(sent), 10.0, seed=5).apply(sent)
    some = [17, 3, 9]
    part = {user: x[some] for user, x in sent.items()}
    again = link.draw(3, lengths(part), 10.0, seed=5, indices=some).apply(part)
    for user in sent:
        torch.testing.assert_close(again[user], whole[user][some])
    other = link.draw(20, lengths(sent), 10.0, seed=6).apply(sent)
    assert (other["audio"] != whole["audio"]).all()


@pytest.mark.parametrize("name", ["awgn", "rayleigh", "ofdm-tdl-c"])
def test_a_longer_payload_has_the_same_realisation(name: str) -> None:
    link = load_link(name, **(SMALL if name.startswith("ofdm") else {}))
    long, short = payload(audio=900), payload(audio=130)
    short["audio"] = long["audio"][:, :130]
    received = link.draw(20, {"audio": 900}, 10.0, seed=1).apply(long)["audio"][:, :130]
    torch.testing.assert_close(link.draw(20, {"audio": 130}, 10.0, seed=1).apply(short)["audio"], received)


def test_a_cached_realisation_is_drawn_once_while_it_fits() -> None:
    link = load_link("ofdm-tdl-c", **SMALL)
    n = {"audio": 70, "video": 40}
    kept, full = link.cached(2**20), link.cached(0)
    first = kept.draw(3, n, 10.0, seed=1)
    assert kept.draw(3, n, 10.0, seed=1) is first
    assert full.draw(3, n, 10.0, seed=1) is not full.draw(3, n, 10.0, seed=1)
    silent = {"audio": torch.ones(3, 70, dtype=torch.bool).index_fill(1, torch.arange(60, 70), False)}
    for other in (
        {"snr_db": 5.0},
        {"seed": 2},
        {"indices": [0, 1, 3]},
        {"mask": silent},
        {"num_symbols": {"audio": 70}},
    ):
        asked: dict[str, Any] = {"num_symbols": n, "snr_db": 10.0, "seed": 1, **other}
        drawn, plain = kept.draw(3, **asked), link.draw(3, **asked)
        assert drawn is not first
        for user in plain.noise:
            torch.testing.assert_close(drawn.noise[user], plain.noise[user], rtol=0, atol=0)


def test_drawing_leaves_other_random_numbers_alone() -> None:
    link = load_link("ofdm-tdl-c", device="cpu", **SMALL)
    before = torch.get_rng_state()
    found = []
    for draw in (lambda: None, lambda: link.draw(3, 50, 10.0, seed=1)):
        with seeded(0, "cpu"):
            first = rand((3,), device="cpu")
            draw()
            found.append(torch.stack([first, rand((3,), device="cpu")]))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0][0], found[0][1])


def test_same_noise_at_every_snr() -> None:
    sent = payload(audio=64)
    noise = [
        load_link("awgn-raw").draw(20, {"audio": 64}, snr_db, 1).apply(sent)["audio"] - sent["audio"]
        for snr_db in (0.0, 20.0)
    ]
    torch.testing.assert_close(noise[0], 10 * noise[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("access", ["mu-mimo", "ofdma", "tdma"])
def test_a_finished_user_does_not_interfere(access: str) -> None:
    link = load_link("ofdm-tdl-c", access=access, **SMALL)
    sent = payload(audio=300, text=50)
    alone, louder = dict(sent), {**sent, "text": 100 * sent["text"]}
    state = link.draw(20, lengths(sent), 10.0, seed=1)
    difference = state.apply(louder)["audio"] - state.apply(alone)["audio"]
    assert (difference[:, 50:] == 0).all()
    assert bool((difference[:, :50] != 0).all()) == (access == "mu-mimo")


def test_finished_users_leave_their_antennas_to_the_others() -> None:
    """Where a user is silent, zero forcing has one interferer less to null."""
    link = load_link("rayleigh-mimo", combining="zf", num_rx_ant=3)
    sinr = link.draw(200, {"audio": 128, "video": 128, "text": 64}, 10.0, seed=1).sinr["audio"]
    assert sinr[:, 64:].log().mean() > sinr[:, :64].log().mean() + 0.3


@pytest.mark.parametrize("name", ["awgn", "rayleigh-mimo", "ofdm-tdl-c"])
def test_padding_is_silent(name: str) -> None:
    link = load_link(name)
    sent = payload(audio=40, text=40)
    mask = {"text": torch.arange(40)[None] < torch.arange(1, 21)[:, None]}
    loud = {**sent, "text": torch.where(mask["text"], sent["text"], 1e6)}
    for state in (link.draw(20, lengths(sent), 10.0, 1, mask=mask), link.draw(20, lengths(sent), 10.0, 1)):
        received, louder = state.apply(sent, mask), state.apply(loud, mask)
        assert (received["text"][~mask["text"]] == 0).all()
        assert torch.equal(received["audio"], louder["audio"])


def test_recorded_channels(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    recorded = generator.normal(size=(40, 4, 3, 1, 12, 2)).view(complex)[..., 0] * [[[1.0]], [[7.0]], [[0.1]]]
    np.save(tmp_path / "responses.npy", recorded)
    (tmp_path / "mine.yaml").write_text("family: ofdm\nchannel: file\nresponses: responses.npy\nnum_rx_ant: 4\n")
    link = load_link(tmp_path / "mine.yaml", num_subcarriers=12, csi="perfect")
    sent = payload(audio=200, text=90)
    whole = link.draw(20, lengths(sent), 30.0, seed=5)
    assert all(snr_db > 25 for snr_db in whole.effective_snr_db.values())
    assert whole.gain["audio"]["audio"] is not None
    part = link.draw(1, lengths(sent), 30.0, seed=5, indices=[13]).apply({user: x[13:14] for user, x in sent.items()})
    torch.testing.assert_close(part["text"], whole.apply(sent)["text"][13:14])
    draw_link(link, tmp_path / "link.png")


def test_near_and_far_users() -> None:
    sent = payload(audio=500, text=500)
    state = load_link("ofdm-tdl-c").draw(20, lengths(sent), {"audio": 20.0, "text": 0.0}, seed=1)
    snr_db = state.effective_snr_db
    assert snr_db["audio"] > snr_db["text"] + 15


def test_blocks_are_decoded_whatever_their_number() -> None:
    """Four blocks of a code, then three: Sionna 1 compiles its decoder for each number."""
    link = load_link("digital-awgn", device="cpu", bits=1, modulation="16-QAM")
    masks = {"video": torch.arange(8) < torch.tensor([[8], [8], [3], [8]])}
    sent = {user: torch.randn(4, 8, 128) for user in ("audio", "video")}
    received, _ = link.transmit(sent, 20.0, masks, seed=0)
    assert (received["audio"] != 0).all()
    assert (received["video"][masks["video"]] != 0).all()


def test_training_at_an_snr_per_example() -> None:
    snr_db = torch.linspace(-10, 20, 20)
    sent = payload(audio=3000)
    noise = load_link("awgn-raw").draw(20, {"audio": 3000}, snr_db, 1).apply(sent)["audio"] - sent["audio"]
    measured = -10 * torch.log10(noise.abs().square().mean(1))
    torch.testing.assert_close(measured, snr_db, rtol=0, atol=0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_keep_scale_shape_and_type(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = {"audio": 7 * torch.randn(3, 5, 8, generator=generator).to(dtype), "text": torch.randn(3, 4, 8).to(dtype)}
    mask = torch.tensor([[True] * 4, [True, False, False, False], [True, True, True, False]])
    received = load_link("ideal")(tokens, 0.0, {"text": mask}, seed=0)
    assert all(received[user].dtype == dtype for user in tokens)
    torch.testing.assert_close(received["audio"], tokens["audio"])
    torch.testing.assert_close(received["text"], tokens["text"] * mask[..., None])


def test_anonymous_payload_is_a_tensor() -> None:
    sent = payload(audio=30)["audio"]
    for name in ("rayleigh", "rayleigh-mimo", "ofdm-tdl-c"):
        assert load_link(name).draw(20, 30, 10.0, seed=0).apply(sent).shape == sent.shape


def test_gradient_reaches_every_sender() -> None:
    sent = {user: x.requires_grad_() for user, x in payload(audio=30, text=20).items()}
    state = load_link("ofdm-tdl-c", device="cpu", **SMALL).draw(20, lengths(sent), 10.0, seed=0)
    (gradient,) = torch.autograd.grad(state.apply(sent)["audio"].real.sum(), [sent["text"]])
    expected = state.gain["audio"]["text"]
    assert expected is not None
    torch.testing.assert_close(gradient, expected.conj().resolve_conj())


def test_budget_of_a_flat_link() -> None:
    cost = load_link("awgn", symbol_rate=1e6).cost({"audio": 512, "text": 128}, symbol_energy=1e-7)
    uses = 640 + 2 * HEADER_SYMBOLS
    assert (cost.channel_uses, cost.resource_elements, cost.slots) == (640, uses, 0)
    assert cost.latency == pytest.approx(uses * 1e-6)
    assert cost.energy == pytest.approx(uses * 1e-7)
    assert cost.overhead == pytest.approx(1 - 640 / uses)


def test_budget_of_an_ofdm_link() -> None:
    """1,584 data elements a slot: 1,600 symbols and their header take two slots of 14 × 132, three users at once."""
    cost = load_link("ofdm-tdl-c").cost({"audio": 1600, "video": 1600, "text": 100})
    slot = 14 * (1 + 9 / 132) / 30e3
    assert (cost.channel_uses, cost.resource_elements, cost.slots) == (3300, 2 * 14 * 132, 2)
    assert cost.latency == pytest.approx(2 * slot)
    assert cost.bandwidth == pytest.approx(3.96e6)
    # Pilots in five slots of users, 132 subcarriers each; the prefix repeats a part of every symbol.
    symbols = 3300 + 3 * HEADER_SYMBOLS + 5 * 2 * 132
    assert cost.energy == pytest.approx(0.2e-6 * symbols * 141 / 132)
    assert cost.pilot_overhead == pytest.approx(2 / 14 * 132 / 141)
    assert cost.prefix_overhead == pytest.approx(9 / 141)
    assert cost.overhead == pytest.approx(1 - 1600 / (2 * 14 * 141))


@pytest.mark.parametrize("overrides", [{"symbol_rate": 4e6}, {"access": "ofdma"}, {"subcarrier_spacing": 60e3}])
def test_energy_is_that_of_symbols_received_at_equal_energy(overrides: dict[str, Any]) -> None:
    """Neither bandwidth nor the share of it that a user has changes the energy of the symbols that it sends."""
    name = "awgn" if "symbol_rate" in overrides else "ofdm-tdl-c"
    lengths = dict.fromkeys(["audio", "video", "text"], 3 * 12 * 132 - HEADER_SYMBOLS)
    plain, other = load_link(name).cost(lengths), load_link(name, **overrides).cost(lengths)
    assert other.energy == pytest.approx(plain.energy)


def test_orthogonal_access_takes_longer() -> None:
    payload_lengths = dict.fromkeys(["audio", "video", "text"], 1500)
    slots = {a: load_link("ofdm-tdl-c", access=a).cost(payload_lengths).slots for a in ("mu-mimo", "ofdma", "tdma")}
    assert slots == {"mu-mimo": 1, "ofdma": 3, "tdma": 3}


def test_symbols_of_payloads() -> None:
    assert symbols_of_tokens(16, 128) == 1024
    assert symbols_of_bits(8 * 1000) == 4000
    assert symbols_of_bits(7, 2.0) == 4


@pytest.mark.parametrize("name", ["rayleigh", "ofdm-tdl-c", "erasure-bursts"])
def test_picture(name: str, tmp_path: Path) -> None:
    (tmp_path / "ba$$in.yaml").write_text(f"# A $\\frac{{ link\nextends: {name}\n")
    draw_link(load_link(tmp_path / "ba$$in.yaml"), tmp_path / "link.png")
    assert (tmp_path / "link.png").read_bytes().startswith(b"\x89PNG")
