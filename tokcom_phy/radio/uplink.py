"""One draw of an OFDM uplink: channel, noise, pilots, estimation and combining of users on the same resources."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import torch
from torch import Tensor

from tokcom_phy.radio.channels import Channel, Response
from tokcom_phy.radio.combining import Combined, combine, combined_state, unequalized
from tokcom_phy.radio.draw_request import DrawRequest, activity
from tokcom_phy.radio.estimation import PilotEstimator
from tokcom_phy.radio.impairments import Impairments, quantized
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
    def combs(self) -> list[int]:
        """Pilot comb of each user."""
        return self.part.positions if self.config.access == "mu-mimo" else [0]

    @cached_property
    def impairments(self) -> Impairments:
        """What radios, synchronisation and other cells do."""
        prefix = self.config.cyclic_prefix_length / self.config.num_subcarriers
        where = self.channel.device, self.config.subcarrier_spacing, prefix
        return Impairments(self.config.impairments, self.request, self.part.users, *where)

    @cached_property
    def target_snr(self) -> Tensor:
        """SNR to which power control aims, float32 [b, users]."""
        return 1 / torch.stack([self.request.no[user] for user in self.part.users], dim=1)

    @cached_property
    def snr(self) -> Tensor:
        """Mean received SNR, float32 [b, users]."""
        power = self.impairments.power
        return self.target_snr if power is None else self.target_snr * power

    @cached_property
    def last(self) -> int:
        """Number of OFDM symbols from the start of the transmission to the end of the part."""
        delay = self.config.impairments.csi_delay
        return self.part.slots[-1] * self.config.num_ofdm_symbols + max(self.in_slot) + delay + 1

    @cached_property
    def turn(self) -> Tensor | None:
        """`Impairments.turn` of the whole transmission."""
        return self.impairments.turn(self.last)

    @cached_property
    def noise(self) -> Tensor:
        """Noise of variance two, complex64 [b, num_rx_ant, slots, symbols in a slot, subcarriers]."""
        slots, symbols = len(self.part.slots), len(self.in_slot)
        shape = (slots * symbols, self.config.num_rx_ant, self.part.width)
        users = () if self.config.access == "mu-mimo" else self.part.users
        drawn = self.request.normal(shape, self.channel.device, "noise", *users)
        return drawn.transpose(1, 2).unflatten(2, (slots, symbols))

    @cached_property
    def _beside(self) -> Tensor:
        """`Impairments.sent_beside` on the grid, complex64 [b, users, slots, symbols in a slot, subcarriers]."""
        shape = (len(self.part.slots), len(self.in_slot), self.part.width)
        return self.impairments.sent_beside(shape)

    @cached_property
    def _block(self) -> Callable[[int], Response]:
        """The channel of a block, which does not depend on the SNR: drawn on first use."""
        request, part = self.request, self.part

        def draw(block: int) -> Response:
            late = None
            if self.config.impairments.timing_offset:
                rows = range(block * BLOCK, (block + 1) * BLOCK)
                late = torch.stack([self.impairments.late(request.seed, rows, user) for user in part.users], dim=1)
            return self.channel.draw(request.seed, block, part.positions, self.last, late)

        return cache(draw)

    def _drawn(self, what: str, symbols: Sequence[int], *shifts: int) -> list[Tensor]:
        """A property of the channel at some OFDM symbols, with the batch first.

        Parameters
        ----------
        what : 'within' or 'outside'
        symbols : sequence of int
        *shifts : int
            A tensor for each: 0 is the realisations', 1 that of their neighbours in the block, which are independent.
        """
        request, part = self.request, self.part
        found: list[list[Tensor]] = [[] for _ in shifts]
        for block, rows in blocks(request.indices):

            def evaluate(block: int = block) -> Tensor:
                drawn = self._block(block)
                return drawn.outside(symbols) if what == "outside" else drawn.within(symbols, part.subcarriers)

            band = part.subcarriers.start, part.subcarriers.stop
            key = (what, request.seed, block, tuple(part.positions), tuple(part.users), self.last, tuple(symbols), band)
            whole = request.once(key, evaluate)
            for shift, parts in zip(shifts, found, strict=True):
                parts.append(whole[_as_slice([(request.indices[row] + shift) % BLOCK for row in rows])])
        return [parts[0] if len(parts) == 1 else torch.cat(parts) for parts in found]

    def _channel(self, symbols: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The channel at some OFDM symbols of the transmission, and the received amplitude that it is to be scaled by.

        Returns
        -------
        h : complex64 [b, num_rx_ant, users, symbols, subcarriers]
        scale : float32 or complex64, broadcastable to [b, 1, users, symbols, subcarriers]
        lost : float32 [b, users, symbols]
            What of a user's unit power the channel makes interference between symbols and subcarriers.
        other : complex64, the shape of ``h``, or None
            Channel of the other cell's users, scaled.
        """
        config = self.config
        (outside,) = self._drawn("outside", symbols, 0)
        useful = 1 - outside
        amplitude = self.amplitude[:, :, None].to(torch.complex64 if self.turn is not None else torch.float32)
        if config.self_interference and config.channel != "file":
            useful = useful * (1 - self._spread)
        if self.turn is not None:
            amplitude = amplitude * self.turn[..., symbols]
        scale = amplitude[:, None, :, :, None]
        if self.impairments.lateness is not None:
            frequencies = self.channel.frequencies[self.part.subcarriers]
            phase = -2 * math.pi * self.impairments.lateness[..., None] * frequencies
            scale = scale * torch.polar(torch.ones_like(phase), phase)[:, None, :, None]
        if not self.impairments.other_cell:
            return self._drawn("within", symbols, 0)[0], scale, 1 - useful, None
        h, other = self._drawn("within", symbols, 0, 1)
        other_scale = self.impairments.other_cell * self.amplitude[:, None, :, None, None]
        return h, scale, 1 - useful, other * other_scale

    @cached_property
    def _spread(self) -> float:
        """Share of a user's power that Doppler within a symbol makes interference."""
        return doppler_interference(self.config.speed, self.config.carrier_frequency, self.channel.useful_duration)

    @cached_property
    def amplitude(self) -> Tensor:
        """Received amplitude of each user where noise has unit variance, float32 [b, users]."""
        moving = self.config.self_interference and self.config.channel != "file"
        return (self.snr * (1 - self._spread if moving else 1.0)).sqrt()

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
        config, pilots, delay = self.config, len(self.config.pilot_symbols), self.config.impairments.csi_delay
        slots = self.part.slots[window]
        grid = (len(slots), len(self.in_slot))
        moments = [t + (delay if t in self.data_symbols else 0) for t in self.in_slot]
        symbols = [slot * config.num_ofdm_symbols + t for slot in slots for t in moments]
        h, scale, lost, other = self._channel(symbols)
        h, lost = h.unflatten(3, grid), lost.unflatten(2, grid)
        scale = scale.unflatten(3, grid if scale.shape[3] > 1 else (1, 1))
        share = self._share(lost, active, elements)
        disturbance = self._disturbance(h, scale, lost, share)
        deviation = (disturbance / 2).sqrt()[:, None, ..., None]

        at_pilots = slice(None, pilots)
        at_payload = partial(self._at_payload, grid, elements)
        noise = self.noise[:, :, window]
        h_data = at_payload(h) * at_payload(scale)
        noise_data = at_payload(noise) * at_payload(deviation)
        noise_var = no = at_payload(disturbance[..., None])
        h_pilots = h[..., at_pilots, :] * scale[..., at_pilots, :]
        noise_pilots = noise[..., at_pilots, :] * deviation[..., at_pilots, :]
        pilot_var = disturbance[:, :, at_pilots]
        distortion = None
        if self.turn is not None:
            kept = self.turn[..., symbols].abs().square().clamp(min=1e-9).unflatten(2, grid)
            beside = self._beside[:, :, window] * (1 / kept - 1).sqrt()[..., None]
            distortion = at_payload((1 / kept - 1)[..., None]) * active
            on_data = at_payload(beside) * active
            noise_data = noise_data + (h_data * on_data[:, None]).sum(2)
            noise_pilots = noise_pilots + (h_pilots * beside[:, None, ..., at_pilots, :]).sum(2)
            pilot_var = pilot_var + (self.snr[:, :, None, None] * (1 - kept[..., at_pilots])).sum(1)
        other_data = None
        if other is not None:
            other = other.unflatten(3, grid)
            other_data = at_payload(other)
            h_pilots = h_pilots + other[..., at_pilots, :]
            no = no + self.impairments.other_cell**2 * self.snr.sum(1, keepdim=True)
        if config.output == "raw":
            if other_data is not None:
                noise_data = noise_data + (other_data * self._sent_by_others(window, elements)[:, None]).sum(2)
                noise_var = noise_var + other_data.abs().square().sum(2)[:, 0]
            of_unit_power = h_data * self.target_snr.rsqrt()[:, None, :, None]
            return unequalized(of_unit_power, noise_data, 1 / self.target_snr[:, 0], noise_var, distortion)
        if config.csi == "perfect":
            h_hat, error = self._known(h_data, slots, elements)
        else:
            h_hat, error = self.estimator.estimate(
                h_pilots, noise_pilots, self.amplitude, self.combs, self.data_symbols, pilot_var.mean(2)
            )
            error = _take(error.expand(*error.shape[:2], *h_hat.shape[3:]).flatten(2), elements)
            h_hat = _take(h_hat.flatten(3), elements)
            if other is not None:
                error = error + self.impairments.other_cell**2 * self.snr[..., None]
        if error is not None:
            no = no + (error * active).sum(1)
        if other_data is not None:
            h_data = torch.cat([h_data, other_data], dim=2)
        output = "mmse" if config.waveform == "dft-s-ofdm" else config.output
        turned = self._turned(len(slots), elements)
        combined = combine(
            h_data, h_hat, noise_data, no, active, config.combining, output, noise_var, distortion, turned
        )
        if other_data is not None:
            own, sent = len(self.part.users), self._sent_by_others(window, elements)
            gain, foreign = combined.gain[:, :, :own], combined.gain[:, :, own:]
            combined = combined._replace(gain=gain, noise=combined.noise + (foreign * sent[:, None]).sum(2))
        return self._precoded(combined, active, elements) if config.waveform == "dft-s-ofdm" else combined

    def _at_payload(self, grid: tuple[int, int], elements: slice | Tensor, values: Tensor) -> Tensor:
        """Values [..., slots, drawn symbols of a slot, subcarriers] at the payload's resource elements [..., n].

        A dimension of size one stands for that of ``grid``, or for all subcarriers; where all three do, n is one too.
        """
        if values.shape[-3:] == (1, 1, 1):
            return values[..., 0, 0]
        pilots, width = len(self.config.pilot_symbols), self.part.width
        values = values.expand(*values.shape[:-3], *grid, width)
        if isinstance(elements, slice):
            return values[..., pilots:, :].flatten(-3)[..., elements]
        slot = elements // ((grid[1] - pilots) * width)
        return _take(values.flatten(-3), elements + (slot + 1) * pilots * width)

    def _turned(self, slots: int, elements: slice | Tensor) -> Tensor | None:
        """`PilotEstimator.turned` at the payload's resource elements, float32 [1, users, n]."""
        if self.estimator.turned is None:
            return None
        own = self.estimator.turned[self.combs][:, None, self.data_symbols]
        return _take(own.expand(-1, slots, -1, -1).flatten(1), elements)[None]

    def _known(self, h_data: Tensor, slots: range, elements: slice | Tensor) -> tuple[Tensor, Tensor | None]:
        """The channel that a receiver with perfect knowledge knows, but for its age and quantisation, and its error."""
        config, h_hat, error = self.config, h_data, None
        if config.impairments.csi_delay:
            times = [slot * config.num_ofdm_symbols + t for slot in slots for t in self.data_symbols]
            before, scale, *_ = self._channel(times)
            h_hat = _take((before * scale).flatten(3), elements)
            error = self.amplitude.square()[..., None] * self.estimator.age
        if config.impairments.csi_bits is not None:
            power = self.amplitude.square()[:, None, :, None]
            h_hat, loss = quantized(h_hat, power, config.impairments.csi_bits)
            error = loss[:, 0] if error is None else error + loss[:, 0]
        if (gain := self.estimator.mean_gain) != 1:
            h_hat, error = h_hat * gain, None if error is None else error * gain**2
        return h_hat, error

    def _sent_by_others(self, window: slice, elements: slice | Tensor) -> Tensor:
        """What the other cell's users send on the payload's resource elements, complex64 [b, users, n]."""
        shape = (len(self.part.slots), len(self.data_symbols) * self.part.width)
        return _take(self.impairments.sent_by_others(shape)[:, :, window].flatten(2), elements)

    def _precoded(self, combined: Combined, active: Tensor, elements: slice | Tensor) -> Combined:
        """Gain and noise of resource elements under DFT-s-OFDM, with the quality of the symbols spread over them."""
        number = torch.arange(active.shape[-1], device=active.device) if isinstance(elements, slice) else elements
        own = combined.gain.diagonal(dim1=1, dim2=2).mT
        own_gain, env, sinr = precoded_quality(
            own, combined.effective_noise_var, combined.sinr, active, number // self.part.width
        )
        back = 1 / own_gain if self.config.output == "unbiased" else torch.ones_like(own_gain)
        return Combined(combined.gain * back[:, :, None], combined.noise * back, env, sinr)

    def _share(self, lost: Tensor, active: Tensor, elements: slice | Tensor) -> Tensor:
        """Share of the subcarriers that each user takes, of the shape of ``lost``: all in pilot symbols."""
        share = torch.ones_like(lost)
        if not (active.all() and isinstance(elements, slice)):
            number = torch.arange(active.shape[-1], device=active.device) if isinstance(elements, slice) else elements
            occupied = torch.zeros(*active.shape[:2], lost.shape[2] * len(self.data_symbols), device=active.device)
            occupied.index_add_(2, number // self.part.width, active.to(occupied.dtype))
            at_data = slice(len(self.config.pilot_symbols), None)
            share[..., at_data] = occupied.unflatten(2, (lost.shape[2], -1)) / self.part.width
        return share

    def _disturbance(self, h: Tensor, scale: Tensor, lost: Tensor, share: Tensor) -> Tensor:
        """Variance of noise and interference in each OFDM symbol, where that of noise is one.

        Interference is white over subcarriers and antennas, and lasts as long as the users send. Of what a receiver
        gets in a symbol, `Impairments.receiver_noise` comes on top.

        Parameters
        ----------
        h : complex64 [b, num_rx_ant, users, slots, symbols in a slot, subcarriers]
        scale : float32 or complex64, broadcastable to it
        lost, share : float32 [b, users, slots, symbols in a slot]

        Returns
        -------
        float32 [b, slots, symbols in a slot]
        """
        disturbance = 1 + (self.snr[:, :, None, None] * lost * share).sum(1)
        if own := self.impairments.receiver_noise:
            received = (torch.view_as_real(h).square().sum(-1) * scale.abs().square()).mean((1, 5))
            disturbance = disturbance + own * (disturbance + (received * share).sum(1))
        return disturbance


def _as_slice(positions: list[int]) -> slice | list[int]:
    """Consecutive positions as a slice, which takes without a copy."""
    whole = range(positions[0], positions[0] + len(positions))
    return slice(whole.start, whole.stop) if positions == list(whole) else positions


def _take(values: Tensor, elements: slice | Tensor) -> Tensor:
    """Values [..., resource elements] at some of these."""
    if isinstance(elements, slice):
        return values[..., elements]
    # On a CPU ten times as fast as `index_select`.
    return values.gather(-1, elements.expand(*values.shape[:-1], -1))
