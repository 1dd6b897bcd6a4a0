"""Impairments of OFDM links, each against a closed form or another way to the same result."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import j0
from torch import Tensor

from tokcom_phy.radio import LinkState, load_link
from tokcom_phy.radio.channels import PathChannel
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.estimation import PilotEstimator
from tokcom_phy.radio.impairments import Impairments, phase_covariance, quantized, uniform_quantizer
from tokcom_phy.radio.impairments_config import ImpairmentsConfig
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.prefix import SPEED_OF_LIGHT
from tokcom_phy.utils.errors import UserError

N, SPACING, PREFIX = 64, 30e3, 9 / 132
KNOWN: dict[str, Any] = {"csi": "perfect", "output": "unbiased", "speed": 0.0, "users": ["one"], "num_rx_ant": 1}


def ofdm_link(**overrides: Any) -> OfdmLink:
    link = load_link("ofdm-tdl-c", device="cpu", **overrides)
    assert isinstance(link, OfdmLink)
    return link


def drawn(batch: int = 400, **settings: Any) -> Impairments:
    """Impairments of one user in many realisations."""
    request = DrawRequest(3, list(range(batch)), {"one": 1}, {"one": torch.ones(batch)}, {})
    return Impairments(ImpairmentsConfig(**settings), request, ["one"], "cpu", SPACING, PREFIX)


def assert_mean(samples: Tensor, expected: float, slack: float = 0.0) -> None:
    """The mean of independent samples is the expected one within four standard errors."""
    error = float(samples.double().std()) / math.sqrt(samples.numel())
    assert abs(float(samples.double().mean()) - expected) < 4 * error + slack


def sinr(snr_db: float = 20.0, n: int = 1584, batch: int = 32, **settings: Any) -> Tensor:
    """SINR of one user at one antenna that knows the channel, float64 [batch, n]."""
    return ofdm_link(**{**KNOWN, **settings}).draw(batch, n, snr_db, seed=0).sinr["payload"].double()


def check_noise(state: LinkState) -> None:
    """What is left beside A·x has the power that the SINR says."""
    gain = state.gain["payload"]["payload"]
    assert gain is not None
    share = state.noise["payload"].abs().square() / gain.abs().square() * state.sinr["payload"]
    assert_mean(share.mean(1), 1.0)


def test_a_frequency_offset_turns_symbols_and_leaves_sinc() -> None:
    """Against the DFT of a wave that is ε subcarriers off: its own subcarrier, and all others together."""
    impairments = drawn(frequency_offset=0.1)
    offset = 0.1 * impairments._normal(1, "frequency")[:, 0, 0].double()
    turn = impairments.turn(20)
    assert turn is not None
    t = torch.arange(4096, dtype=torch.float64) / 4096
    for s in (0, 7, 19):
        start = s * (1 + PREFIX)
        wave = torch.exp(2j * math.pi * offset[:, None] * (start + t))
        torch.testing.assert_close(turn[:, 0, s].to(torch.complex128), wave.mean(1), rtol=1e-3, atol=1e-3)
    kept = torch.sinc(offset).square()
    torch.testing.assert_close(turn[:, 0, 5].abs().square().double(), kept, rtol=1e-4, atol=1e-4)


def test_interference_of_a_frequency_offset() -> None:
    """1/SINR = 1/(γ|h|² sinc²ε) + (1 − sinc²ε)/sinc²ε: a user's interference fades with its symbols."""
    clean, off = sinr(), sinr(impairments={"frequency_offset": 0.05})
    request = DrawRequest(0, list(range(32)), {"payload": 1}, {"payload": torch.ones(32)}, {})
    own = Impairments(ImpairmentsConfig(frequency_offset=0.05), request, ["payload"], "cpu", SPACING, PREFIX)
    kept = torch.sinc(0.05 * own._normal(1, "frequency")[:, 0, 0].double()).square()[:, None]
    torch.testing.assert_close(1 / off, 1 / (clean * kept) + (1 - kept) / kept, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("combining", "users"), [("zf", ["a", "b"]), ("lmmse", ["a", "b"]), ("mrc", ["a"])])
def test_antennas_do_not_suppress_what_an_oscillator_spreads(combining: str, users: list[str]) -> None:
    """Six antennas at 60 dB, against waveforms that turn, sample by sample, before they go through the channel.

    Taken for white over the antennas, the interference would be 9 dB less after combining.
    """
    settings: dict[str, Any] = {"csi": "perfect", "output": "unbiased", "speed": 0.0, "num_rx_ant": 6}
    link = ofdm_link(**settings, users=users, combining=combining, impairments={"frequency_offset": 0.08})
    n = dict.fromkeys(users, 1584)
    state = link.draw(8, n, 60.0, seed=0)
    request = DrawRequest(0, list(range(8)), n, {user: torch.ones(8) for user in users}, {})
    own = Impairments(ImpairmentsConfig(frequency_offset=0.08), request, users, "cpu", SPACING, PREFIX)
    offset = 0.08 * own._normal(1, "frequency")[..., 0].double()
    h = link.channel.response(0, 0, range(len(users)), [0], slice(None))[:, :, :, 0].to(torch.complex128)
    x = torch.randn(8, len(users), 300, 132, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    turning = torch.exp(2j * math.pi * offset[..., None] * torch.arange(132) / 132)
    sent = torch.fft.fft(torch.fft.ifft(x) * turning[:, :, None])
    y = torch.einsum("bmuf,busf->bfms", h, sent)
    effective = (h * turning.mean(2)[:, None, :, None]).permute(0, 3, 1, 2)
    combiner = effective.mH if combining == "mrc" else torch.linalg.pinv(effective)
    own_gain = (combiner @ effective).diagonal(dim1=2, dim2=3)[..., None]
    error = (combiner @ y / own_gain - x.permute(0, 3, 1, 2)).abs().square().mean((1, 3))
    for number, user in enumerate(users):
        torch.testing.assert_close((1 / state.sinr[user].double()).mean(1), error[:, number], rtol=0.06, atol=1e-6)
        torch.testing.assert_close(state.effective_noise_var[user], 1 / state.sinr[user], rtol=0.02, atol=0)
        noise = state.noise[user].abs().square().mean(1)
        torch.testing.assert_close(noise.double(), error[:, number], rtol=0.15, atol=1e-6)


@pytest.mark.parametrize("linewidth", [300.0, 3000.0])
def test_wiener_phase_noise(linewidth: float) -> None:
    """E|I|² = 2(e^−a − 1 + a)/a² with a = πβT, and Var φ = 2πβ·Δt from one symbol to the next."""
    turn = drawn(4000, phase_noise=linewidth).turn(6)
    assert turn is not None
    a = math.pi * linewidth / SPACING
    kept = 2 * (math.exp(-a) - 1 + a) / a**2
    for s in (0, 5):
        assert_mean(turn[:, 0, s].abs().square(), kept, slack=0.01 * (1 - kept))
    # E[I_s I*_{s+1}] = e^{−πβ(T + T_cp)} ((1 − e^{−a})/a · …): from the increments, by quadrature over both symbols.
    t = (np.arange(200) + 0.5) / 200
    lag = np.abs(t[:, None] - t - 1 - PREFIX) / SPACING
    expected = np.exp(-math.pi * linewidth * lag).mean()
    assert_mean((turn[:, 0, 2] * turn[:, 0, 3].conj()).real, float(expected), slack=0.002)


def test_phase_noise_is_interference_and_a_common_phase() -> None:
    state = ofdm_link(**KNOWN, impairments={"phase_noise": 1000.0}).draw(64, 1584, 80.0, seed=0)
    check_noise(state)
    share = (1 / (1 + state.sinr["payload"].double())).mean(1)
    a = math.pi * 1000.0 / SPACING
    lost = 1 - 2 * (math.exp(-a) - 1 + a) / a**2
    assert_mean(share, lost, slack=0.01 * lost)


def test_interference_at_the_pilots_has_the_variance_that_the_receiver_reckons_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three users at 30 dB it is 25 times the noise; from each, over that one's channel."""
    link = ofdm_link(num_rx_ant=3, impairments={"frequency_offset": 0.05})
    found = []
    estimate = PilotEstimator.estimate

    def note(self: PilotEstimator, h: Tensor, noise: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        found.append(noise.abs().square().mean((1, 2, 3, 4)) / rest[-1].mean(1))
        assert float(rest[-1].mean()) > 5
        return estimate(self, h, noise, *rest)

    monkeypatch.setattr(PilotEstimator, "estimate", note)
    link.draw(96, dict.fromkeys(link.users, 132), 30.0, seed=0)
    assert_mean(torch.cat(found), 1.0)


@pytest.mark.parametrize("impairments", [{"frequency_offset": 0.004}, {"phase_noise": 40.0}, {"timing_offset": 1.5e-6}])
@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_a_receiver_reckons_with_what_turns_between_pilots_and_data(
    impairments: dict[str, Any], interpolation: str
) -> None:
    """In the mean over realisations symbols err by as much as the receiver says, five and more times the noise."""
    settings: dict[str, Any] = {"num_rx_ant": 4, "speed": 0.0, "delay_spread": 1e-9, "output": "unbiased"}
    link = ofdm_link(**settings, interpolation=interpolation, impairments=impairments)
    state = link.draw(160, {"audio": 396}, 45.0, seed=0)
    x = torch.randn(160, 396, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    error = (state.apply({"audio": x})["audio"] - x).abs().square().mean(1)
    believed = state.effective_noise_var["audio"].mean(1)
    clean = ofdm_link(**settings, interpolation=interpolation).draw(160, {"audio": 396}, 45.0, seed=0)
    assert float(believed.mean()) > 5 * float(clean.effective_noise_var["audio"].mean())
    assert_mean(error - believed, 0.0, slack=0.1 * float(believed.mean()))


def test_covariance_of_turns() -> None:
    """Against the means over realisations; of old knowledge it leaves 1 − exp(−(2πσΔ)²/2) to either side."""
    settings: dict[str, Any] = {"frequency_offset": 0.01, "phase_noise": 400.0}
    turn = drawn(4000, **settings).turn(6)
    assert turn is not None
    covariance = phase_covariance(ImpairmentsConfig(**settings), 6, SPACING, PREFIX)
    power = float(turn[:, 0].abs().square().mean())
    for s, t in ((0, 1), (2, 3), (0, 5)):
        assert_mean((turn[:, 0, s] * turn[:, 0, t].conj()).real / power, float(covariance[s, t]), slack=0.002)
    link = ofdm_link(csi="perfect", impairments={"frequency_offset": 0.01, "csi_delay": 3})
    turned = link.estimator.turned
    assert turned is not None
    apart = 2 * math.pi * 0.01 * 3 * (1 + PREFIX)
    assert float(turned[0, 0, 0]) == pytest.approx(2 * (1 - math.exp(-(apart**2) / 2)), rel=1e-3)


def test_raw_output_holds_the_other_cell() -> None:
    """h·x + n of one antenna, and h'·x' of the other cell at −3 dB: 0.5 on top of the noise."""
    settings = {**KNOWN, "output": "raw", "impairments": {"pilot_contamination_db": -3.0}}
    state = ofdm_link(**settings).draw(64, 1584, 10.0, seed=0)
    assert_mean(state.noise["payload"].abs().square().mean(1), 0.1 + 10**-0.3)
    check_noise(state)


def test_a_late_signal_turns_over_the_subcarriers() -> None:
    """Within the prefix nothing is lost: h(f)·exp(−2πj f δ); the delay is uniform."""
    settings = {**KNOWN, "delay_spread": 1e-9}
    late = ofdm_link(**settings, impairments={"timing_offset": 1e-6})
    uplink = late.draw(16, 132 * 12, 20.0, seed=0)
    clean = ofdm_link(**settings).draw(16, 132 * 12, 20.0, seed=0)
    torch.testing.assert_close(uplink.sinr["payload"], clean.sinr["payload"], rtol=1e-3, atol=0)
    offsets = drawn(4000, timing_offset=1e-6).lateness
    assert offsets is not None
    assert_mean(offsets, 0.5e-6)
    assert_mean(offsets.square(), 1e-12 / 3)


def test_a_late_signal_is_estimated_less_well() -> None:
    """Straight lines between every third subcarrier miss a phase that turns by α: ĥ/h = (2 + e^−jα)/3 · e^(jα/3)."""
    settings: dict[str, Any] = {"speed": 0.0, "delay_spread": 1e-9, "output": "unbiased"}
    state = ofdm_link(**settings, impairments={"timing_offset": 2e-6}).draw(16, {"audio": 1584}, 70.0, seed=0)
    request = DrawRequest(0, list(range(16)), {"audio": 1}, {"audio": torch.ones(16)}, {})
    own = Impairments(ImpairmentsConfig(timing_offset=2e-6), request, ["audio"], "cpu", SPACING, PREFIX)
    assert own.lateness is not None
    turned = 2 * math.pi * 3 * SPACING * own.lateness[:, 0]
    lines = (2 + torch.exp(-1j * turned)) / 3 * torch.exp(1j * turned / 3)
    gain = state.gain["audio"]["audio"]
    assert gain is not None
    torch.testing.assert_close(gain[:, 61], 1 / lines, rtol=0, atol=0.01)


def test_a_signal_later_than_the_prefix_interferes() -> None:
    """1 − (1 − δ)² of the paths' power, δ the share of the window after the prefix: of all, with 1 ns of spread."""
    settings = {**KNOWN, "delay_spread": 1e-9}
    link = ofdm_link(**settings, impairments={"timing_offset": 8e-6})
    state = link.draw(64, 1584, 30.0, seed=0)
    request = DrawRequest(0, list(range(64)), {"payload": 1}, {"payload": torch.ones(64)}, {})
    own = Impairments(ImpairmentsConfig(timing_offset=8e-6), request, ["payload"], "cpu", SPACING, PREFIX)
    assert own.lateness is not None
    kept = (1 - (own.lateness[:, :1].double() - PREFIX / SPACING).clamp(min=0) * SPACING).square()
    clean = ofdm_link(**settings).draw(64, 1584, 30.0, seed=0).sinr["payload"].double()
    assert isinstance(link.channel, PathChannel)
    a = torch.cat([link.channel.paths(0, block, [0], 1)[0][:, 0, 0, 0, 0, :, 0] for block in range(8)])
    power = a.abs().square().sum(1, keepdim=True).double()
    expected = clean * kept / (1 + 1000 * power * (1 - kept))
    torch.testing.assert_close(state.sinr["payload"].double(), expected, rtol=0.02, atol=0)


def test_the_image_of_iq_imbalance() -> None:
    """y + ν·y* of the samples puts |ν|² of the power of subcarrier −k on subcarrier k."""
    x = torch.randn(2000, N, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    nu = 10 ** (-25 / 20)
    y = torch.fft.ifft(x)
    rest = torch.fft.fft(y + nu * y.conj()) - x
    assert_mean(rest.abs().square().mean(1) / x.abs().square().mean(1), 10**-2.5, slack=1e-5)
    found = sinr(60.0, impairments={"image_rejection_db": 25})
    clean = sinr(60.0)
    received = clean.mean(1, keepdim=True) + 1  # signal and noise of the realisation, over the noise
    torch.testing.assert_close(found, clean / (1 + 10**-2.5 * received), rtol=0.01, atol=0)


@pytest.mark.parametrize("bits", [2, 4, 6])
def test_converters(bits: int) -> None:
    """The distortion of quantised samples of an OFDM waveform is white, and ρ/(1 − ρ) of what is received."""
    quantizer = uniform_quantizer(bits)
    x = torch.randn(2000, N, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    samples = torch.fft.ifft(x, norm="ortho")
    coded, error = quantized(samples, torch.ones(1), bits)
    y = torch.fft.fft(coded, norm="ortho")
    gain = (y * x.conj()).mean().real / x.abs().square().mean()
    rest = (y - gain * x).abs().square() / gain**2
    share = quantizer.distortion / (1 - quantizer.distortion)
    assert float(rest.mean()) == pytest.approx(share, rel=0.05)
    assert float(rest.mean(0).std() / rest.mean()) < 0.1
    assert float(error) == pytest.approx(quantizer.distortion)
    found, clean = sinr(30.0, impairments={"adc_bits": bits}), sinr(30.0)
    received = clean.mean(1, keepdim=True) + 1
    torch.testing.assert_close(found, clean / (1 + share * received), rtol=0.01, atol=0)


@pytest.mark.parametrize(("bits", "published"), [(1, 0.3634), (2, 0.1188), (3, 0.03744), (5, 0.003495)])
def test_uniform_quantisers(bits: int, published: float) -> None:
    """J. Max, 1960, table II."""
    assert uniform_quantizer(bits).distortion == pytest.approx(published, rel=2e-3)


def test_power_control() -> None:
    """Gaussian in decibels: E[10^(X/10)] = exp((σ·ln 10/10)²/2); the SNR follows."""
    power = drawn(4000, power_control_std_db=3.0).power
    assert power is not None
    assert_mean(10 * torch.log10(power), 0.0)
    assert_mean((10 * torch.log10(power)).square(), 9.0)
    assert_mean(power, math.exp((3 * math.log(10) / 10) ** 2 / 2))
    gained = (sinr(impairments={"power_control_std_db": 3.0}, batch=400, n=12) / sinr(batch=400, n=12)).mean(1)
    assert_mean(10 * torch.log10(gained), 0.0)
    assert float((10 * torch.log10(gained)).std()) == pytest.approx(3.0, abs=4 * 3 / math.sqrt(800))


def test_pilot_contamination_is_not_removed_by_antennas() -> None:
    """Many antennas point at the other cell's user too: SINR → 1/ρ² without noise (T. L. Marzetta, 2010)."""
    settings: dict[str, Any] = {"users": ["one"], "combining": "mrc", "speed": 0.0, "delay_spread": 1e-9}
    contaminated = {"pilot_contamination_db": -10.0}
    found = {}
    for antennas in (8, 256):
        link = ofdm_link(**settings, num_rx_ant=antennas, impairments=contaminated)
        state = link.draw(64, 132, 60.0, seed=0)
        found[antennas] = float(state.sinr["payload"].double().log().mean().exp())
        check_noise(state)
    assert found[256] == pytest.approx(100.0, rel=0.2)
    assert found[8] < 0.7 * found[256]
    clean = ofdm_link(**settings, num_rx_ant=256).draw(16, 132, 60.0, seed=0)
    assert float(clean.sinr["payload"].mean()) > 1e6


def test_old_knowledge_correlates_by_bessel() -> None:
    """One antenna, no noise: G·h/ĥ with ĥ older by τ; E[h ĥ*] = J0(2πf_D τ), and the receiver knows 2(1 − J0)."""
    link = ofdm_link(**{**KNOWN, "speed": 50.0, "self_interference": False}, impairments={"csi_delay": 14})
    tau = 14 * link.channel.symbol_duration
    correlation = float(j0(2 * math.pi * 50.0 / SPEED_OF_LIGHT * 3.5e9 * tau))
    assert link.estimator.age == pytest.approx(2 * (1 - correlation), rel=1e-4)
    h = torch.cat([link.channel.response(0, block, [0], [2, 16], slice(0, 1))[:, 0, 0, :, 0] for block in range(64)])
    assert_mean((h[:, 0] * h[:, 1].conj()).real, correlation)
    state = link.draw(8, 12, 200.0, seed=0)  # the first payload symbol lies on data symbol 0
    seen = torch.cat([link.channel.response(0, 0, [0], [0, 14], slice(None))[:, 0, 0]])
    gain = state.gain["payload"]["payload"]
    assert gain is not None
    torch.testing.assert_close(gain[:, 0], seen[:, 1, 0] / seen[:, 0, 0], rtol=1e-2, atol=1e-3)


def test_old_estimates_have_the_error_that_the_receiver_reckons_with() -> None:
    link = ofdm_link(speed=30.0, num_rx_ant=4, num_subcarriers=36, impairments={"csi_delay": 10})
    h = torch.cat([link.channel.response(2, b, range(3), range(24), slice(None)) for b in range(40)])[:, :, :, None]
    times = link.data_symbols
    h_hat, err_var = link.estimator.estimate(
        100 * h[..., [2, 11], :], torch.zeros(len(h), 4, 1, 2, 36), torch.full((len(h), 3), 100.0), [0, 1, 2], times
    )
    error = (h_hat - 100 * h[..., [t + 10 for t in times], :]).abs().square().mean(1)
    assert_mean((error / err_var).mean((1, 2, 3, 4)), 1.0)


@pytest.mark.parametrize("bits", [2, 4])
def test_quantised_knowledge(bits: int) -> None:
    """ĥ errs by the quantiser's distortion of its mean power; a receiver that knows it expects so much noise."""
    link = ofdm_link(**KNOWN, impairments={"csi_bits": bits})
    state = link.draw(64, 1584, 40.0, seed=0)
    gain = state.gain["payload"]["payload"]
    assert gain is not None
    h = torch.cat([link.channel.response(0, b, [0], [0], slice(0, 1))[:, 0, 0, 0] for b in range(8)])[:, 0]
    error = (h / gain[:, 0] - h).abs().square()
    # 1,000 values: of all realisations and subcarriers.
    whole = torch.cat([link.channel.response(0, b, [0], [0], slice(None))[:, 0, 0, 0] for b in range(8)])
    found = (whole / gain[:, :132] - whole).abs().square().mean(1)
    assert_mean(found, uniform_quantizer(bits).distortion, slack=0.1 * uniform_quantizer(bits).distortion)
    assert error.isfinite().all()


EACH: dict[str, dict[str, Any]] = {
    "frequency_offset": {"frequency_offset": 0.05},
    "phase_noise": {"phase_noise": 500.0},
    "timing_offset": {"timing_offset": 3e-6},
    "image_rejection_db": {"image_rejection_db": 25.0},
    "adc_bits": {"adc_bits": 4},
    "power_control_std_db": {"power_control_std_db": 6.0},
    "pilot_contamination_db": {"pilot_contamination_db": -10.0},
    "csi_delay": {"csi_delay": 14},
    "csi_bits": {"csi_bits": 3},
}
ALL = {key: value for settings in EACH.values() for key, value in settings.items()}


def test_every_impairment_is_tested() -> None:
    assert set(ALL) == set(ImpairmentsConfig.model_fields)


@pytest.mark.parametrize("impairments", [*EACH.values(), ALL], ids=[*EACH, "all"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"access": "ofdma"},
        {"access": "tdma", "csi": "perfect"},
        {"interpolation": "wiener", "interferers": ["text"]},
    ],
    ids=["mu-mimo", "ofdma", "tdma, known", "wiener"],
)
def test_impairments_combine(impairments: dict[str, Any], settings: dict[str, Any]) -> None:
    """On any OFDM link, with any other impairment, they take from the SNR; a batch is made of its examples."""
    base: dict[str, Any] = {"num_subcarriers": 36, "speed": 20.0, **settings}
    link = ofdm_link(**base, impairments=impairments, amplifier_backoff_db=6.0)
    n = dict.fromkeys(("audio", "video"), 100)
    state = link.draw(4, n, 25.0, seed=0, indices=[9, 2, 17, 3])
    single = link.draw(1, n, 25.0, seed=0, indices=[17])
    for user in n:
        torch.testing.assert_close(state.noise[user][2:3], single.noise[user], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(state.sinr[user][2:3], single.sinr[user], rtol=1e-3, atol=1e-3)
        assert state.effective_noise_var[user].isfinite().all()
    if "power_control_std_db" not in impairments:
        clean = ofdm_link(**base, amplifier_backoff_db=6.0).draw(4, n, 25.0, seed=0, indices=[9, 2, 17, 3])
        assert state.effective_snr_db["audio"] < clean.effective_snr_db["audio"] + 0.5


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"impairments.phase_noice.*did you mean 'phase_noise'"):
        ofdm_link(impairments={"phase_noice": 1.0})
    with pytest.raises(UserError, match=r"impairments.frequency_offset: 0.7 is not within 0 to 0.5"):
        ofdm_link(impairments={"frequency_offset": 0.7})
