"""Text as token identifiers over a digital link."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tables_at_capacity import at_capacity

from tokcom_phy.radio import block_errors, load_link
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.identifiers import from_bits, identifier_bits, to_bits
from tokcom_phy.radio.plotting import draw_link
from tokcom_phy.utils.errors import UserError

VOCABULARY = 596
IDS = torch.randint(VOCABULARY, (6, 17), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(17) >= torch.tensor([[0], [5], [3], [9], [1], [0]])
LINK: dict[str, Any] = {"device": "cpu", "text": "identifiers", "bits": 1, "modulation": "16-QAM"}


@pytest.mark.parametrize(("vocabulary", "bits"), [(2, 1), (256, 8), (257, 9), (596, 10), (151_936, 18)])
def test_an_identifier_takes_the_logarithm_of_the_vocabulary(vocabulary: int, bits: int) -> None:
    assert identifier_bits(vocabulary) == bits
    ids = torch.tensor([[0, vocabulary - 1]])
    assert torch.equal(from_bits(to_bits(ids, vocabulary), vocabulary, 0), ids)


def test_identifiers_arrive_or_are_padding_and_others_are_quantised() -> None:
    """In blocks of 64 bits: a question of 17 tokens, 170 bits, takes 192 of them, 96 symbols of two bits each."""
    link = load_link("digital-awgn", **LINK)
    snr_db = torch.tensor([20.0, 20.0, 20.0, 20.0, -5.0, 20.0])
    sent = {"text": to_bits(IDS, VOCABULARY), "audio": torch.randn(6, 4, 128)}
    received, state = link.transmit(sent, snr_db, {"text": MASK}, seed=1)
    ids = from_bits(received["text"], VOCABULARY, padding=3)
    arrived = torch.arange(6) != 4
    assert torch.equal(ids[arrived][MASK[arrived]], IDS[arrived][MASK[arrived]])
    assert (ids[4] == 3).all()
    assert (received["audio"][4] == 0).all()
    assert isinstance(state, DigitalState)
    assert state.spent[0]["text"].tolist() == [96, 64, 96, 64, 96, 96]
    assert link.cost({"text": 170}).channel_uses == 96
    assert (
        load_link("digital-awgn", device="cpu", bits=1, modulation="16-QAM").cost({"text": 17 * 64}).channel_uses
        == 1088
    )


def test_a_link_with_identifiers_has_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_errors, "bler_table", at_capacity)
    draw_link(load_link("digital-awgn", **LINK), tmp_path / "link.png")
    over = {"extends": "rayleigh-mimo", "users": ["audio", "text"]}
    draw_link(load_link("digital-awgn", over=over, **LINK), tmp_path / "shared.png")
    assert (tmp_path / "shared.png").stat().st_size > 10_000


def test_a_modality_without_identifiers_is_refused() -> None:
    with pytest.raises(UserError, match="its users audio, video have none, only text has"):
        load_link("digital-ofdm-tdl-c", over={"users": ["audio", "video"]}, **LINK)
    with pytest.raises(UserError, match=r"takes the identifiers of 'text' as bits"):
        load_link("digital-awgn", **LINK)({"text": torch.randn(2, 3, 128)}, 10.0)
    for wrong in (torch.randn(2, 3), torch.full((2, 3), VOCABULARY), torch.full((2, 3), -1)):
        with pytest.raises(UserError, match="a modality without a vocabulary has none"):
            to_bits(wrong, VOCABULARY)
