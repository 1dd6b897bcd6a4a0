"""Schemes by code rate or channel uses, and the tables of 5G NR."""

from typing import Any

import pytest
import torch
from tables_at_capacity import at_capacity

from tokcom_phy.radio import block_errors, load_link
from tokcom_phy.radio.blockcode import BlockCode
from tokcom_phy.radio.cost import HEADER_SYMBOLS
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.mcs import MCS, McsTable, mcs_schemes
from tokcom_phy.radio.scheme import CRC_BITS, MAX_RATE, Scheme
from tokcom_phy.radio.segmentation import longest_block, num_info_bits, segment
from tokcom_phy.utils.errors import UserError

TOKENS = {"audio": torch.randn(4, 16, 128, generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize(("table", "number"), [("mcs-table-1", 1), ("mcs-table-2", 2)])
def test_tables_are_those_that_sionna_knows(table: McsTable, number: int) -> None:
    nr = pytest.importorskip("sionna.phy.nr.utils")
    index = torch.arange(len(MCS[table]), dtype=torch.int32)
    order, rate = nr.decode_mcs_index(index, table_index=number, is_pusch=False)
    assert [q for q, _ in MCS[table]] == [int(q) for q in order]
    rates = torch.tensor([float(r) for r in rate])
    torch.testing.assert_close(torch.tensor([r for _, r in MCS[table]]), rates / (1024 if rates.max() > 1 else 1))


@pytest.mark.parametrize("table", MCS)
def test_rows_carry_whole_bits_in_no_more_uses_than_analog_tokens(table: McsTable) -> None:
    schemes = mcs_schemes(table)
    assert {scheme.bits for scheme in schemes} == ({1, 2} if table == "mcs-table-1" else {1, 2, 3})
    for scheme in schemes:
        size = 2 * scheme.bits * 512
        assert scheme.num_uses(size) <= 512 * (1 + 2 * CRC_BITS / size)
        assert scheme.rate is not None
        assert (size + CRC_BITS) / (scheme.num_uses(size) * scheme.bits_per_symbol) <= min(scheme.rate, MAX_RATE) + 1e-9
        scheme.check_rate(size)


def test_a_target_error_rate_takes_the_fastest_reliable_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over AWGN with codes at capacity: the highest rate whose threshold the SNR is above."""
    monkeypatch.setattr(block_errors, "bler_table", at_capacity)
    link = load_link(
        "digital-awgn",
        device="cpu",
        decoding="mapped",
        schemes="mcs-table-1",
        adaptation="instantaneous",
        target_bler=0.1,
    )
    assert isinstance(link, DigitalLink)
    speeds = []
    for snr_db in (-10.0, 8.0, 12.0, 16.0, 30.0):
        state = link.draw(1, {"audio": 1024}, snr_db, seed=0)
        assert isinstance(state, DigitalState)
        speeds.append(link.schemes[int(state.scheme["audio"][0])].efficiency)
    assert speeds == sorted(speeds)
    assert speeds[0] == min(scheme.efficiency for scheme in link.schemes)
    assert speeds[-1] == pytest.approx(6 * 948 / 1024)
    assert 2 <= speeds[1] <= torch.log2(torch.tensor(1 + 10**0.8))
    _, state = link.transmit(TOKENS, 30.0, seed=0)
    assert isinstance(state, DigitalState)
    assert int(state.spent[0]["audio"][0]) == 2 * link.schemes[-1].num_uses(2048) < 1024


@pytest.mark.parametrize("modulation", ["64-QAM", "1024-QAM"])
@pytest.mark.parametrize("rate", [0.2, 948 / 1024])
@pytest.mark.parametrize("tokens", [1, 3, 57])
def test_the_lowest_and_the_highest_rate_send_blocks_of_any_length(modulation: str, rate: float, tokens: int) -> None:
    scheme = Scheme.model_validate({"bits": 2, "modulation": modulation, "rate": rate})
    for blocks in segment(torch.tensor([5 * tokens]), [scheme]):
        bits = torch.randint(2, (1, blocks.code.num_info_bits), generator=torch.Generator().manual_seed(0)).float()
        code = BlockCode(*blocks.code, "cpu")
        decoded, intact = code.decode(code.encode(bits), torch.full((1, code.num_symbols), 1e-5))
        assert intact.all()
        assert torch.equal(decoded, bits)
    scheme.check_rate(num_info_bits(longest_block(scheme), scheme))


def test_an_adaptive_link_spends_what_the_chosen_schemes_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget counts the scheme that takes most; where all take as many, nothing needs to be counted."""
    monkeypatch.setattr(block_errors, "bler_table", at_capacity)
    schemes = [{"bits": 1, "modulation": "16-QAM", "uses_per_value": 1}, {"bits": 2, "modulation": "64-QAM"}]
    options: dict[str, Any] = {"device": "cpu", "adaptation": "instantaneous", "decoding": "mapped"}
    link = load_link("digital-awgn", schemes=schemes, **options)
    _, state = link.transmit({"audio": TOKENS["audio"][:2]}, torch.tensor([5.0, 30.0]), seed=0)
    spent = link.spent(state)
    assert spent is not None
    assert spent.channel_uses.tolist() == [2048, 1024]
    assert spent.energy.tolist() == pytest.approx([0.2e-6 * (2048 + HEADER_SYMBOLS), 0.2e-6 * (1024 + HEADER_SYMBOLS)])
    assert link.cost({"audio": 1024}).channel_uses == 2048
    same = load_link("digital-awgn", schemes=[{"bits": 2}, {"bits": 3, "modulation": "256-QAM"}], **options)
    assert same.spent(same.transmit(TOKENS, 40.0, seed=0)[1]) is None


def test_schemes_alike_for_values_differ_for_identifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """120 bits in blocks of 64 are 128: at 2 or 6 bits a channel use they take 64 or 22."""
    monkeypatch.setattr(block_errors, "bler_table", at_capacity)
    schemes = [{"bits": 1, "modulation": "16-QAM"}, {"bits": 3, "modulation": "256-QAM"}]
    options: dict[str, Any] = {"adaptation": "instantaneous", "target_bler": 0.1, "decoding": "mapped"}
    link = load_link("digital-awgn", device="cpu", text="identifiers", schemes=schemes, **options)
    bits = {"text": torch.ones(2, 12, 10, dtype=torch.complex64)}
    spent = link.spent(link.transmit(bits, torch.tensor([11.0, 30.0]), seed=0)[1])
    assert spent is not None
    assert spent.channel_uses.tolist() == [64, 22]


def test_a_shorter_payload_has_all_the_channel_uses_of_its_own() -> None:
    """At rate 0.672 1,024 symbols of analog tokens take as many channel uses, 320 take two more for their CRC."""
    scheme = {"bits": 2, "modulation": "64-QAM", "rate": 0.672}
    link = load_link("digital-awgn", device="cpu", decoding="mapped", schemes=[scheme], adaptation="instantaneous")
    assert isinstance(link, DigitalLink)
    link._adaptation = None
    mask = torch.tensor([[True] * 1024, [True] * 320 + [False] * 704])
    state = link.draw(2, {"audio": 1024}, 40.0, seed=0, mask={"audio": mask})
    assert state.mask["audio"].sum(1).tolist() == [1024, 322]


def test_a_candidate_that_cannot_carry_a_payload_leaves_it_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven symbols of 3 bits a value need a code rate of 0.932, more than 5G LDPC has."""
    monkeypatch.setattr(block_errors, "bler_table", at_capacity)
    schemes = [{"bits": 3, "modulation": "256-QAM"}, {"bits": 1, "modulation": "16-QAM"}]
    for adaptation in ("average", "instantaneous"):
        link = load_link("digital-awgn", device="cpu", decoding="mapped", schemes=schemes, adaptation=adaptation)
        mask = torch.arange(1024) < torch.tensor([[1024], [11], [11]])
        snr_db = torch.tensor([30.0, 30.0, -30.0])
        state = link.draw(3, {"audio": 1024}, snr_db, seed=0, mask={"audio": mask})
        assert isinstance(state, DigitalState)
        assert state.scheme["audio"].tolist() == [0, 1, 1]
        with pytest.raises(UserError, match="need code rate"):
            link.draw(1, {"audio": 3}, 30.0, seed=0)


def test_channel_uses_count_in_the_choice_only_with_harq(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 30 dB 3 bits err 3.4 times less than 2 bits, in four times the channel uses."""
    monkeypatch.setattr(block_errors, "bler_table", at_capacity)
    schemes = [{"bits": 2, "modulation": "64-QAM"}, {"bits": 3, "modulation": "16-QAM", "uses_per_value": 2}]
    options: dict[str, Any] = {"device": "cpu", "adaptation": "instantaneous", "decoding": "mapped"}
    for harq, chosen in ((None, 1), ({"rounds": 2}, 0)):
        state = load_link("digital-awgn", schemes=schemes, harq=harq, **options).draw(1, {"audio": 1024}, 30.0, seed=0)
        assert isinstance(state, DigitalState)
        assert state.scheme["audio"].tolist() == [chosen]


def test_fewer_or_more_channel_uses_change_the_code_rate() -> None:
    """2 bits a value: at half as many uses a symbol carries eight bits, at twice as many two."""
    for uses_per_value, modulation, snr_db in ((0.25, "1024-QAM", 40.0), (1.0, "16-QAM", 9.0)):
        options: dict[str, Any] = {"uses_per_value": uses_per_value, "modulation": modulation}
        link = load_link("digital-awgn", device="cpu", bits=2, **options)
        received, state = link.transmit(TOKENS, snr_db, seed=0)
        assert isinstance(state, DigitalState)
        assert (received["audio"] != 0).all()
        assert state.spent[0]["audio"].tolist() == [int(2048 * uses_per_value)] * 4
        assert link.cost({"audio": 1024}).channel_uses == int(2048 * uses_per_value)
        assert torch.equal(received["audio"], load_link("digital-awgn", device="cpu")(TOKENS, 40.0, seed=0)["audio"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schemes": [{"rate": 0.5, "uses_per_value": 0.5}], "adaptation": "average"}, "exclude each other"),
        ({"schemes": [{"rate": 0.99}], "adaptation": "average"}, "5G LDPC has no other code rates"),
        ({"bits": 2, "uses_per_value": 0.1}, "need code rate"),
        (
            {"bits": 2, "uses_per_value": 50},
            "need code rate 0.00669, 5G LDPC has 0.2 to 0.926: give fewer uses_per_value",
        ),
        ({"bits": 6, "uses_per_value": 0.05}, "give more uses_per_value"),
        ({"bits": 5, "modulation": "64-QAM", "uses_per_value": 0.6}, "0.926: choose 1024-QAM with 5 bits"),
        ({"schemes": 5, "adaptation": "average"}, "'digital-awgn': schemes: input should be a valid list, not 5"),
        (
            {"schemes": [{"bits": 9}], "adaptation": "average"},
            "schemes.0.bits: input should be less than or equal to 6",
        ),
        ({"schemes": [{"bit": 2}], "adaptation": "average"}, "unknown key 'schemes.0.bit', did you mean 'bits'?"),
        ({"harq": {"round": 2}}, "unknown key 'harq.round', did you mean 'rounds'?"),
        ({"harq": {"rounds": 99}}, "after 16 a block is given up"),
        ({"over": None}, "'digital-awgn': over: input should be"),
        ({"schemes": "mcs-table-3", "adaptation": "average"}, "mcs-table-1"),
        ({"target_bler": 0.1}, "target_bler chooses among schemes"),
        (
            {"schemes": "mcs-table-1", "adaptation": "average", "uses_per_value": 1},
            "uses_per_value is of a link without schemes",
        ),
        ({"over": {"amplifier_backoff_db": 0}}, "over.amplifier_backoff_db is of analog tokens"),
    ],
)
def test_mistakes_in_schemes_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_link("digital-awgn", device="cpu", **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
