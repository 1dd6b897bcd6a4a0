"""HARQ over block fading against closed forms: outage and mean rounds, for a code that decodes at a threshold."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gammainc

from tokcom_phy.radio import block_errors, load_link
from tokcom_phy.radio.bler_table import BlerTable, CodeKey
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.miesm import mutual_information, snr_db_of
from tokcom_phy.radio.state import LinkState

THRESHOLD_DB, BATCH, NUM_SYMBOLS, ROUNDS = 12.0, 3000, 128, 3
TOKENS = {"audio": torch.randn(1, 2, 128).expand(BATCH, 2, 128)}


@pytest.fixture(autouse=True)
def _ideal_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is lost if and only if its rounds together carry less than one does at the threshold."""

    def table(key: CodeKey, rounds: int) -> BlerTable:
        needed = mutual_information(torch.tensor(10 ** (THRESHOLD_DB / 10)), key.bits_per_symbol)
        threshold_db = float(snr_db_of(needed / rounds, key.bits_per_symbol))
        edges = torch.tensor([threshold_db - 1e-3, threshold_db + 1e-3]).double()
        return BlerTable(edges, torch.tensor([60.0, -60.0]).double())

    monkeypatch.setattr(block_errors, "bler_table", table)


def transmit(combining: str, snr_db: float) -> tuple[torch.Tensor, torch.Tensor, LinkState]:
    """Which blocks are lost in the end, bool [BATCH], and the rounds that each took, int64 [BATCH]."""
    link = load_link(
        "digital-awgn",
        device="cpu",
        over={"extends": "rayleigh", "coherence": NUM_SYMBOLS},
        decoding="mapped",
        harq={"rounds": ROUNDS, "combining": combining},
    )
    received, state = link.transmit(TOKENS, snr_db, seed=5)
    assert isinstance(state, DigitalState)
    uses = torch.stack([of_round["audio"] for of_round in state.spent]).sum(0)
    assert (uses % NUM_SYMBOLS == 0).all()
    return (received["audio"] == 0).flatten(1).all(1), uses // NUM_SYMBOLS, state


def assert_share(events: torch.Tensor, expected: float) -> None:
    """Within four standard errors of a proportion."""
    error = (expected * (1 - expected) / len(events)) ** 0.5
    assert abs(float(events.double().mean()) - expected) < 4 * error


@pytest.mark.parametrize("snr_db", [5.0, 9.0, 13.0])
def test_chase_combining_adds_exponential_snrs(snr_db: float) -> None:
    """The SNR after r rounds is Gamma distributed with shape r: P(outage) = γ(r, θ/SNR) / Γ(r)."""
    lost, rounds, _ = transmit("chase", snr_db)
    level = 10 ** ((THRESHOLD_DB - snr_db) / 10)
    assert_share(lost, gammainc(ROUNDS, level))
    for r in range(1, ROUNDS):
        assert_share(rounds > r, gammainc(r, level))


@pytest.mark.parametrize("snr_db", [5.0, 9.0, 13.0])
def test_incremental_redundancy_adds_mutual_information(snr_db: float) -> None:
    """P(I(γ₁) + I(γ₂) < I(θ)) by integration over the first exponential SNR."""
    _, rounds, _ = transmit("incremental-redundancy", snr_db)
    needed = float(mutual_information(torch.tensor(10 ** (THRESHOLD_DB / 10)), 6))
    mean = 10 ** (snr_db / 10)

    def second_fails(fade: float) -> float:
        left = needed - float(mutual_information(torch.tensor(mean * fade), 6))
        level = 10 ** (float(snr_db_of(torch.tensor(left), 6)) / 10) / mean
        return float(np.exp(-fade) * -np.expm1(-level))

    first = 10 ** (THRESHOLD_DB / 10) / mean
    assert_share(rounds > 1, -np.expm1(-first))
    assert_share(rounds > 2, quad(second_fails, 0, first, limit=100)[0])


@pytest.mark.long
def test_incremental_redundancy_needs_no_more_rounds_than_chase_combining() -> None:
    """Mutual information is concave in the SNR, so the sum over rounds is at least that at the sum of the SNRs."""
    for snr_db in (3.0, 9.0):
        assert (transmit("incremental-redundancy", snr_db)[1] <= transmit("chase", snr_db)[1]).all()


def test_rounds_are_independent_realisations() -> None:
    _, _, state = transmit("chase", 3.0)
    assert isinstance(state, DigitalState)
    fades = torch.stack([one.sinr["audio"][:, 0].log() for one in state.rounds])
    assert len(fades) == ROUNDS
    assert torch.corrcoef(fades)[~torch.eye(ROUNDS, dtype=torch.bool)].abs().max() < 4 / BATCH**0.5
