"""Sionna's blocks on the installed engine, with the interface of Sionna 2: torch tensors in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokcom_phy.radio.engine import engine
from tokcom_phy.radio.mersenne_twister import seed_generator

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

if TYPE_CHECKING or engine() == "torch":
    import torch
    from sionna.phy import config
    from sionna.phy.channel import (
        GenerateFlatFadingChannel,
        cir_to_ofdm_channel,
        gen_single_sector_topology,
        subcarrier_frequencies,
    )
    from sionna.phy.channel.tr38901 import CDL, TDL, ChannelCoefficientsGenerator, PanelArray, RMa, UMa, UMi
    from sionna.phy.fec.crc import CRCDecoder, CRCEncoder
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder
    from sionna.phy.mapping import Demapper, Mapper
    from sionna.phy.ofdm import (
        LinearInterpolator,
        NearestNeighborInterpolator,
        ResourceGrid,
        tdl_freq_cov_mat,
        tdl_time_cov_mat,
    )
    from sionna.phy.utils import rand

    DIAGONAL_LOADING = True
    """Whether Sionna's LMMSE interpolation loads the diagonal of the covariance that it inverts."""

    def default_device() -> str:
        """Sionna's default device; in distributed training the GPU of this process."""
        return f"cuda:{torch.cuda.current_device()}" if config.device.startswith("cuda") else config.device

    class _RayPower(ChannelCoefficientsGenerator):
        """Sionna's step 11 of TR 38.901, section 7.5, with a last path that is the root of the power of all rays."""

        def _step_11(
            self, phi: Any, topology: Any, k_factor: Any, rays: Any, t: Any, c_ds: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            h, delays = super()._step_11(phi, topology, k_factor, rays, t, c_ds)
            scattered = self._step_11_nlos(phi, topology, rays, t[:1]).abs().square().sum((3, 4)).mean((3, 4, 5))
            sight = self._step_11_los(topology, t[:1]).abs().square().mean((3, 4, 5, 6))
            power = scattered.where(~topology.los, (k_factor * sight + scattered) / (k_factor + 1))
            path = power.sqrt().to(h)[:, :, :, None, None, None, None].expand(*h.shape[:3], 1, *h.shape[4:])
            return torch.cat([h, path], dim=3), torch.cat([delays, torch.zeros_like(delays[..., :1])], dim=3)

    def large_scale_path(model: Any) -> None:
        """Let a model of a sector append a path whose coefficient is the root of a link's large-scale power.

        That is the sum of |a|² over all rays, mean over the antennas, times path loss and shadowing: where rays fade
        against each other, |a|² of the paths that they make up is no constant.
        """
        scenario = model._scenario
        model._cir_sampler = _RayPower(
            scenario.carrier_frequency, scenario.ut_array, scenario.bs_array, subclustering=True, device=model.device
        )

    def basic_path_loss_db(
        model: str, distance_m: float, carrier_frequency: float, line_of_sight: bool, *heights_m: float
    ) -> float:
        """Path loss of TR 38.901, section 7.4.1 [dB]; see `tokcom_phy.radio.path_loss`."""
        antenna = PanelArray(1, 1, "single", "V", "omni", carrier_frequency, device="cpu")
        options = {} if model == "rma" else {"o2i_model": "low"}
        sector = {"umi": UMi, "uma": UMa, "rma": RMa}[model](
            carrier_frequency=carrier_frequency,
            ut_array=antenna,
            bs_array=antenna,
            direction="uplink",
            device="cpu",
            **options,
        )
        base, user = (
            torch.tensor([[[x, 0.0, height]]]) for x, height in zip((0.0, distance_m), heights_m, strict=True)
        )
        nothing = torch.zeros(1, 1, 3)
        sector.set_topology(user, base, nothing, nothing, nothing, torch.zeros(1, 1, dtype=torch.bool), line_of_sight)
        return float(sector._scenario.basic_pathloss)

    def unwrapped(block: Any) -> Any:
        """Sionna's own object."""
        return block

    @contextmanager
    def seeded(seed: int, device: str) -> Iterator[None]:
        """Seed Sionna's process-global generator, and restore its state on exit."""
        generator = config.torch_rng(device)
        state = generator.get_state()
        seed_generator(generator, seed)
        try:
            yield
        finally:
            generator.set_state(state)

else:
    from tokcom_phy.radio.sionna_tensorflow import (
        CDL,
        DIAGONAL_LOADING,
        TDL,
        CRCDecoder,
        CRCEncoder,
        Demapper,
        GenerateFlatFadingChannel,
        LDPC5GDecoder,
        LDPC5GEncoder,
        LinearInterpolator,
        Mapper,
        NearestNeighborInterpolator,
        PanelArray,
        ResourceGrid,
        RMa,
        UMa,
        UMi,
        basic_path_loss_db,
        cir_to_ofdm_channel,
        default_device,
        gen_single_sector_topology,
        large_scale_path,
        rand,
        seeded,
        subcarrier_frequencies,
        tdl_freq_cov_mat,
        tdl_time_cov_mat,
        unwrapped,
    )
