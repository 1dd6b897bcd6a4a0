"""One draw of an OFDM uplink: channel, noise, pilots, estimation and combining of users on the same resources."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import torch
from torch import Tensor

from tokcom_phy.radio.channels import Channel
from tokcom_phy.radio.combining import Combined, combine, combined_state, unequalized
from tokcom_phy.radio.draw_request import DrawRequest, activity
from tokcom_phy.radio.estimation import PilotEstimator
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.placement import Placement
from tokcom_phy.radio.prefix import doppler_interference
from tokcom_phy.radio.seeding import BLOCK, blocks
from tokcom_phy.radio.state import LinkState
from tokcom_phy.radio.waveform import Waveform, precoded_quality

SLOTS_AT_A_TIME = 4


@dataclass(frozen=True)
class Part:
    """A set of resource elements that is shared by some users and unused by all others.

    Attributes
    ----------
    users : list of str
    positions : list of int
        Of these users among those of the config.
    subcarriers : slice
    slots : range
        Slot numbers; a payload fills them in this order.
    """

    users: list[str]
    positions: list[int]
    subcarriers: slice
    slots: range

    @property
    def width(self) -> int:
        """Number of subcarriers."""
        return int(self.subcarriers.stop - self.subcarriers.start)


@dataclass
class Uplink:
    """Draws the realisations of one `Part`.

    Attributes
    ----------
    config : OfdmConfig
    channel : Channel
    estimator : PilotEstimator
    request : DrawRequest
    part : Part
    """

    config: OfdmConfig
    channel: Channel
    estimator: PilotEstimator
    request: DrawRequest
    part: Part

    def draw(self) -> LinkState:
        """The realisation, a few slots at a time, to bound the memory of long payloads."""
        part, size = self.part, self.placement.size
        active = activity(self.request, part.users, self.num_symbols)
        pieces = []
        for first in range(0, len(part.slots), SLOTS_AT_A_TIME):
            window = slice(first, first + SLOTS_AT_A_TIME)
            payload = slice(window.start * size, min(window.stop * size, self.num_symbols))
            elements = self.placement.elements(payload.start, payload.stop, self.channel.device)
            pieces.append(self._combined(window, active[..., payload], elements))
        whole = Combined(*(torch.cat(parts, dim=-1) for parts in zip(*pieces, strict=True)))
        return combined_state(self.request, part.users, whole, self._waveforms())

    def _waveforms(self) -> dict[str, Waveform]:
        """The waveform of each user; none where symbols are sent as they are."""
        backoff_db, precoded = self.config.amplifier_backoff_db, self.config.waveform == "dft-s-ofdm"
        if backoff_db is None and not precoded:
            return {}
        elements = self.placement.numbers(self.num_symbols, self.channel.device)
        return {
            user: Waveform(elements[: self.request.num_symbols[user]], self.part.width, backoff_db, precoded)
            for user in self.part.users
        }

    @cached_property
    def num_symbols(self) -> int:
        """Length of the longest payload."""
        return max(self.request.num_symbols[user] for user in self.part.users)

    @cached_property
    def placement(self) -> Placement:
        """Where the payloads lie, the same for all users of the part."""
        data_symbols = self.config.num_ofdm_symbols - len(self.config.pilot_symbols)
        in_order = Placement(data_symbols, self.part.width, spread=False)
        lengths = [self.request.num_symbols[user] for user in self.part.users]
        fills = not self.request.masks(self.part.users) and all(n % in_order.size == 0 for n in lengths)
        return in_order if fills else replace(in_order, spread=True)

    @cached_property
    def data_symbols(self) -> list[int]:
        """OFDM symbols of a slot that carry the payload; of one of fewer symbols than these, the first ones."""
        symbols = [t for t in range(self.config.num_ofdm_symbols) if t not in self.config.pilot_symbols]
        return symbols[: self.num_symbols] if len(self.part.slots) == 1 else symbols

    @cached_property
    def in_slot(self) -> list[int]:
        """OFDM symbols of a slot that are drawn: those of the pilots, then those of the data."""
        return sorted(self.config.pilot_symbols) + self.data_symbols

    @cached_property
    def snr(self) -> Tensor:
        """Mean received SNR, float32 [b, users]."""
        return 1 / torch.stack([self.request.no[user] for user in self.part.users], dim=1)

    @cached_property
    def noise(self) -> Tensor:
        """Noise of variance two, complex64 [b, num_rx_ant, slots, symbols in a slot, subcarriers]."""
        slots, symbols = len(self.part.slots), len(self.in_slot)
        shape = (slots * symbols, self.config.num_rx_ant, self.part.width)
        users = () if self.config.access == "mu-mimo" else self.part.users
        drawn = self.request.normal(shape, self.channel.device, "noise", *users)
        return drawn.transpose(1, 2).unflatten(2, (slots, symbols))

    @cached_property
    def _drawn(self) -> Callable[[str, Sequence[int]], Tensor]:
        """A function of OFDM symbols to a property of the channel there, with the batch first.

        It is the same at every SNR: drawn on first use, unless cached.
        """
        request, part = self.request, self.part
        positions, band = tuple(part.positions), part.subcarriers
        num_symbols = part.slots[-1] * self.config.num_ofdm_symbols + max(self.in_slot) + 1
        draw = cache(lambda block: self.channel.draw(request.seed, block, positions, num_symbols))

        def evaluate(what: str, block: int, symbols: Sequence[int]) -> Tensor:
            drawn = draw(block)
            return drawn.outside(symbols) if what == "outside" else drawn.within(symbols, band)

        def of_blocks(what: str, symbols: Sequence[int]) -> Iterator[Tensor]:
            for block, rows in blocks(request.indices):
                key = (what, request.seed, block, positions, num_symbols, tuple(symbols), band.start, band.stop)
                whole = request.once(key, partial(evaluate, what, block, symbols))
                yield whole[[request.indices[row] % BLOCK for row in rows]]

        def of_batch(what: str, symbols: Sequence[int]) -> Tensor:
            found = list(of_blocks(what, symbols))
            return found[0] if len(found) == 1 else torch.cat(found)

        return of_batch

    def _combined(self, window: slice, active: Tensor, elements: slice | Tensor) -> Combined:
        """Estimate the channel and combine the antennas in some slots.

        Parameters
        ----------
        window : slice
            Of the part's slots.
        active : bool [b, users, n]
        elements : slice or int64 [n]
            Resource elements of the payload, counted over the data symbols of these slots.
        """
        config = self.config
        slots = self.part.slots[window]
        grid = (len(slots), len(self.in_slot))
        symbols = [slot * config.num_ofdm_symbols + t for slot in slots for t in self.in_slot]
        lost, useful = self._lost(symbols)
        amplitude = (self.snr * useful).sqrt()
        h = (self._drawn("within", symbols) * amplitude[:, None, :, None, None]).unflatten(3, grid)
        disturbance = self._disturbance(lost.unflatten(2, grid), active, elements)
        noise = self.noise[:, :, window] * (disturbance / 2).sqrt()[:, None, ..., None]

        at_pilots, at_data = slice(None, len(config.pilot_symbols)), slice(len(config.pilot_symbols), None)
        h_data = _take(h[..., at_data, :].flatten(3), elements)
        noise_data = _take(noise[..., at_data, :].flatten(2), elements)
        every = disturbance[:, :, at_data, None].expand(-1, -1, -1, self.part.width)
        noise_var = no = _take(every.flatten(1), elements)
        if config.output == "raw":
            return unequalized(h_data * self.snr.rsqrt()[:, None, :, None], noise_data, 1 / self.snr[:, 0], noise_var)
        h_hat = h_data if self.estimator.sent is None else h_data * self.estimator.mean_gain
        if config.csi != "perfect":
            combs = self.part.positions if config.access == "mu-mimo" else [0]
            h_hat, err_var = self.estimator.estimate(
                h[..., at_pilots, :],
                noise[..., at_pilots, :],
                amplitude,
                combs,
                self.data_symbols,
                disturbance[:, :, at_pilots].mean(2),
            )
            err_var = err_var.expand(*err_var.shape[:2], *h_hat.shape[3:]).flatten(2)
            h_hat = _take(h_hat.flatten(3), elements)
            no = no + (_take(err_var, elements) * active).sum(1)
        if config.waveform == "dft-s-ofdm":
            combined = combine(h_data, h_hat, noise_data, no, active, config.combining, "mmse", noise_var)
            return self._precoded(combined, active, elements)
        return combine(h_data, h_hat, noise_data, no, active, config.combining, config.output, noise_var)

    def _precoded(self, combined: Combined, active: Tensor, elements: slice | Tensor) -> Combined:
        """Gain and noise of resource elements under DFT-s-OFDM, with the quality of the symbols spread over them."""
        number = torch.arange(active.shape[-1], device=active.device) if isinstance(elements, slice) else elements
        own = combined.gain.diagonal(dim1=1, dim2=2).mT
        own_gain, env, sinr = precoded_quality(
            own, combined.effective_noise_var, combined.sinr, active, number // self.part.width
        )
        back = 1 / own_gain if self.config.output == "unbiased" else torch.ones_like(own_gain)
        return Combined(combined.gain * back[:, :, None], combined.noise * back, env, sinr)

    def _lost(self, symbols: Sequence[int]) -> tuple[Tensor, float]:
        """What of a user's unit power becomes interference, float32 [b, users, symbols], and the share that Doppler
        leaves of the rest."""
        config = self.config
        outside = self._drawn("outside", symbols)
        if not config.self_interference or config.channel == "file":
            return outside, 1.0
        spread = doppler_interference(config.speed, config.carrier_frequency, self.channel.useful_duration)
        return outside + spread * (1 - outside), 1 - spread

    def _disturbance(self, lost: Tensor, active: Tensor, elements: slice | Tensor) -> Tensor:
        """Variance of noise and interference in each OFDM symbol, where that of noise is one.

        Interference is white over subcarriers and antennas, and lasts as long as the users send: in a data symbol
        on the share of the subcarriers that a user's payload takes, in a pilot symbol always.

        Parameters
        ----------
        lost : float32 [b, users, slots, symbols in a slot]
        active, elements
            As for `_combined`.

        Returns
        -------
        float32 [b, slots, symbols in a slot]
        """
        share = torch.ones_like(lost)
        if not (active.all() and isinstance(elements, slice)):
            number = torch.arange(active.shape[-1], device=active.device) if isinstance(elements, slice) else elements
            occupied = torch.zeros(*active.shape[:2], lost.shape[2] * len(self.data_symbols), device=active.device)
            occupied.index_add_(2, number // self.part.width, active.to(occupied.dtype))
            at_data = slice(len(self.config.pilot_symbols), None)
            share[..., at_data] = occupied.unflatten(2, (lost.shape[2], -1)) / self.part.width
        return 1 + (self.snr[:, :, None, None] * lost * share).sum(1)


def _take(values: Tensor, elements: slice | Tensor) -> Tensor:
    """Values [..., resource elements] at some of these."""
    return values[..., elements] if isinstance(elements, slice) else values.index_select(-1, elements)
