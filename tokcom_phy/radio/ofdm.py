"""OFDM uplinks: resource grid, pilots, channel estimation and multiuser combining."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from tokcom_phy.radio.channels import Channel, PathChannel, PositionedChannel
from tokcom_phy.radio.cost import Budget, Load
from tokcom_phy.radio.draw_request import DrawRequest
from tokcom_phy.radio.estimation import PilotEstimator
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.panels import SEED, Panel, draw_band_limited_delays, draw_delays, draw_peaks, draw_response
from tokcom_phy.radio.recorded import load_channel
from tokcom_phy.radio.seeding import BLOCK, at_once, blocks, with_variance
from tokcom_phy.radio.state import ANONYMOUS, LinkState
from tokcom_phy.radio.uplink import SLOTS_AT_A_TIME, Part, Uplink
from tokcom_phy.radio.waveform import OVERSAMPLING, peak_to_average_db

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class OfdmLink(Link[OfdmConfig]):
    """A link of the OFDM family; see `OfdmConfig`."""

    users: Sequence[str]
    amplifies_waveform = True
    memory_mend = "lower num_rx_ant, shorten the payload, or draw fewer examples at once"

    def __init__(self, name: str, config: OfdmConfig, device: str | None = None):
        super().__init__(name, config, device)
        self.snr_offset_db = config.snr_offset_db
        self.users = [user for user in config.users if user not in config.interferers]
        self.channel: Channel = load_channel(config, self.device)
        num_users = len(config.users) if config.access == "mu-mimo" else 1
        num_subcarriers = config.num_subcarriers // (len(config.users) if config.access == "ofdma" else 1)
        self.estimator = PilotEstimator(config, num_users, num_subcarriers, self.channel)
        self.data_symbols = [t for t in range(config.num_ofdm_symbols) if t not in config.pilot_symbols]

    def check_drawable(self) -> None:
        self.channel.check_drawable()

    def mean_path_gain_db(self) -> float | None:
        if not (isinstance(self.channel, PositionedChannel) and self.config.true_path_gains):
            return None
        return 10 * math.log10(self.channel.mean_power)

    def _position(self, user: str) -> int:
        """Position of a user among those of the config; an anonymous one takes the place of the first."""
        return self.config.users.index(self.users[0] if user == ANONYMOUS else user)

    def _draw(self, request: DrawRequest) -> LinkState:
        if not self.config.interferers:
            return self._draw_users(request)
        state = self._draw_users(self._with_interferers(request))
        n = max(request.num_symbols.values())
        sent = {
            user: with_variance(request.normal((n,), self.device, "sent", user), 1.0)
            for user in self.config.interferers
        }
        return state.fold_interference(sent)

    def _memory(self, request: DrawRequest) -> int:
        """The draw of a group of examples, their realisation before and after it is joined, and its application."""
        config, users, batch = self.config, len(self.config.users), len(request.indices)
        group = batch if at_once(self.device) else min(batch, BLOCK)
        num_blocks = -(-group // BLOCK)
        per_slot = len(self.data_symbols) * config.num_subcarriers // (users if config.access == "ofdma" else 1)
        slots = -(-max(request.num_symbols.values()) // per_slot)
        last = (
            slots * config.num_ofdm_symbols * (users if config.access == "tdma" else 1) + config.impairments.csi_delay
        )
        whole = slots * config.num_ofdm_symbols * config.num_subcarriers
        responses = num_blocks * BLOCK * config.num_rx_ant * users * min(slots, SLOTS_AT_A_TIME) * whole // slots
        cells = 1 if config.impairments.pilot_contamination_db is None else 2
        noise = 2 * group * (config.num_rx_ant + users) * whole
        combined = 3 * (1 + cells) * users**2 * group * slots * per_slot
        in_draw = num_blocks * self.channel.memory(last) + 8 * ((1 + 3 * cells) * responses + noise + combined)
        return in_draw + 2 * super()._memory(request) + self._waveform_memory(batch * slots * per_slot, request)

    def _waveform_memory(self, elements: int, request: DrawRequest) -> int:
        """What amplifiers take when a realisation is applied with gradients: samples of each user, and what is kept."""
        if self.config.amplifier_backoff_db is None:
            return 0
        return 8 * 4 * OVERSAMPLING * elements * (len(request.num_symbols) + 1)

    def _with_interferers(self, request: DrawRequest) -> DrawRequest:
        interferers = self.config.interferers
        longest = max(request.num_symbols.values())
        no = torch.stack(list(request.no.values())).log().mean(0).exp()
        return replace(
            request,
            num_symbols={**request.num_symbols, **dict.fromkeys(interferers, longest)},
            no={**request.no, **dict.fromkeys(interferers, no)},
        )

    def _draw_users(self, request: DrawRequest) -> LinkState:
        positions = [positions for _, positions in blocks(request.indices)]
        order = [position for block in positions for position in block]
        groups = [order] if at_once(self.device) else positions
        return LinkState.concatenate([self._draw_group(request.take(group)) for group in groups], order)

    def _draw_group(self, request: DrawRequest) -> LinkState:
        return LinkState.merge(
            Uplink(self.config, self.channel, self.estimator, request, part).draw()
            for part in self.parts(request.num_symbols)
        )

    def parts(self, num_symbols: Mapping[str, int]) -> list[Part]:
        """Resource allocation of the users, by the multiple access of the link.

        Parameters
        ----------
        num_symbols : user → symbols to send
        """
        users = sorted(num_symbols, key=self._position)
        positions = [self._position(user) for user in users]
        width = self.config.num_subcarriers
        if self.config.access == "mu-mimo":
            slots = self._num_slots(max(num_symbols.values()), width)
            return [Part(users, positions, slice(0, width), range(slots))]
        if self.config.access == "tdma":
            return [
                Part([user], [position], slice(0, width), range(turn, turn + slots * len(users), len(users)))
                for turn, (user, position) in enumerate(zip(users, positions, strict=True))
                for slots in [self._num_slots(num_symbols[user], width)]
            ]
        width //= len(self.config.users)
        return [
            Part([user], [band], slice(band * width, (band + 1) * width), range(slots))
            for user, band in zip(users, positions, strict=True)
            for slots in [self._num_slots(num_symbols[user], width)]
        ]

    def _num_slots(self, num_symbols: int, num_subcarriers: int) -> int:
        return -(-num_symbols // (len(self.data_symbols) * num_subcarriers))

    def _cost(self, load: Load) -> Budget:
        config = self.config
        parts = self.parts(load.sent)
        slot_duration = config.num_ofdm_symbols * self.channel.symbol_duration
        slots = max(part.slots[-1] for part in parts) + 1
        own = [(part, n) for user, n in load.sent.items() for part in self.parts({user: n})]
        on_air = {
            user: n + len(part.slots) * len(config.pilot_symbols) * part.width
            for (part, n), user in zip(own, load.sent, strict=True)
        }
        elements = slots * config.num_ofdm_symbols * config.num_subcarriers
        pilots = sum(len(part.slots) * len(config.pilot_symbols) * part.width for part in parts)
        payload = sum(max(load.payload[user] for user in part.users) for part in parts)
        headers = sum(max(load.sent[user] for user in part.users) for part in parts) - payload
        useful = 1 / (1 + config.cyclic_prefix_length / config.num_subcarriers)
        return Budget(
            channel_uses=sum(load.payload.values()),
            resource_elements=elements,
            slots=slots,
            latency=slots * slot_duration,
            bandwidth=config.num_subcarriers * config.subcarrier_spacing,
            energy=sum(load.symbol_energy[user] * n for user, n in on_air.items()) / useful,
            header_overhead=headers / elements * useful,
            pilot_overhead=pilots / elements * useful,
            prefix_overhead=1 - useful,
            overhead=1 - payload / elements * useful,
        )

    def panels(self) -> list[Panel]:
        return [self._draw_response, self._draw_delays, self._draw_peaks]

    def _draw_response(self, axes: "Axes") -> None:
        """|H| of one user at one antenna over four slots."""
        symbols = range(4 * self.config.num_ofdm_symbols)
        h = self.channel.response(SEED, 0, [0], symbols, slice(None))[0, 0, 0]
        title = f"Channel of '{self.config.users[0]}', first antenna"
        draw_response(axes, h, self.channel.frequencies, len(symbols) * self.channel.symbol_duration, title)

    def _draw_delays(self, axes: "Axes") -> None:
        """Power-delay profile of one user: its paths, or what the bandwidth resolves where paths are unknown."""
        if isinstance(self.channel, PathChannel):
            a, tau = self.channel.paths(SEED, 0, [0], 1)
            power = a[:, 0, :, 0, 0, :, 0].abs().square().mean(1)
            draw_delays(axes, tau[:, 0, 0], power.mean(0, keepdim=True) if len(tau) == 1 else power)
        else:
            h = self.channel.response(SEED, 0, [0], [0], slice(None))
            draw_band_limited_delays(axes, h, self.config.num_subcarriers * self.config.subcarrier_spacing)

    def _draw_peaks(self, axes: "Axes") -> None:
        """Peaks of both waveforms with analog tokens and with QAM, all subcarriers of one user in use."""
        generator = torch.Generator().manual_seed(SEED)
        shape = (2000, self.estimator.pilots.shape[-1])
        levels = torch.arange(-7.0, 8.0, 2.0) / 21**0.5 / 2**0.5
        inphase, quadrature = (levels[torch.randint(8, shape, generator=generator)] for _ in range(2))
        kinds = {
            "Gaussian tokens": torch.randn(shape, dtype=torch.complex64, generator=generator),
            "64-QAM": torch.complex(inphase, quadrature),
        }
        waveforms = {"CP-OFDM": False, "DFT-s-OFDM": True}
        draw_peaks(
            axes,
            {
                f"{kind}, {name}": peak_to_average_db(symbols, precoded)
                for kind, symbols in kinds.items()
                for name, precoded in waveforms.items()
            },
        )
