"""LMMSE interpolation is Sionna's, on either engine; the two-dimensional filter errs less."""

import pytest
import torch
from stock import LMMSEChannelEstimator
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.sionna import ResourceGrid

BATCH, ANTENNAS, SUBCARRIERS = 2, 3, 36
TOLERANCE = {torch.complex64: 1e-4, torch.complex128: 1e-6}
"""In single precision up to 15 dB: at 20 dB Sionna 1.2's error variance is 1.4e-4 from its own in double precision."""
SLOT = list(range(14))


def ofdm_link(**overrides: object) -> OfdmLink:
    link = load_link(
        "ofdm-tdl-c",
        device="cpu",
        **{"num_subcarriers": SUBCARRIERS, "num_rx_ant": ANTENNAS, "speed": 30.0, **overrides},
    )
    assert isinstance(link, OfdmLink)
    return link


def received(link: OfdmLink, no: Tensor, dtype: torch.dtype) -> Tensor:
    """What a slot of pilots alone arrives as, complex [b, num_rx_ant, symbols, subcarriers]."""
    users, estimator = range(len(link.config.users)), link.estimator
    h = link.channel.response(1, 0, users, SLOT, slice(None))[:BATCH].to(dtype)
    noise = torch.randn(BATCH, ANTENNAS, 14, SUBCARRIERS, dtype=dtype, generator=torch.Generator().manual_seed(0))
    sent = torch.zeros(len(users), 14, SUBCARRIERS, dtype=dtype)
    sent[:, sorted(link.config.pilot_symbols)] = estimator.pilots.to(dtype)
    return (h * sent).sum(2) + no.to(noise.real.dtype).sqrt()[:, None, None, None] * noise


def sionna(link: OfdmLink, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
    """Sionna's h_hat [b, num_rx_ant, users, symbols, subcarriers] and err_var [b, users, symbols, subcarriers]."""
    c, precision = link.config, {torch.complex64: "single", torch.complex128: "double"}[y.dtype]
    pilot_symbols = {"pilot_pattern": "kronecker", "pilot_ofdm_symbol_indices": sorted(c.pilot_symbols)}
    size = (c.num_ofdm_symbols, c.num_subcarriers, c.subcarrier_spacing)
    grid = ResourceGrid(*size, num_tx=len(c.users), **pilot_symbols, precision=precision, device="cpu")
    grid.pilot_pattern.pilots = link.estimator.grid.pilot_pattern.pilots.to(y.dtype)
    over_frequency, over_time = (covariance.to(y.dtype) for covariance in link.channel.covariances())
    estimator = LMMSEChannelEstimator(grid, over_time, over_frequency, order="f-t", precision=precision, device="cpu")
    h_hat, err_var = estimator(y[:, None], no.to(y.real.dtype))
    return h_hat[:, 0, :, :, 0], err_var[:, 0, 0, :, 0]


def ours(link: OfdmLink, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
    estimator, num_users = link.estimator, len(link.config.users)
    h_hat, err_var = [], []
    for user in range(num_users):
        comb = slice(user, None, num_users)
        at_pilots = y[:, :, sorted(link.config.pilot_symbols), comb] / estimator.pilots[user, :, comb]
        estimate, variance = estimator.filters[user](at_pilots, no / num_users, SLOT)
        h_hat.append(estimate)
        err_var.append(variance)
    return torch.stack(h_hat, 2), torch.stack(err_var, 1)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["single", "double"])
@pytest.mark.parametrize("settings", [{}, {"pilot_symbols": [2, 5, 8, 11]}, {"channel": "CDL-C"}], ids=str)
def test_equals_sionna(settings: dict[str, object], dtype: torch.dtype) -> None:
    link = ofdm_link(interpolation="lmmse", **settings)
    for snr_db in ([-10.0, 0.0], [5.0, 15.0]):
        no = 10 ** (-torch.tensor(snr_db, dtype=torch.float64) / 10)
        y = received(link, no, dtype)
        for found, expected in zip(ours(link, y, no), sionna(link, y, no), strict=True):
            assert found.dtype == expected.dtype
            for value, reference in zip(found, expected, strict=True):
                assert (value - reference).norm() < TOLERANCE[dtype] * reference.norm()


@pytest.mark.parametrize("interpolation", ["lmmse", "wiener"])
def test_noise_levels_do_not_mix(interpolation: str) -> None:
    """A batch of several noise variances equals each by itself."""
    link = ofdm_link(interpolation=interpolation)
    no = torch.tensor([1.0, 0.01], dtype=torch.float64)
    y = received(link, no, torch.complex64)
    for both, *single in zip(ours(link, y, no), *(ours(link, y[[i]], no[[i]]) for i in (0, 1)), strict=True):
        torch.testing.assert_close(both, torch.cat(single), rtol=1e-5, atol=1e-6)


def test_two_dimensional_filter_is_the_wiener_filter_of_the_grid() -> None:
    """Against the normal equations over all pilots of a slot at once."""
    link = ofdm_link(interpolation="wiener")
    no = torch.tensor([0.1, 0.3], dtype=torch.float64)
    y = received(link, no, torch.complex128)
    h_hat, err_var = ours(link, y, no)
    over_frequency, over_time = (r.to(torch.complex128) for r in link.channel.covariances())
    grid = torch.kron(over_time / over_time.diagonal().real.mean(), over_frequency)
    for user, example in ((0, 0), (2, 1)):
        comb = torch.arange(user, SUBCARRIERS, 3)
        at = torch.cat([t * SUBCARRIERS + comb for t in (2, 11)])
        weights = grid[:, at] @ torch.linalg.inv(grid[at][:, at] + no[example] / 3 * torch.eye(len(at)))
        pilots = link.estimator.pilots[user, :, comb].to(torch.complex128)
        observed = (y[example][:, [2, 11]][:, :, comb] / pilots).flatten(1)
        expected = (observed @ weights.mT).unflatten(1, (14, SUBCARRIERS))
        torch.testing.assert_close(h_hat[example, :, user], expected, rtol=1e-6, atol=1e-7)
        variance = (grid.diagonal() - (weights * grid[:, at].conj()).sum(1)).real
        torch.testing.assert_close(
            err_var[example, user], variance.unflatten(0, (14, SUBCARRIERS)), rtol=1e-6, atol=1e-9
        )


def test_the_wiener_filter_errs_least_and_knows_by_how_much() -> None:
    errors = {}
    for interpolation in ("linear", "lmmse", "wiener"):
        link = ofdm_link(interpolation=interpolation, pilot_symbols=[2, 5, 8, 11])
        h = torch.cat([link.channel.response(2, block, range(3), SLOT, slice(None)) for block in range(32)])[
            :, :, :, None
        ]
        amplitude = torch.ones(len(h), 3)
        noise = torch.randn(len(h), ANTENNAS, 1, 4, SUBCARRIERS, dtype=torch.complex64)
        at_pilots = h[..., [2, 5, 8, 11], :]
        h_hat, err_var = link.estimator.estimate(at_pilots, noise, amplitude, [0, 1, 2], SLOT)
        errors[interpolation] = (h_hat - h).abs().square().mean((1, 2, 3, 4, 5))
    sem = errors["wiener"].std() / len(h) ** 0.5
    assert abs(errors["wiener"].mean() - err_var.mean()) < 4 * sem
    # 0.9 dB less than by one axis after the other, with four pilot symbols in a slot at 30 m/s.
    assert errors["wiener"].mean() < 0.9 * errors["lmmse"].mean() < 0.3 * errors["linear"].mean()
