"""Adaptive digital links: the scheme of least expected distortion, also with HARQ, and mistakes in candidates."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.utils.errors import UserError

SCHEMES = [
    {"bits": 1, "modulation": "16-QAM"},
    {"bits": 2, "modulation": "64-QAM"},
    {"bits": 3, "modulation": "256-QAM"},
]
TOKENS = {"audio": torch.randn(64, 16, 128, generator=torch.Generator().manual_seed(0))}


def link_with(below: str, **overrides: Any) -> DigitalLink:
    over = overrides.pop("over", {})
    link = load_link("digital-awgn", device="cpu", over={"extends": below, **over}, decoding="mapped", **overrides)
    assert isinstance(link, DigitalLink)
    return link


def distortion(link: DigitalLink, snr_db: float) -> float:
    """Squared error over power, over 64 realisations that all links have in common."""
    return float((link(TOKENS, snr_db, seed=1)["audio"] - TOKENS["audio"]).square().mean())


@pytest.mark.parametrize("below", ["awgn", "rayleigh", "ofdm-tdl-c"])
def test_no_fixed_scheme_beats_adaptation_to_the_realisation_at_any_snr(below: str) -> None:
    """In expectation over losses exactly; the average rule attains the best fixed scheme where it knows the channel."""
    adaptive = link_with(below, schemes=SCHEMES, adaptation="instantaneous")
    assert adaptive._adaptation is not None
    won = 0
    for snr_db in range(0, 31, 3):
        state = adaptive.draw(32, {"audio": 1024}, float(snr_db), seed=1)
        assert isinstance(state, DigitalState)
        losses = adaptive._adaptation.expected(state, "audio", torch.full((32,), 1024)).losses
        expected = adaptive._adaptation.distortions(losses, "audio")
        own = expected.gather(0, state.scheme["audio"][None])[0]
        assert (own <= expected.min(0).values + 1e-12).all()
        assert own.mean() <= expected.mean(1).min() + 1e-12
        won += int(own.mean() < expected.mean(1).min() - 1e-3)
    assert won > 0 or below == "awgn"


@pytest.mark.parametrize("adaptation", ["average", "instantaneous"])
def test_adaptive_links_deliver_what_their_best_fixed_scheme_does_over_awgn(adaptation: str) -> None:
    adaptive = link_with("awgn", schemes=SCHEMES, adaptation=adaptation)
    fixed = [link_with("awgn", **scheme) for scheme in SCHEMES]
    for snr_db in (2.0, 10.0, 16.0, 25.0):
        assert distortion(adaptive, snr_db) == min(distortion(link, snr_db) for link in fixed)


@pytest.mark.parametrize("snr_db", [6.5, 13.5, 13.6, 13.8, 20.2, 20.5])
def test_no_fixed_scheme_beats_the_average_rule_between_whole_decibels(snr_db: float) -> None:
    """In the middle of a waterfall, where half a decibel decides."""
    link = link_with("awgn", schemes=SCHEMES, adaptation="average")
    state = link.draw(1, {"audio": 1024}, snr_db, seed=1)
    assert isinstance(state, DigitalState)
    assert link._adaptation is not None
    losses = link._adaptation.expected(state, "audio", torch.tensor([1024])).losses
    expected = link._adaptation.distortions(losses, "audio")
    assert float(expected[state.scheme["audio"][0], 0]) == pytest.approx(float(expected.min()), rel=1e-3)


def test_the_average_rule_looks_at_a_payloads_own_length() -> None:
    """At 14.3 dB blocks of 2,048 bits arrive with 64-QAM and those of 128 bits do not, whatever they are padded to."""
    link = link_with("awgn", schemes=SCHEMES[:2], adaptation="average")
    mask = torch.arange(1024) < torch.tensor([[1024], [32]])
    state = link.draw(2, {"text": 1024}, 14.3, seed=1, mask={"text": mask})
    alone = link.draw(1, {"text": 32}, 14.3, seed=1, indices=[1])
    assert isinstance(state, DigitalState)
    assert isinstance(alone, DigitalState)
    assert state.scheme["text"].tolist() == [1, 0]
    assert alone.scheme["text"].tolist() == [0]


def test_average_adaptation_uses_one_scheme_and_instantaneous_several() -> None:
    used = {}
    for adaptation in ("average", "instantaneous"):
        link = link_with("rayleigh", schemes=SCHEMES, adaptation=adaptation, over={"coherence": 1024})
        state = link.draw(64, {"audio": 1024}, 15.0, seed=1)
        assert isinstance(state, DigitalState)
        used[adaptation] = len(state.scheme["audio"].unique())
    assert used["average"] == 1
    assert used["instantaneous"] > 1


def test_adaptation_with_bit_exact_decoding_delivers_the_chosen_scheme() -> None:
    link = load_link("digital-awgn", device="cpu", schemes=SCHEMES, adaptation="instantaneous")
    tokens = {"audio": TOKENS["audio"][:2]}
    received = link(tokens, torch.tensor([10.0, 40.0]), seed=1)["audio"]
    assert received[0].abs().unique().numel() < received[1].abs().unique().numel()


def taken(link: DigitalLink, snr_db: Sequence[float], examples: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error, and channel uses over those of analog tokens, at each SNR: float64 [SNRs] each."""
    tokens, each = TOKENS["audio"][:examples], torch.tensor(snr_db).repeat_interleave(examples)
    sent = tokens.repeat(len(snr_db), 1, 1)
    received, state = link.transmit({"audio": sent}, each, seed=1)
    assert isinstance(state, DigitalState)
    errors = (received["audio"] - sent).square().mean((1, 2)).double()
    uses = sum(of_round["audio"].double() for of_round in state.spent) / 1024
    assert isinstance(uses, torch.Tensor)
    return errors.view(-1, examples).mean(1), uses.view(-1, examples).mean(1)


@pytest.mark.parametrize("combining", ["incremental-redundancy", "chase"])
@pytest.mark.parametrize("adaptation", ["average", "instantaneous"])
def test_no_fixed_scheme_beats_adaptation_with_harq_at_equal_mean_channel_uses(combining: str, adaptation: str) -> None:
    """Over AWGN, against analog tokens in as many uses: D·(1 + mγ), within what 8 examples of a waterfall tell."""
    snr_db = [float(step) for step in range(-5, 26)]
    snr = 10 ** (torch.tensor(snr_db).double() / 10)
    harq = {"rounds": 4, "combining": combining}

    def compared(**options: Any) -> torch.Tensor:
        errors, uses = taken(link_with("awgn", harq=harq, **options), snr_db)
        return errors * (1 + uses * snr)

    best = torch.stack([compared(**scheme) for scheme in SCHEMES]).amin(0)
    assert (compared(schemes=SCHEMES, adaptation=adaptation) <= 1.02 * best).all()


def test_two_rounds_of_two_bits_are_preferred_to_one_of_one_bit() -> None:
    """At 9 dB over AWGN, where 64-QAM arrives in its second round: D = 0.12, not 0.36."""
    harq = {"rounds": 4}
    errors, uses = taken(link_with("awgn", harq=harq, schemes=SCHEMES[:2], adaptation="instantaneous"), [9.0])
    assert (errors, uses) == taken(link_with("awgn", harq=harq, **SCHEMES[1]), [9.0])
    assert float(errors) == pytest.approx(0.119, rel=0.05)
    assert float(uses) == 2


def test_average_adaptation_expects_each_round_to_fade_by_itself() -> None:
    """One fade a payload at 10 dB: a block that is lost is not lost again and again, and two bits are the best."""
    over, harq = {"coherence": 1024}, {"rounds": 4}
    state = link_with("rayleigh", over=over, harq=harq, schemes=SCHEMES, adaptation="average").draw(
        1, {"audio": 1024}, 10.0, seed=1
    )
    assert isinstance(state, DigitalState)
    assert state.scheme["audio"].tolist() == [1]


def test_a_target_error_rate_counts_the_rounds_that_it_takes() -> None:
    """Bits a mean use over AWGN: at 12 dB 2/1, 4/2 or 6/2 of the three schemes, at 16 dB 2/1, 4/1 or 6/2."""
    link = link_with("awgn", schemes=SCHEMES, adaptation="instantaneous", target_bler=0.1, harq={"rounds": 4})
    chosen = []
    for snr_db in (2.0, 12.0, 16.0, 25.0):
        state = link.draw(1, {"audio": 1024}, snr_db, seed=1)
        assert isinstance(state, DigitalState)
        chosen += state.scheme["audio"].tolist()
    assert chosen == [0, 2, 1, 2]


def test_identifiers_that_are_lost_with_every_scheme_take_the_fewest_channel_uses() -> None:
    """128 bits at −30 dB; at 8 dB only 16-QAM loses next to nothing within four rounds."""
    harq = {"rounds": 4, "combining": "chase"}
    link = link_with("awgn", text="identifiers", schemes=SCHEMES, adaptation="instantaneous", harq=harq)
    state = link.draw(2, {"text": 128}, torch.tensor([-30.0, 8.0]), seed=1)
    assert isinstance(state, DigitalState)
    assert state.scheme["text"].tolist() == [2, 0]


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 18.0])
def test_over_awgn_digital_errs_more_than_the_bound_and_analog_attains_it(snr_db: float) -> None:
    """A channel use for two Gaussian values: D ≥ 1/(1 + γ), which y·γ/(1 + γ) attains (T. Goblick, 1965)."""
    snr = 10 ** (snr_db / 10)
    received = load_link("awgn", device="cpu")(TOKENS, snr_db, seed=1)["audio"]
    error = float((received - TOKENS["audio"]).square().mean())
    assert error == pytest.approx(1 / (1 + snr), rel=0.02)  # four standard errors of 131,072 squared values
    assert distortion(link_with("awgn", schemes=SCHEMES, adaptation="instantaneous"), snr_db) > 1.2 / (1 + snr)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schemes": [], "adaptation": "average"}, "schemes: the list is empty"),
        ({"schemes": SCHEMES}, "schemes and adaptation belong together"),
        ({"adaptation": "average"}, "schemes and adaptation belong together"),
        (
            {"schemes": [{"bits": 4, "modulation": "QPSK"}], "adaptation": "average"},
            "4 bits a value in blocks of 476 QPSK symbols need code rate 4.02, 5G LDPC has 0.2 to 0.926",
        ),
        ({"quantizer": "lloyd-max", "clip": 2.0}, "clip is of the uniform quantizer"),
        ({"decoding": "mapped", "amplifier_backoff_db": 3.0}, "'mapped' does not model an amplifier"),
    ],
)
def test_mistakes_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_link("digital-awgn", device="cpu", **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
