"""Link-to-system mapping: mutual information, error rate tables, and losses drawn with them."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.bler_measurement import measure_bler
from tokcom_phy.radio.bler_table import BlerTable, CodeKey, bler_table, read_table
from tokcom_phy.radio.block_errors import block_error_rate
from tokcom_phy.radio.blockcode import BlockCode
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.digital_state import DigitalState
from tokcom_phy.radio.miesm import effective_snr_db, mutual_information, snr_db_of
from tokcom_phy.radio.observation import Observation
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.radio.segmentation import segment
from tokcom_phy.radio.sionna import Demapper, Mapper
from tokcom_phy.utils.errors import UserError

KEY = CodeKey(2048, 512, 6)
"""The code of 1024 symbols in two blocks, with two values of 2 bits in each 64-QAM symbol."""

TOKENS = {"audio": torch.randn(16, 16, 128, generator=torch.Generator().manual_seed(0))}

ONE_FADE = {"extends": "rayleigh", "coherence": 1024}


def mapped(**overrides: object) -> DigitalLink:
    link = load_link("digital-awgn", device="cpu", decoding="mapped", **overrides)
    assert isinstance(link, DigitalLink)
    return link


def test_qpsk_carries_one_bit_where_the_capacity_of_bpsk_is_a_half() -> None:
    """The rate-1/2 limit of binary antipodal signals is Eb/N0 = 0.187 dB, which is Es/N0 of QPSK with one bit."""
    torch.testing.assert_close(float(mutual_information(torch.tensor(10**0.0187), 2)), 1.0, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("bits_per_symbol", "snr_db"), [(4, 6.0), (6, 13.0), pytest.param(10, 22.0, marks=pytest.mark.long)]
)
def test_mutual_information_is_that_of_the_demappers_ratios(bits_per_symbol: int, snr_db: float) -> None:
    """I = m − E[log2(1 + exp(−L))] with L the log-likelihood ratio of the bit that was sent, four standard errors."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(2, (1, 20_000 * bits_per_symbol), generator=generator).float()
    sent = Mapper("qam", bits_per_symbol, device="cpu")(bits)
    no = torch.tensor(10 ** (-snr_db / 10))
    noise = torch.randn(sent.shape, generator=generator, dtype=torch.complex64)
    llr = Demapper("app", "qam", bits_per_symbol, device="cpu")(sent + noise * no.sqrt(), no)
    lost = torch.nn.functional.softplus(llr * (1 - 2 * bits)).unflatten(1, (-1, bits_per_symbol)).sum(2)
    information = bits_per_symbol - lost.double() / torch.log(torch.tensor(2.0))
    error = float(information.std()) / information.numel() ** 0.5
    assert abs(float(information.mean() - mutual_information(1 / no, bits_per_symbol))) < 4 * error


def test_effective_snr_is_the_mean_of_information() -> None:
    """A constant SINR is its own; half a block without any, the rest perfect, carries half of the bits."""
    torch.testing.assert_close(float(effective_snr_db(torch.full((5,), 10**1.234), 6)), 12.34, rtol=0, atol=1e-3)
    half = effective_snr_db(torch.tensor([0.0, torch.inf]), 6)
    torch.testing.assert_close(half, snr_db_of(torch.tensor(3.0), 6), rtol=0, atol=1e-2)


def test_table_interpolates_and_extrapolates_log_odds() -> None:
    table = BlerTable(torch.tensor([10.0, 11.0]).double(), torch.tensor([2.0, -2.0]).double())
    rates = table.bler(torch.tensor([-torch.inf, 9.0, 10.5, 12.0, torch.inf]))
    torch.testing.assert_close(rates, torch.tensor([1.0, 0.99753, 0.5, 0.0024726, 0.0]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("bler", [0.5, 0.15])
def test_shipped_table_is_the_share_of_blocks_that_the_codec_loses(bler: float) -> None:
    """Counted errors over AWGN, within four standard errors."""
    code, blocks = BlockCode(*KEY, "cpu"), 64
    snr_db = bler_table(KEY).snr_db_at(bler)
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(2, (blocks, KEY.num_info_bits), generator=generator).float()
    sent = code.encode(bits)
    no = torch.full(sent.shape, 10 ** (-snr_db / 10))
    noise = torch.randn(sent.shape, generator=generator, dtype=torch.complex64)
    lost = 1 - code.recovers(sent + noise * no.sqrt(), no, bits).float().mean()
    assert abs(float(lost) - bler) < 4 * (bler * (1 - bler) / blocks) ** 0.5


@pytest.mark.parametrize(
    ("code", "versions", "snr_db"),
    [
        ((1000, 256, 6), (0,), 13.2),
        ((500, 512, 4), (0,), 0.9),
        pytest.param((250, 64, 6), (0, 2, 3), 5.4, marks=pytest.mark.versions),
    ],
)
def test_the_fast_decoder_decides_as_sionnas(
    code: tuple[int, int, int], versions: tuple[int, ...], snr_db: float
) -> None:
    """In the middle of the waterfall, over both base graphs, and with bits that are sent twice."""
    own = BlockCode(*code, "cpu")
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(2, (48, code[0]), generator=generator).float()
    sent = own.encode_versions(bits, versions)
    no = torch.full(sent.shape, 10 ** (-snr_db / 10))
    received = sent + torch.randn(sent.shape, generator=generator, dtype=torch.complex64) * no.sqrt()
    right = own.recovers(received, no, bits, versions)
    if len(versions) == 1:
        intact = own.decode(received, no)[1]
    else:
        rounds = zip(received.split(code[1], 1), no.split(code[1], 1), strict=True)
        intact = own.decode_versions([own.demap(*one) for one in rounds], versions)[1]
    assert torch.equal(right, intact)
    assert 0 < right.float().mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize(("snr_db", "published"), [(3.0, 2.254e-2), (3.5, 5.839e-3)])
def test_measured_table_is_the_published_curve(snr_db: float, published: float) -> None:
    """A short code, the hardest case: its blocks' noise power varies most, and a demapper that is told it, as here,
    does 0.05 dB better than one that is told the mean. The standard error is 0.015 dB."""
    grid, bler, _, _ = measure_bler(BlockCode(48, 64, 2, "cpu"))
    found_db = float(np.interp(-np.log(published), -np.log(bler), grid))
    assert abs(found_db - snr_db) < 0.1


def test_blocks_are_lost_as_often_as_the_table_says() -> None:
    snr_db = bler_table(KEY).snr_db_at(0.3)
    tokens = {"audio": torch.randn(1, 16, 128).expand(1000, 16, 128)}
    received = mapped()(tokens, snr_db, seed=1)["audio"]
    lost = (received == 0).flatten(1).unflatten(1, (2, -1))
    assert (lost.all(2) | ~lost.any(2)).all()
    assert abs(float(lost[..., 0].float().mean()) - 0.3) < 4 * (0.21 / 2000) ** 0.5


def test_what_arrives_is_what_bit_exact_decoding_delivers() -> None:
    exact = load_link("digital-awgn", device="cpu")
    assert torch.equal(mapped()(TOKENS, 30.0, seed=1)["audio"], exact(TOKENS, 30.0, seed=1)["audio"])


def test_a_better_snr_never_loses_what_a_worse_one_delivered() -> None:
    link = mapped(over=ONE_FADE)
    delivered = [link(TOKENS, snr_db, seed=1)["audio"] != 0 for snr_db in (8.0, 13.0, 15.0, 18.0, 25.0)]
    assert 0 < delivered[2].float().mean() < 1
    for worse, better in pairwise(delivered):
        assert not (worse & ~better).any()


def test_losses_depend_on_seed_and_index_alone() -> None:
    link = mapped(over=ONE_FADE)
    whole = link(TOKENS, 14.0, seed=3, indices=range(16))["audio"]
    part = link({"audio": TOKENS["audio"][[9, 2]]}, 14.0, seed=3, indices=[9, 2])["audio"]
    assert torch.equal(part, whole[[9, 2]])
    other = link({"audio": TOKENS["audio"].roll(1, 0)}, 14.0, seed=3, indices=range(16))["audio"]
    assert torch.equal(other == 0, whole == 0)
    assert 0 < (whole == 0).float().mean() < 1


def test_gradient_of_mapped_decoding_passes_where_blocks_arrive() -> None:
    tokens = TOKENS["audio"][:2].clone().requires_grad_()
    received = mapped(scale="withheld")({"audio": tokens}, torch.tensor([30.0, 0.0]), seed=1)["audio"]
    received.sum().backward()
    assert tokens.grad is not None
    assert (tokens.grad[0] != 0).any()
    assert (tokens.grad[1] == 0).all()


def test_error_rates_are_those_of_the_blocks_own_symbols() -> None:
    """A deep fade over the second block leaves the first as it is."""
    state = mapped().draw(1, {"audio": 1024}, 20.0, seed=0)
    assert isinstance(state, DigitalState)
    sinr = state.sinr["audio"].clone()
    sinr[:, 512:] = 0.01
    (blocks,) = segment(torch.tensor([1024]), [Scheme()])
    faded = replace(state, sinr={"audio": sinr}, effective_noise_var={"audio": 1 / sinr})
    rates = block_error_rate(Observation.of(faded, "audio").at(blocks.rows, blocks.uses), blocks.code)
    assert rates[0] < 1e-6
    assert rates[1] > 1 - 1e-6


def test_a_damaged_table_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / KEY.file_name()
    path.write_text('{"num_info_bits": 2048, "snr_db": [1.0')
    with pytest.raises(UserError, match=r"BLER table .* is damaged: delete it"):
        read_table(path, KEY)


def test_a_cache_that_cannot_hold_a_table_is_named_before_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKCOM_CACHE", str(tmp_path))
    monkeypatch.setattr("tokcom_phy.radio.bler_table.measure_bler", lambda *_: pytest.fail("minutes of measuring"))
    other = CodeKey(2048, 1000, 4)
    (tmp_path / "bler").write_text("no folder")
    with pytest.raises(UserError, match="cannot write"):
        bler_table(other)
    (tmp_path / "bler").unlink()
    (tmp_path / "bler" / other.file_name()).mkdir(parents=True)
    with pytest.raises(UserError, match="is damaged"):
        bler_table(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_symbols": 511}, r"is of another code \(2048 bits, 511 symbols, 64-QAM"),
        ({"iterations": 5}, "is of another code"),
        ({"rounds": 2}, "is of another code"),
        ({"bler": [0.5, 0.1]}, "is damaged"),
        ({"snr_db": [2.0, 1.0], "bler": [0.5, 0.1], "std_error": [0.1, 0.1]}, "is damaged"),
        ({"bler": [0.5, 1.5]}, "is damaged"),
        ({"snr_db": [float("nan"), 2.0, 3.0]}, "is damaged"),
        ({"snr_db": [1.0, 2.0, float("inf")]}, "is damaged"),
        ({"std_error": [0.1, 0.1, float("nan")]}, "is damaged"),
        ({"bler": [0.1, 0.5, 0.9]}, "is damaged"),
        ({"bler": [0.5, 0.5, 0.5]}, "is damaged"),
    ],
)
def test_a_table_of_another_code_or_with_odd_numbers_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    table = {
        "num_info_bits": 2048,
        "num_symbols": 512,
        "bits_per_symbol": 6,
        "crc_bits": 16,
        "iterations": 20,
        "channel": "awgn",
        "method": "",
        "blocks": 1,
        "codec": "",
        "snr_db": [1.0, 2.0, 3.0],
        "bler": [0.9, 0.5, 0.1],
        "std_error": [0.1, 0.1, 0.1],
    }
    path = tmp_path / KEY.file_name()
    path.write_text(json.dumps({**table, **change}))
    with pytest.raises(UserError, match=message) as error:
        read_table(path, KEY)
    assert "\n" not in str(error.value)
