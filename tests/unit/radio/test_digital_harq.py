"""HARQ of digital links: bits against mapping, what it spends, and mistakes."""

from typing import Any

import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.bler_table import CodeKey, bler_table
from tokcom_phy.radio.cost import HEADER_SYMBOLS
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.utils.errors import UserError

KEY = CodeKey(2048, 512, 6)
TOKENS = {"audio": torch.randn(8, 16, 128, generator=torch.Generator().manual_seed(0))}
"""Two blocks an example."""


def link_with(combining: str, rounds: int = 2, **overrides: Any) -> DigitalLink:
    link = load_link("digital-awgn", device="cpu", harq={"rounds": rounds, "combining": combining}, **overrides)
    assert isinstance(link, DigitalLink)
    return link


def halfway_db(combining: str) -> float:
    """The SNR at which half of the blocks are lost after two rounds over AWGN, by the mapping."""
    return bler_table(KEY).snr_db_at(0.5) - 3.0103 if combining == "chase" else bler_table(KEY, 2).snr_db_at(0.5)


@pytest.mark.parametrize("combining", ["chase", pytest.param("incremental-redundancy", marks=pytest.mark.versions)])
def test_two_rounds_of_bits_turn_around_where_the_mapping_says(combining: str) -> None:
    """At 0.4 dB less most of eight blocks are lost, at 0.4 dB more most of them arrive."""
    link, tokens = link_with(combining), {"audio": TOKENS["audio"][:4]}
    for offset_db, arrives in ((-0.4, False), (0.4, True)):
        received, state = link.transmit(tokens, halfway_db(combining) + offset_db, seed=1)
        assert isinstance(state, DigitalState)
        assert [int(uses["audio"].sum()) for uses in state.spent] == [4 * 1024, 4 * 1024]
        lost = float((received["audio"] == 0).float().mean())
        assert lost < 0.3 if arrives else lost > 0.7


@pytest.mark.versions
def test_one_round_suffices_where_blocks_arrive() -> None:
    link = link_with("incremental-redundancy", rounds=4)
    received, state = link.transmit(TOKENS, 30.0, seed=1)
    plain = load_link("digital-awgn", device="cpu")(TOKENS, 30.0, seed=1)
    assert torch.equal(received["audio"], plain["audio"])
    assert isinstance(state, DigitalState)
    assert [int(uses["audio"].sum()) for uses in state.spent] == [8 * 1024, 0, 0, 0]


@pytest.mark.parametrize("combining", ["chase", "incremental-redundancy"])
def test_what_is_spent_is_counted_for_each_example(combining: str) -> None:
    """At 30 dB one round, at −20 dB all of them, and nothing arrives."""
    link = link_with(combining, rounds=3, decoding="mapped")
    tokens = {"audio": TOKENS["audio"][:2]}
    received, state = link.transmit(tokens, torch.tensor([30.0, -20.0]), seed=1)
    assert (received["audio"][0] != 0).any()
    assert (received["audio"][1] == 0).all()
    spent = link.spent(state)
    assert spent is not None
    assert spent.channel_uses.tolist() == [1024, 3 * 1024]
    assert spent.latency[0] == pytest.approx((1024 + HEADER_SYMBOLS) / 1e6)
    assert spent.energy[1] == pytest.approx(0.2 * (3 * 1024 + HEADER_SYMBOLS) / 1e6)
    assert spent.channel_uses[0] == link.cost({"audio": 1024}).channel_uses
    assert load_link("digital-awgn", device="cpu").spent(state) is None


@pytest.mark.parametrize("below", ["awgn", "ofdm-tdl-c"])
@pytest.mark.parametrize("options", [{}, {"power": "token"}, {"scale": "withheld"}])
def test_one_round_takes_what_the_budget_says(below: str, options: dict[str, Any]) -> None:
    """With the headers of all scales: one a token, or a payload, or none."""
    link = link_with("chase", over=below, **options)
    _, state = link.transmit({"audio": TOKENS["audio"][:1], "text": TOKENS["audio"][:1, :3]}, 40.0, seed=1)
    spent, cost = link.spent(state), link.cost({"audio": 1024, "text": 192}, symbols_per_token=64)
    assert spent is not None
    assert (spent.channel_uses[0], spent.latency[0]) == (cost.channel_uses, pytest.approx(cost.latency))
    assert spent.energy[0] == pytest.approx(cost.energy)


def test_padding_has_no_header() -> None:
    link, mask = link_with("chase", power="token"), torch.arange(16) < torch.tensor([[16], [5]])
    _, state = link.transmit({"audio": TOKENS["audio"][:2]}, 40.0, {"audio": mask}, seed=1)
    spent = link.spent(state)
    assert spent is not None
    assert spent.latency.tolist() == pytest.approx([16 * (64 + HEADER_SYMBOLS) / 1e6, 5 * (64 + HEADER_SYMBOLS) / 1e6])


def test_rounds_depend_on_seed_and_index_alone() -> None:
    link = link_with("chase", rounds=4, decoding="mapped", over={"extends": "rayleigh", "coherence": 512})
    whole, state = link.transmit(TOKENS, 8.0, seed=3)
    part, own = link.transmit({"audio": TOKENS["audio"][[5, 1]]}, 8.0, seed=3, indices=[5, 1])
    assert isinstance(state, DigitalState)
    assert isinstance(own, DigitalState)
    assert torch.equal(part["audio"], whole["audio"][[5, 1]])
    for of_whole, of_part in zip(state.spent, own.spent, strict=False):
        assert torch.equal(of_part["audio"], of_whole["audio"][[5, 1]])
    assert 0 < (whole["audio"] == 0).float().mean() < 1 or len(state.spent) > 1


def test_more_rounds_never_lose_what_fewer_delivered() -> None:
    below = {"extends": "rayleigh", "coherence": 512}
    plain = load_link("digital-awgn", device="cpu", decoding="mapped", over=below)(TOKENS, 8.0, seed=3)["audio"] != 0
    more = link_with("chase", 4, decoding="mapped", over=below)(TOKENS, 8.0, seed=3)["audio"] != 0
    assert not (plain & ~more).any()
    assert more.sum() > plain.sum()


@pytest.mark.parametrize(
    ("harq", "message"),
    [
        ({"rounds": 1}, "harq.rounds: 1 is not within 2 to 16: one round is a link without harq: leave it out"),
        ({"rounds": 0}, "harq.rounds: 0 is not within 2 to 16"),
        ({"combining": "ir"}, "harq.combining"),
    ],
)
def test_harq_without_rounds_left_is_refused(harq: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_link("digital-awgn", device="cpu", harq=harq)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_round_must_not_move_users_of_true_path_gains() -> None:
    with pytest.raises(UserError, match="in which users of power_control 'none' are elsewhere"):
        load_link("digital-awgn", device="cpu", over={"extends": "ofdm-umi", "power_control": "none"}, harq={})
