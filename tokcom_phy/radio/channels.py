"""Sionna's channels: a frequency response per user, antenna and resource element."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.antennas import base_array, user_array
from tokcom_phy.radio.materials import check_materials
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.prefix import outside_power, window_gain
from tokcom_phy.radio.raytracing import TracedPaths, check_tracing, scene_file, traced_file, traced_paths
from tokcom_phy.radio.seeding import BLOCK, entropy, sionna_seed
from tokcom_phy.radio.sionna import (
    CDL,
    TDL,
    RMa,
    UMa,
    UMi,
    cir_to_ofdm_channel,
    gen_single_sector_topology,
    large_scale_path,
    subcarrier_frequencies,
    tdl_freq_cov_mat,
    tdl_time_cov_mat,
)
from tokcom_phy.utils.memory import check_memory


class Response(NamedTuple):
    """A block of realisations of a channel, as functions of OFDM symbols counted from the start of the transmission.

    Attributes
    ----------
    within : function of symbols and subcarriers
        Frequency responses there, complex64 [BLOCK, num_rx_ant, users, symbols, subcarriers].
    outside : function of symbols
        Power outside the receiver's window, mean over the antennas, float32 [BLOCK, users, symbols].
    """

    within: Callable[[Sequence[int], slice], Tensor]
    outside: Callable[[Sequence[int]], Tensor]


_PATHS, _RAYS = 24, 20
"""Most paths of a model of TR 38.901, and rays of a path, by which Sionna makes it fade."""

_DROPS = 32
"""Blocks of realisations whose users give the mean power of a sector."""

_RELEASE = "16.1"
"""Release of TR 38.901 of the UMi, UMa and RMa tables: the latest that both engines have."""


class Channel(ABC):
    """A multiuser uplink channel with E|h|² = 1 per user and receive antenna.

    Parameters
    ----------
    config : OfdmConfig
    device : str
    """

    def __init__(self, config: OfdmConfig, device: str):
        self.config = config
        self.device = device
        self.frequencies = subcarrier_frequencies(config.num_subcarriers, config.subcarrier_spacing, device=device)
        self.useful_duration = 1 / config.subcarrier_spacing
        self.prefix_duration = config.cyclic_prefix_length / config.num_subcarriers / config.subcarrier_spacing
        self.symbol_duration = self.useful_duration + self.prefix_duration

    def check_drawable(self) -> None:  # noqa: B027  most channels need nothing
        """Raise a `UserError` if this machine lacks what realisations are drawn with."""

    def memory(self, num_symbols: int) -> int:
        """Estimate of the memory that a block of that many OFDM symbols takes beside its responses [bytes]."""
        return 0

    @abstractmethod
    def draw(
        self, seed: int, block: int, users: Sequence[int], num_symbols: int, late: Tensor | None = None
    ) -> Response:
        """Draw one block of realisations; each user's and symbol's channel is independent of how many are drawn.

        Parameters
        ----------
        seed, block : int
        users : positions in ``config.users``
        num_symbols : int
            OFDM symbols of the whole transmission.
        late : float32 [BLOCK, users], optional
            How late the paths are in the receiver's window [s]; that turns no response, but takes power outside.

        Returns
        -------
        Response
        """

    def response(
        self, seed: int, block: int, users: Sequence[int], symbols: Sequence[int], subcarriers: slice
    ) -> Tensor:
        """Draw a block and evaluate its frequency responses; see `draw`."""
        return self.draw(seed, block, users, max(symbols) + 1).within(symbols, subcarriers)

    def covariances(self) -> tuple[Tensor, Tensor]:
        """Covariance over the subcarriers and over the OFDM symbols of a slot, for LMMSE interpolation.

        Estimated from realisations of the channel itself.

        Returns
        -------
        complex64 [num_subcarriers, num_subcarriers], complex64 [num_ofdm_symbols, num_ofdm_symbols]
        """
        users, symbols = range(len(self.config.users)), range(self.config.num_ofdm_symbols)
        samples = 16 * BLOCK * self.config.num_rx_ant * len(users) * len(symbols) * self.config.num_subcarriers
        check_memory(
            f"channel {self.config.channel} under interpolation 'lmmse'",
            2 * 8 * samples,
            self.device,
            "lower num_rx_ant, num_subcarriers or num_ofdm_symbols",
        )
        h = torch.cat([self.response(0, block, users, symbols, slice(None)) for block in range(16)])
        over_time, over_frequency = h.movedim(3, -1).flatten(0, -2), h.flatten(0, -2)
        return _covariance(over_frequency), _covariance(over_time)


def _covariance(samples: Tensor) -> Tensor:
    """Sample covariance [n, n] of zero-mean samples [m, n]."""
    return samples.mT @ samples.conj() / len(samples)


class PathChannel(Channel):
    """A channel made of propagation paths."""

    def memory(self, num_symbols: int) -> int:
        at_once = 1 if isinstance(self, TdlChannel) else len(self.config.users)
        elements = BLOCK * self.config.num_rx_ant * _PATHS * num_symbols
        return 8 * elements * (2 * _RAYS * at_once + 2 * len(self.config.users))

    @abstractmethod
    def paths(self, seed: int, block: int, users: Sequence[int], num_symbols: int) -> tuple[Tensor, Tensor]:
        """Propagation paths of one block of realisations; independent of how many users and symbols are drawn.

        Parameters
        ----------
        seed, block : int
        users : positions in ``config.users``
        num_symbols : int
            OFDM symbols; the paths are sampled at their starts.

        Returns
        -------
        a : complex64 [BLOCK, 1, num_rx_ant, users, 1, paths, num_symbols]
            Path coefficients, in Sionna's order of axes.
        tau : float32 [BLOCK or 1, 1, users, paths]
            Delays [s]; one entry if they are common to all realisations.
        """

    def draw(
        self, seed: int, block: int, users: Sequence[int], num_symbols: int, late: Tensor | None = None
    ) -> Response:
        a, tau = self.paths(seed, block, users, num_symbols)
        if not self.config.self_interference:
            return Response(
                lambda symbols, band: self._response(a[..., symbols], tau, band),
                lambda symbols: a.new_zeros(BLOCK, len(users), len(symbols), dtype=torch.float32),
            )
        arrival = tau if late is None else tau + late[:, None, :, None]
        gain = window_gain(arrival, self.prefix_duration, self.useful_duration)
        seen = a * gain[:, :, None, :, None, :, None] if (gain < 1).any() else a
        return Response(
            lambda symbols, band: self._response(seen[..., symbols], tau, band),
            lambda symbols: outside_power(a[:, 0, :, :, 0][..., symbols], gain[:, 0]),
        )

    def _response(self, a: Tensor, tau: Tensor, subcarriers: slice) -> Tensor:
        return cir_to_ofdm_channel(self.frequencies[subcarriers], a, tau)[:, 0, :, :, 0]


class TdlChannel(PathChannel):
    """Tapped delay lines TDL-A…E: antennas and users fade independently."""

    def __init__(self, config: OfdmConfig, device: str):
        super().__init__(config, device)
        self.model = TDL(
            config.channel[-1],
            config.delay_spread,
            config.carrier_frequency,
            min_speed=config.speed,
            num_rx_ant=config.num_rx_ant,
            device=device,
        )

    def paths(self, seed: int, block: int, users: Sequence[int], num_symbols: int) -> tuple[Tensor, Tensor]:
        drawn = []
        for user in users:
            with sionna_seed(self.device, seed, block, "channel", user):
                drawn.append(self.model(BLOCK, num_symbols, 1 / self.symbol_duration))
        return torch.cat([a for a, _ in drawn], dim=3), torch.cat([tau[:1] for _, tau in drawn], dim=2)

    def covariances(self) -> tuple[Tensor, Tensor]:
        c, model = self.config, self.config.channel[-1]
        over_frequency = tdl_freq_cov_mat(
            model, c.subcarrier_spacing, c.num_subcarriers, c.delay_spread, device=self.device
        )
        over_time = tdl_time_cov_mat(
            model, c.speed, c.carrier_frequency, self.symbol_duration, c.num_ofdm_symbols, device=self.device
        )
        return over_frequency, over_time


class CdlChannel(PathChannel):
    """Clustered delay lines CDL-A…E, received by a uniform linear array from a different direction for each user.

    The directions spread the users evenly over a sector of 120°. An antenna at ±45° takes half of a vertical wave, and
    half of the 1/κ that scattering turns horizontal: its power is ½(1 + 1/κ) of a vertical antenna's, a line of sight
    aside, and scaled to one.
    """

    _XPR_DB: ClassVar = {"A": 10.0, "B": 8.0, "C": 7.0, "D": 11.0, "E": 8.0}
    """Cross-polarisation ratio κ [dB]: TR 38.901, tables 7.7.1-1 to 5."""
    _SCATTERED: ClassVar = {"D": 0.1122, "E": 0.1058}
    """Share of the power that is not the line of sight's, where there is one: tables 7.7.1-4 and 5."""

    def __init__(self, config: OfdmConfig, device: str):
        super().__init__(config, device)
        num_users = len(config.users)
        azimuth = torch.pi * 2 / 3 * ((torch.arange(num_users, device=device) + 0.5) / num_users - 0.5)
        orientation = torch.stack([azimuth, torch.zeros_like(azimuth), torch.zeros_like(azimuth)], dim=1)
        self.model = CDL(
            config.channel[-1],
            config.delay_spread,
            config.carrier_frequency,
            ut_array=user_array(config, device),
            bs_array=base_array(config, "omni", device),
            direction="uplink",
            bs_orientation=orientation.repeat_interleave(BLOCK, dim=0),
            min_speed=config.speed,
            max_speed=config.speed,
            device=device,
        )

    def paths(self, seed: int, block: int, users: Sequence[int], num_symbols: int) -> tuple[Tensor, Tensor]:
        num_users = len(self.config.users)
        with sionna_seed(self.device, seed, block, "channel"):
            a, tau = self.model(num_users * BLOCK, num_symbols, 1 / self.symbol_duration)
        a = a.unflatten(0, (num_users, BLOCK)).movedim(0, 3)[:, :, :, users, 0]
        return a / self._antenna_power**0.5, tau[:1, :, [0] * len(users)]

    @property
    def _antenna_power(self) -> float:
        """Power that an antenna of the base station takes of a user's unit power."""
        if self.config.polarization == "single":
            return 1.0
        model = self.config.channel[-1]
        return (1 + self._SCATTERED.get(model, 1.0) * 10 ** (-self._XPR_DB[model] / 10)) / 2


class PositionedChannel(PathChannel):
    """A channel of users at random positions, which differ in path loss, shadowing and antenna gain.

    Power control makes up for what these take of a user's power: the sum of |a|² over its paths, mean over the
    antennas. It never looks at |h|², in which the paths add up and fade. Without it, powers are relative to the mean
    [dB] over positions.
    """

    def covariances(self) -> tuple[Tensor, Tensor]:
        if self.config.power_control == "large-scale":
            return super().covariances()
        twin = self.config.model_copy(update={"power_control": "large-scale"})
        return type(self)(twin, self.device).covariances()

    @cached_property
    @abstractmethod
    def mean_power(self) -> float:
        """Geometric mean of the power of users over positions."""

    def _scaled(self, a: Tensor, power: Tensor) -> Tensor:
        """Paths of users whose large-scale power is known, float32 [BLOCK, users], as the power control leaves them."""
        if self.config.power_control == "none":
            return a / self.mean_power**0.5
        return a / power.sqrt()[:, None, None, :, None, None, None]


class SectorChannel(PositionedChannel):
    """UMi, UMa and RMa: users dropped at random in a sector of 120°."""

    _SCENARIOS: ClassVar = {"UMi": UMi, "UMa": UMa, "RMa": RMa}

    def __init__(self, config: OfdmConfig, device: str):
        super().__init__(config, device)
        scenario = self._SCENARIOS[config.channel]
        controlled = config.power_control == "large-scale"
        penetration = {} if scenario is RMa else {"o2i_model": "low"}
        self.model = scenario(
            carrier_frequency=config.carrier_frequency,
            ut_array=user_array(config, device),
            bs_array=base_array(config, "38.901", device),
            direction="uplink",
            enable_pathloss=not controlled,
            enable_shadow_fading=not controlled,
            spec_version=_RELEASE,
            device=device,
            **penetration,
        )
        large_scale_path(self.model)

    @cached_property
    def mean_power(self) -> float:
        users = range(len(self.config.users))
        return _geometric_mean(torch.cat([self._drop(0, block, users, 1)[2] for block in range(_DROPS)]))

    def paths(self, seed: int, block: int, users: Sequence[int], num_symbols: int) -> tuple[Tensor, Tensor]:
        a, tau, power = self._drop(seed, block, users, num_symbols)
        return self._scaled(a, power), tau

    def _drop(self, seed: int, block: int, users: Sequence[int], num_symbols: int) -> tuple[Tensor, Tensor, Tensor]:
        """Paths of dropped users as `paths`, and their large-scale power, float32 [BLOCK, users]."""
        with sionna_seed(self.device, seed, block, "channel"):
            topology = gen_single_sector_topology(
                BLOCK,
                len(self.config.users),
                self.config.channel.lower(),
                min_ut_velocity=self.config.speed,
                max_ut_velocity=self.config.speed,
                device=self.device,
            )
            # Without the reset Sionna would reuse the previous large-scale parameters.
            self.model.reset_topology()
            self.model.set_topology(*topology)
            a, tau = self.model(num_symbols, 1 / self.symbol_duration)
        a, tau = a[:, :, :, users], tau[:, :, users]
        return a[..., :-1, :], tau[..., :-1], a[:, 0, 0, :, 0, -1, 0].abs().square()


class RayTracedChannel(PositionedChannel):
    """Users at random, distinct positions in the streets of a scene.

    Each user moves in its own direction; the scene is static, and delays and angles of the paths stay constant.

    Raises
    ------
    UserError
        If there is no such scene; at the first draw, also as `tokcom_phy.radio.raytracing.trace`.
    """

    def __init__(self, config: OfdmConfig, device: str):
        super().__init__(config, device)
        assert config.scene is not None
        self.scene = config.scene
        self._array = config.num_rx_ant, config.polarization
        check_materials(scene_file(self.scene.name), config.carrier_frequency)

    def check_drawable(self) -> None:
        if not traced_file(self.scene, self.config.carrier_frequency, *self._array).exists():
            check_tracing()

    @cached_property
    def traced(self) -> TracedPaths:
        """Paths of all positions, on the link's device; traced on first use unless cached."""
        self.check_drawable()
        paths = traced_paths(self.scene, self.config.carrier_frequency, *self._array)
        return TracedPaths(*(tensor.to(self.device) for tensor in paths))

    def paths(self, seed: int, block: int, users: Sequence[int], num_symbols: int) -> tuple[Tensor, Tensor]:
        traced = self.traced
        chosen, start = self.positions(seed, block)
        position = torch.from_numpy(chosen[:, list(users)]).to(self.device)
        a, tau, doppler = traced.a[position], traced.tau[position], traced.doppler[position]
        power = traced.gain[position]
        distance = self.config.speed * self.symbol_duration * torch.arange(num_symbols, device=self.device)
        if start is not None:
            distance = distance + start[:, list(users), None, None].to(self.device)
        turns = torch.exp(2j * torch.pi * doppler[..., None] * distance)
        a = (a[..., None] * turns[:, :, None]).transpose(1, 2)[:, None, :, :, None]
        return self._scaled(a, power), tau[:, None]

    def positions(self, seed: int, block: int) -> tuple[np.ndarray, Tensor | None]:
        """Where the users of a block begin: which of the `traced` positions, int [BLOCK, users], and how far each has
        moved from there along its heading, float32 [BLOCK, users] [m], or None for not at all."""
        rng = np.random.default_rng(entropy(seed, block, "channel"))
        drawn = [rng.choice(len(self.traced.a), len(self.config.users), replace=False) for _ in range(BLOCK)]
        return np.stack(drawn), None

    @cached_property
    def mean_power(self) -> float:
        return _geometric_mean(self.traced.gain)


def _geometric_mean(powers: Tensor) -> float:
    return float(powers.double().log().mean().exp())
