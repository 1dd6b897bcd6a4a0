"""Recorded channels, and the channel that a link's configuration names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tokcom_phy.radio.channels import CdlChannel, Channel, RayTracedChannel, Response, SectorChannel, TdlChannel
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.seeding import BLOCK, entropy
from tokcom_phy.utils.errors import UserError


class FileChannel(Channel):
    """Recorded channels: measured, ray-traced, or made by another simulator such as DeepMIMO.

    The file is a NumPy array (.npy), complex [realisations, num_rx_ant, users, symbols, num_subcarriers], on the OFDM
    symbols and subcarriers of the link. With one symbol the channel is static; with more, a payload must fit into
    them. Each user is scaled to E|h|² = 1 over the whole file. A realisation of the link is one of the file's, drawn at
    random.

    Raises
    ------
    UserError
        If the file is missing, is no such array, or has another shape than the link.
    """

    def __init__(self, config: OfdmConfig, device: str):
        super().__init__(config, device)
        self.path = Path(str(config.responses))
        try:
            recorded = np.lib.format.open_memmap(self.path, mode="r")
        except FileNotFoundError as error:
            raise UserError(f"no channel responses at {self.path}: give the path of a .npy file") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path} is no NumPy array: save complex responses with numpy.save") from error
        expected = (config.num_rx_ant, len(config.users), config.num_subcarriers)
        found = recorded.shape[1:3] + recorded.shape[-1:]
        if recorded.ndim != 5 or found != expected or not recorded.size or not np.iscomplexobj(recorded):
            raise UserError(
                f"{self.path} holds {recorded.dtype} {list(recorded.shape)}: save complex [realisations, "
                f"{expected[0]} antennas, {expected[1]} users, symbols, {expected[2]} subcarriers]"
            )
        power = np.mean(np.square(np.abs(recorded)), axis=(0, 1, 3, 4))
        if not np.isfinite(power).all() or not power.all():
            raise UserError(
                f"{self.path} holds a user of zero power, or values that are not finite: correct the responses"
            )
        self.recorded = recorded
        self._amplitude = torch.from_numpy(np.sqrt(power).astype(np.float32)).to(device)

    def draw(
        self, seed: int, block: int, users: Sequence[int], num_symbols: int, late: Tensor | None = None
    ) -> Response:
        available = self.recorded.shape[3]
        if 1 < available < num_symbols:
            raise UserError(
                f"{self.path} holds {available} OFDM symbols, the payload needs {num_symbols}: "
                "shorten the payload or record for longer"
            )
        chosen = np.random.default_rng(entropy(seed, block, "channel")).integers(len(self.recorded), size=BLOCK)
        recorded = self.recorded[chosen][:, :, list(users)]

        def response(symbols: Sequence[int], subcarriers: slice) -> Tensor:
            moments = [0] * len(symbols) if available == 1 else list(symbols)
            h = np.ascontiguousarray(recorded[:, :, :, moments, subcarriers], dtype=np.complex64)
            return torch.from_numpy(h).to(self.device) / self._amplitude[list(users), None, None]

        return Response(response, lambda symbols: torch.zeros(BLOCK, len(users), len(symbols), device=self.device))


def load_channel(config: OfdmConfig, device: str) -> Channel:
    """The channel that a link's configuration names."""
    family = config.channel.split("-")[0]
    kinds: dict[str, Callable[[OfdmConfig, str], Channel]] = {
        "TDL": TdlChannel,
        "CDL": CdlChannel,
        "ray": RayTracedChannel,
        "file": FileChannel,
    }
    return kinds.get(family, SectorChannel)(config, device)
