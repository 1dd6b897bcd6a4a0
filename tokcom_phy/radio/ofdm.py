"""OFDM uplinks: resource grid, pilots, channel estimation and multiuser combining."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tokcom_phy.radio.channels import Channel, PathChannel, load_channel
from tokcom_phy.radio.combining import Combined, combine, combined_state, unequalized
from tokcom_phy.radio.cost import Budget, Load
from tokcom_phy.radio.draw_request import DrawRequest, activity
from tokcom_phy.radio.estimation import PilotEstimator
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.panels import SEED, Panel, draw_band_limited_delays, draw_delays, draw_response
from tokcom_phy.radio.placement import Placement
from tokcom_phy.radio.seeding import BLOCK, at_once, blocks, with_variance
from tokcom_phy.radio.state import ANONYMOUS, LinkState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SLOTS_AT_A_TIME = 4


@dataclass(frozen=True)
class Part:
    """A set of resource elements that is shared by some users and unused by all others.

    Attributes
    ----------
    users : list of str
    subcarriers : slice
    slots : range
        Slot numbers; a payload fills them in this order.
    """

    users: list[str]
    subcarriers: slice
    slots: range


class OfdmLink(Link[OfdmConfig]):
    """A link of the OFDM family; see `OfdmConfig`."""

    users: Sequence[str]
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
        config, users = self.config, len(self.config.users)
        elements = len(self.data_symbols) * config.num_subcarriers // (users if config.access == "ofdma" else 1)
        slots = -(-max(request.num_symbols.values()) // elements)
        last = slots * config.num_ofdm_symbols * (users if config.access == "tdma" else 1)
        at_once = min(slots, _SLOTS_AT_A_TIME) * config.num_ofdm_symbols * config.num_subcarriers
        antennas = BLOCK * config.num_rx_ant
        examples = min(len(request.indices), BLOCK)
        noise = examples * config.num_rx_ant * slots * config.num_ofdm_symbols * config.num_subcarriers
        combined = 6 * users**2 * examples * slots * elements
        in_draw = self.channel.memory(last) + 8 * (4 * antennas * users * at_once + 2 * noise + combined)
        return in_draw + super()._memory(request)

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
        return LinkState.merge(self._draw_part(request, part) for part in self.parts(request.num_symbols))

    def parts(self, num_symbols: Mapping[str, int]) -> list[Part]:
        """Resource allocation of the users, by the multiple access of the link.

        Parameters
        ----------
        num_symbols : user → symbols to send
        """
        users = sorted(num_symbols, key=self._position)
        width = self.config.num_subcarriers
        if self.config.access == "mu-mimo":
            slots = self._num_slots(max(num_symbols.values()), width)
            return [Part(users, slice(0, width), range(slots))]
        if self.config.access == "tdma":
            return [
                Part([user], slice(0, width), range(turn, turn + slots * len(users), len(users)))
                for turn, user in enumerate(users)
                for slots in [self._num_slots(num_symbols[user], width)]
            ]
        width //= len(self.config.users)
        return [
            Part([user], slice(band * width, (band + 1) * width), range(self._num_slots(num_symbols[user], width)))
            for user in users
            for band in [self._position(user)]
        ]

    def _num_slots(self, num_symbols: int, num_subcarriers: int) -> int:
        return -(-num_symbols // (len(self.data_symbols) * num_subcarriers))

    def _draw_part(self, request: DrawRequest, part: Part) -> LinkState:
        config = self.config
        n = max(request.num_symbols[user] for user in part.users)
        width = part.subcarriers.stop - part.subcarriers.start
        placement = self._placement(request, part)
        # Of a payload shorter than a slot has data symbols, the others are not drawn.
        data_symbols = self.data_symbols[:n] if len(part.slots) == 1 else self.data_symbols
        in_slot = sorted(config.pilot_symbols) + data_symbols

        response = self._response(request, part, part.slots[-1] * config.num_ofdm_symbols + max(in_slot) + 1)
        amplitude = torch.stack([request.no[user] for user in part.users], dim=1).rsqrt()
        noise = request.noise(
            (len(part.slots) * len(in_slot), config.num_rx_ant, width),
            self.device,
            () if config.access == "mu-mimo" else part.users,
        )
        noise = noise.transpose(1, 2).unflatten(2, (len(part.slots), len(in_slot)))
        active = activity(request, part.users, n)

        # A few slots at a time, to bound the memory of long payloads.
        pieces = []
        for first in range(0, len(part.slots), _SLOTS_AT_A_TIME):
            window = slice(first, first + _SLOTS_AT_A_TIME)
            slots = part.slots[window]
            symbols = [slot * config.num_ofdm_symbols + t for slot in slots for t in in_slot]
            h = response(symbols) * amplitude[:, None, :, None, None]
            payload = slice(window.start * placement.size, min(window.stop * placement.size, n))
            pieces.append(
                self._combine(
                    part,
                    h.unflatten(3, (len(slots), len(in_slot))),
                    noise[:, :, window],
                    amplitude,
                    active[..., payload],
                    data_symbols,
                    placement.elements(payload.start, payload.stop, self.device),
                )
            )
        whole = Combined(*(torch.cat(parts, dim=-1) for parts in zip(*pieces, strict=True)))
        return combined_state(request, part.users, whole)

    def _placement(self, request: DrawRequest, part: Part) -> Placement:
        """Where the payloads of a part lie, the same for all its users."""
        width = part.subcarriers.stop - part.subcarriers.start
        full = Placement(len(self.data_symbols), width, spread=False)
        lengths = [request.num_symbols[user] for user in part.users]
        fills = not request.masks(part.users) and all(n % full.size == 0 for n in lengths)
        return full if fills else replace(full, spread=True)

    def _response(self, request: DrawRequest, part: Part, num_symbols: int) -> Callable[[Sequence[int]], Tensor]:
        """The channel of a part as a function of OFDM symbols, complex64 [b, num_rx_ant, users, symbols, subcarriers].

        It is the same at every SNR: drawn on first use, unless cached.
        """
        users = tuple(self._position(user) for user in part.users)
        band = part.subcarriers
        draw = cache(lambda block: self.channel.draw(request.seed, block, users, num_symbols))

        def evaluate(block: int, symbols: Sequence[int]) -> Tensor:
            return draw(block)(symbols, band)

        def responses(symbols: Sequence[int]) -> Iterator[Tensor]:
            for block, positions in blocks(request.indices):
                key = ("response", request.seed, block, users, num_symbols, tuple(symbols), band.start, band.stop)
                whole = request.once(key, partial(evaluate, block, symbols))
                yield whole[[request.indices[position] % BLOCK for position in positions]]

        def response(symbols: Sequence[int]) -> Tensor:
            found = list(responses(symbols))
            return found[0] if len(found) == 1 else torch.cat(found)

        return response

    def _combine(
        self,
        part: Part,
        h: Tensor,
        noise: Tensor,
        amplitude: Tensor,
        active: Tensor,
        data_symbols: list[int],
        elements: slice | Tensor,
    ) -> Combined:
        """Estimate the channel and combine the antennas in some slots.

        Parameters
        ----------
        part : Part
        h : complex64 [b, num_rx_ant, users, slots, pilot symbols and then data symbols, subcarriers]
            Channel, scaled by the received amplitude.
        noise : complex64 [b, num_rx_ant, slots, pilot symbols and then data symbols, subcarriers]
        amplitude : float32 [b, users]
        active : bool [b, users, n]
        data_symbols : list of int
        elements : slice or int64 [n]
            Resource elements of the payload, counted over the data symbols of these slots.
        """
        config = self.config
        at_pilots, at_data = slice(None, len(config.pilot_symbols)), slice(len(config.pilot_symbols), None)
        h_data = _take(h[..., at_data, :].flatten(3), elements)
        noise_data = _take(noise[..., at_data, :].flatten(2), elements)
        if config.output == "raw":
            (power,) = amplitude.square().unbind(1)
            return unequalized(h_data / amplitude[:, :, None, None], noise_data, 1 / power)
        if config.csi == "perfect":
            h_hat, no = h_data, torch.ones(1, 1, device=self.device)
        else:
            combs = [self._position(user) for user in part.users] if config.access == "mu-mimo" else [0]
            h_hat, err_var = self.estimator.estimate(
                h[..., at_pilots, :], noise[..., at_pilots, :], amplitude, combs, data_symbols
            )
            h_hat_slots = h_hat.shape[3:]
            h_hat = _take(h_hat.flatten(3), elements)
            err_var = err_var.expand(*err_var.shape[:2], *h_hat_slots).flatten(2)
            no = 1 + (_take(err_var, elements) * active).sum(1)
        return combine(h_data, h_hat, noise_data, no, active, config.combining, config.output)

    def _cost(self, load: Load) -> Budget:
        config = self.config
        parts = self.parts(load.sent)
        slot_duration = config.num_ofdm_symbols * self.channel.symbol_duration
        slots = max(part.slots[-1] for part in parts) + 1
        on_air = sum(len(self.parts({user: n})[0].slots) for user, n in load.sent.items())
        elements = slots * config.num_ofdm_symbols * config.num_subcarriers
        pilots = sum(
            len(part.slots) * len(config.pilot_symbols) * (part.subcarriers.stop - part.subcarriers.start)
            for part in parts
        )
        payload = sum(max(load.payload[user] for user in part.users) for part in parts)
        headers = sum(max(load.sent[user] for user in part.users) for part in parts) - payload
        useful = 1 / (1 + config.cyclic_prefix_length / config.num_subcarriers)
        return Budget(
            channel_uses=sum(load.payload.values()),
            resource_elements=elements,
            slots=slots,
            latency=slots * slot_duration,
            bandwidth=config.num_subcarriers * config.subcarrier_spacing,
            energy=load.transmit_power * on_air * slot_duration,
            header_overhead=headers / elements * useful,
            pilot_overhead=pilots / elements * useful,
            prefix_overhead=1 - useful,
            overhead=1 - payload / elements * useful,
        )

    def panels(self) -> list[Panel]:
        return [self._draw_response, self._draw_delays]

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


def _take(values: Tensor, elements: slice | Tensor) -> Tensor:
    """Values [..., resource elements] at some of these."""
    return values[..., elements] if isinstance(elements, slice) else values.index_select(-1, elements)
