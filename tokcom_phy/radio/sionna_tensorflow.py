"""Sionna 1.2 with the interface of Sionna 2: each block runs in TensorFlow, with torch tensors in and out.

Blocks are compiled by ``tf.function``; tensors are shared without a copy (`tokcom_phy.bridge`). TensorFlow computes on
its own default device; results are moved to the link's device.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from tokcom_phy.bridge import to_tensorflow, to_torch
from tokcom_phy.bridge.runtime import tf
from tokcom_phy.utils.errors import UserError

# TensorFlow first, quietly: Sionna imports it too.
from sionna.phy import channel, config, mapping, ofdm  # isort: skip
from sionna.phy.channel import tr38901  # isort: skip
from sionna.phy.fec import crc, ldpc  # isort: skip

__all__ = [
    "CDL",
    "DIAGONAL_LOADING",
    "TDL",
    "CRCDecoder",
    "CRCEncoder",
    "Demapper",
    "GenerateFlatFadingChannel",
    "LDPC5GDecoder",
    "LDPC5GEncoder",
    "LinearInterpolator",
    "Mapper",
    "NearestNeighborInterpolator",
    "PanelArray",
    "RMa",
    "ResourceGrid",
    "UMa",
    "UMi",
    "adapted",
    "basic_path_loss_db",
    "cir_to_ofdm_channel",
    "default_device",
    "gen_single_sector_topology",
    "large_scale_path",
    "rand",
    "seeded",
    "subcarrier_frequencies",
    "tdl_freq_cov_mat",
    "tdl_time_cov_mat",
    "unwrapped",
]

# Each link and each code block is compiled once, which TensorFlow reports as retracing.
tf.get_logger().addFilter(lambda record: "triggered tf.function retracing" not in record.getMessage())

DIAGONAL_LOADING = False
"""Whether Sionna's LMMSE interpolation loads the diagonal of the covariance that it inverts."""

_LOS_ANGLE_OF_ARRIVAL = math.acos(0.7)
"""The specular path of TDL-D and TDL-E is shifted by 0.7 of the maximum Doppler shift (TR 38.901, 7.7.2)."""


def default_device() -> str:
    """TensorFlow's device, by its name in torch."""
    return "cuda:0" if torch.cuda.is_available() and tf.config.list_physical_devices("GPU") else "cpu"


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seed Sionna's process-global generator, and restore its state on exit."""
    generator = config.tf_rng
    state = tf.identity(generator.state)
    # Philox: a counter of two words, then the key.
    generator.reset(tf.constant([0, 0, seed - 2**63], tf.int64))
    try:
        yield
    finally:
        generator.reset(state)


def _inward(value: Any) -> Any:
    """An argument of a block, converted for Sionna."""
    if isinstance(value, Block):
        return value.block
    return to_tensorflow(value) if isinstance(value, Tensor) else value


def _outward(value: Any, device: str) -> Any:
    """A result of a Sionna block, converted to torch."""
    if isinstance(value, tuple | list):
        return tuple(_outward(part, device) for part in value)
    return to_torch(value).to(device) if isinstance(value, tf.Tensor) else value


class Block:
    """A Sionna 1.2 object with torch tensors in and out.

    Parameters
    ----------
    *args, **kwargs
        Those of ``kind``.
    device : str, optional
        Torch device of the results.

    Attributes
    ----------
    block
        The Sionna object.
    """

    kind: ClassVar[Callable[..., Any]]
    autograph: ClassVar[bool] = False
    """Whether the block needs AutoGraph for data-dependent Python branches; compiling then takes ten times longer."""

    def __init__(self, *args: Any, device: str | None = None, **kwargs: Any):
        self.device = device or default_device()
        self.block = self.kind(*map(_inward, args), **{name: _inward(value) for name, value in kwargs.items()})
        self._compiled = tf.function(self._call, autograph=self.autograph, reduce_retracing=True)

    def _call(self, *inputs: Any) -> Any:
        """One call of the block on TensorFlow tensors; this is compiled."""
        return self.block(*inputs)

    def __call__(self, *inputs: Any) -> Any:
        return _outward(self._compiled(*map(_inward, inputs)), self.device)


def unwrapped(block: Block) -> Any:
    """Sionna's own object."""
    return block.block


def adapted(kind: Callable[..., Any]) -> type[Block]:
    """A Sionna 1.2 class as a `Block`, such as ``adapted(sionna.phy.ofdm.LSChannelEstimator)``."""
    return type(kind.__name__, (Block,), {"kind": staticmethod(kind), "__doc__": kind.__doc__})


def _function(kind: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, device: str | None = None, **kwargs: Any) -> Any:
        inputs = {name: _inward(value) for name, value in kwargs.items()}
        return _outward(kind(*map(_inward, args), **inputs), device or default_device())

    call.__doc__ = kind.__doc__
    return call


class _CRCEncoder(crc.CRCEncoder):
    """Sionna's, whose generator matrix outlives the function that first needed it.

    It is built anew for each block length, by whichever of encoder and decoder is compiled then.
    """

    def build(self, input_shape: Any) -> None:
        with tf.init_scope():
            super().build(input_shape)


CRCEncoder = adapted(_CRCEncoder)
CRCDecoder = adapted(crc.CRCDecoder)
LDPC5GEncoder = adapted(ldpc.LDPC5GEncoder)
LDPC5GDecoder = adapted(ldpc.LDPC5GDecoder)
Mapper = adapted(mapping.Mapper)
Demapper = adapted(mapping.Demapper)
GenerateFlatFadingChannel = adapted(channel.GenerateFlatFadingChannel)
PanelArray = adapted(tr38901.PanelArray)

subcarrier_frequencies = _function(channel.subcarrier_frequencies)
gen_single_sector_topology = _function(channel.gen_single_sector_topology)
tdl_freq_cov_mat = _function(ofdm.tdl_freq_cov_mat)
rand = _function(config.tf_rng.uniform)
"""Uniform numbers of [0, 1) from Sionna's generator: float32 of a shape."""


def tdl_time_cov_mat(*args: Any, device: str | None = None) -> Tensor:
    """Sionna's, with the Doppler shift of the line of sight that Sionna 2 has."""
    call = _function(ofdm.tdl_time_cov_mat)
    return call(*args, los_angle_of_arrival=_LOS_ANGLE_OF_ARRIVAL, device=device)


def _count(number: int) -> tf.Tensor:
    """The number of time steps as a tensor, so that one trace serves all numbers; Sionna expects a float."""
    return tf.constant(number, tf.float32)


class TDL(Block):
    """Sionna's TDL, with the Doppler shift of the line of sight that Sionna 2 has."""

    kind = tr38901.TDL

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, los_angle_of_arrival=_LOS_ANGLE_OF_ARRIVAL, **kwargs)

    def __call__(self, batch_size: int, num_time_steps: int, sampling_frequency: float) -> tuple[Tensor, Tensor]:
        drawn: tuple[Tensor, Tensor] = super().__call__(batch_size, _count(num_time_steps), sampling_frequency)
        return drawn


class CDL(Block):
    """Sionna's CDL, extended to several orientations of the base station.

    Parameters
    ----------
    bs_orientation : float32 [batch_size, 3]
        Orientation for each example [rad]; equal ones are consecutive.
    """

    kind = tr38901.CDL

    def __init__(self, *args: Any, bs_orientation: Tensor, **kwargs: Any):
        orientations, counts = torch.unique_consecutive(bs_orientation, dim=0, return_counts=True)
        super().__init__(*args, bs_orientation=orientations[0], **kwargs)
        others = [CDL(*args, bs_orientation=row[None], **kwargs) for row in orientations[1:]]
        self._models = [self.block, *(other.block for other in others)]
        self._counts = counts.tolist()

    def _call(self, num_time_steps: tf.Tensor, sampling_frequency: float) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = [
            model(count, num_time_steps, sampling_frequency)
            for model, count in zip(self._models, self._counts, strict=True)
        ]
        return tuple(tf.concat(parts, axis=0) for parts in zip(*drawn, strict=True))

    def __call__(self, batch_size: int, num_time_steps: int, sampling_frequency: float) -> tuple[Tensor, Tensor]:
        drawn: tuple[Tensor, Tensor] = super().__call__(_count(num_time_steps), sampling_frequency)
        return drawn


class _Sector(Block):
    """A channel model of a sector: its topology is set and its channel drawn in one compiled call."""

    autograph = True
    _topology: tuple[Tensor, ...]

    def __init__(self, *args: Any, spec_version: str, **kwargs: Any):
        if spec_version != "16.1":
            raise UserError(f"Sionna 1.2 has the tables of TR 38.901 release 16.1, not of {spec_version}")
        super().__init__(*args, **kwargs)

    def reset_topology(self) -> None:
        """No effect: Sionna 1.2 keeps no state between topologies."""

    def set_topology(self, *topology: Tensor) -> None:
        """As in Sionna; used by the next call."""
        self._topology = topology

    def _call(self, num_time_steps: tf.Tensor, sampling_frequency: float, *topology: tf.Tensor) -> Any:
        self.block.set_topology(*topology)
        return self.block(num_time_steps, sampling_frequency)

    def __call__(self, num_time_steps: int, sampling_frequency: float) -> tuple[Tensor, Tensor]:
        drawn: tuple[Tensor, Tensor] = super().__call__(_count(num_time_steps), sampling_frequency, *self._topology)
        return drawn


class _RayPower(tr38901.ChannelCoefficientsGenerator):
    """Sionna's step 11 of TR 38.901, section 7.5, with a last path that is the root of the power of all rays."""

    def _step_11(self, phi: Any, topology: Any, k_factor: Any, rays: Any, t: Any, c_ds: Any) -> tuple[Any, Any]:
        h, delays = super()._step_11(phi, topology, k_factor, rays, t, c_ds)
        nlos = tf.square(tf.abs(self._step_11_nlos(phi, topology, rays, t[:1])))
        scattered = tf.reduce_mean(tf.reduce_sum(nlos, axis=(3, 4)), axis=(3, 4, 5))
        sight = tf.reduce_mean(tf.square(tf.abs(self._step_11_los(topology, t[:1]))), axis=(3, 4, 5, 6))
        power = tf.where(topology.los, (k_factor * sight + scattered) / (k_factor + 1), scattered)
        root = tf.cast(tf.sqrt(power), h.dtype)[:, :, :, None, None, None, None]
        return tf.concat([h, root * tf.ones_like(h[:, :, :, :1])], axis=3), tf.pad(delays, [[0, 0]] * 3 + [[0, 1]])


def large_scale_path(model: _Sector) -> None:
    """Let a model of a sector append a path whose coefficient is the root of a link's large-scale power, as with
    Sionna 2."""
    scenario = model.block._scenario
    model.block._cir_sampler = _RayPower(
        scenario.carrier_frequency, scenario.ut_array, scenario.bs_array, subclustering=True
    )


class UMi(_Sector):
    """Urban microcell."""

    kind = tr38901.UMi


class UMa(_Sector):
    """Urban macrocell."""

    kind = tr38901.UMa


class RMa(_Sector):
    """Rural macrocell."""

    kind = tr38901.RMa


def basic_path_loss_db(
    model: str, distance_m: float, carrier_frequency: float, line_of_sight: bool, *heights_m: float
) -> float:
    """Path loss of TR 38.901, section 7.4.1 [dB]; see `tokcom_phy.radio.path_loss`."""
    antenna = tr38901.PanelArray(1, 1, "single", "V", "omni", carrier_frequency)
    options = {} if model == "rma" else {"o2i_model": "low"}
    sector = {"umi": tr38901.UMi, "uma": tr38901.UMa, "rma": tr38901.RMa}[model](
        carrier_frequency=carrier_frequency, ut_array=antenna, bs_array=antenna, direction="uplink", **options
    )
    base, user = (tf.constant([[[x, 0.0, height]]]) for x, height in zip((0.0, distance_m), heights_m, strict=True))
    nothing = tf.zeros([1, 1, 3])
    sector.set_topology(user, base, nothing, nothing, nothing, tf.zeros([1, 1], tf.bool), line_of_sight)
    scenario = sector._scenario
    # Sionna 1.2 takes the distance along the ground for that along the path.
    along_the_path = {"distance_3d": property(lambda self: self._distance_3d)}
    scenario.__class__ = type("Scenario", (type(scenario),), along_the_path)
    scenario._compute_pathloss_basic()
    return float(tf.reshape(scenario.basic_pathloss, []))


class PilotPattern(Block):
    """Sionna's pilot pattern."""

    kind = ofdm.PilotPattern

    def __init__(self, pattern: ofdm.PilotPattern, device: str):
        self.block, self.device = pattern, device

    @property
    def pilots(self) -> Tensor:
        """Pilots of each stream, complex64 [num_tx, num_streams_per_tx, num_pilots]."""
        pilots: Tensor = _outward(self.block.pilots, self.device)
        return pilots

    @pilots.setter
    def pilots(self, pilots: Tensor) -> None:
        self.block.pilots = _inward(pilots)


class ResourceGrid(Block):
    """Sionna's resource grid."""

    kind = ofdm.ResourceGrid

    @property
    def pilot_pattern(self) -> PilotPattern:
        return PilotPattern(self.block.pilot_pattern, self.device)

    @property
    def num_data_symbols(self) -> int:
        return int(self.block.num_data_symbols)


class _Interpolator(Block):
    """An interpolator; not compiled, as each is called once."""

    def __call__(self, h_hat: Tensor, err_var: Tensor) -> tuple[Tensor, Tensor]:
        interpolated: tuple[Tensor, Tensor] = _outward(self.block(_inward(h_hat), _inward(err_var)), self.device)
        return interpolated


class NearestNeighborInterpolator(_Interpolator):
    """Sionna's nearest-neighbour interpolator."""

    kind = ofdm.NearestNeighborInterpolator


class LinearInterpolator(_Interpolator):
    """Sionna's linear interpolator."""

    kind = ofdm.LinearInterpolator


def cir_to_ofdm_channel(frequencies: Tensor, a: Tensor, tau: Tensor) -> Tensor:
    """Frequency responses of paths, as Sionna's.

    Sionna computes the response of each path with coefficient one; the sum over the paths is one matrix product, as in
    Sionna 2.

    Parameters
    ----------
    frequencies : float32 [num_subcarriers]
    a : complex64 [batch, num_rx, num_rx_ant, num_tx, num_tx_ant, paths, num_time_steps]
    tau : float32 [batch, num_rx, num_tx, paths]

    Returns
    -------
    complex64 [batch, num_rx, num_rx_ant, num_tx, num_tx_ant, num_time_steps, num_subcarriers]
    """
    alone = tau.flatten(2)[..., None]
    unit = torch.ones_like(alone, dtype=a.dtype)[:, :, None, :, None, None]
    response = _outward(_responses(_inward(frequencies), _inward(unit), _inward(alone)), str(a.device))
    per_path = response[:, :, :, :, :, 0].unflatten(3, tau.shape[2:]).movedim(5, 4)
    return torch.einsum("...pn,...pf->...nf", a, per_path)


_responses = tf.function(channel.cir_to_ofdm_channel, autograph=False, reduce_retracing=True)
