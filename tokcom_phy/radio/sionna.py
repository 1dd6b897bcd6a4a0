"""Sionna's blocks on the installed engine, with the interface of Sionna 2: torch tensors in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokcom_phy.radio.engine import engine

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
    "cir_to_ofdm_channel",
    "default_device",
    "gen_single_sector_topology",
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
    from sionna.phy.channel.tr38901 import CDL, TDL, PanelArray, RMa, UMa, UMi
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

    def unwrapped(block: Any) -> Any:
        """Sionna's own object."""
        return block

    @contextmanager
    def seeded(seed: int, device: str) -> Iterator[None]:
        """Seed Sionna's process-global generator, and restore its state on exit."""
        generator = config.torch_rng(device)
        state = generator.get_state()
        generator.manual_seed(seed)
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
        cir_to_ofdm_channel,
        default_device,
        gen_single_sector_topology,
        rand,
        seeded,
        subcarrier_frequencies,
        tdl_freq_cov_mat,
        tdl_time_cov_mat,
        unwrapped,
    )
