"""How fast links are, with the stock Sionna chain as the opponent: ``python benchmarks/bench_links.py [--json FILE]``.

Every figure is the median of several warm runs; the two sides of a ratio take turns, so that the load of the machine is
the same for both. ``--plot FILE`` draws how the cost grows; ``--page docs/benchmarks.md`` writes all into
that page. The stock side takes about 12 GB.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from links_growth import exponents, plot_scaling
from rich.console import Console
from sionna.phy import config as sionna_config
from sionna.phy.channel import ChannelModel, OFDMChannel, cir_to_ofdm_channel
from sionna.phy.channel.tr38901 import CDL, TDL, PanelArray
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import LMMSEChannelEstimator, LMMSEEqualizer, LSChannelEstimator, ResourceGridMapper
from torch import Tensor

from tokcom_phy.radio import load_link
from tokcom_phy.radio.channels import TdlChannel
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.seeding import BLOCK
from tokcom_phy.radio.sionna import default_device
from tokcom_phy.utils.files import write_atomically

BEGIN, END = "<!-- bench_links: begin -->", "<!-- bench_links: end -->"
SLOTS, SNR_DB, NO = 64, 10.0, 0.1
USERS = ["audio", "video", "text"]
WARM_SECONDS = 1.0
INTERPOLATIONS = ("nearest", "linear", "lmmse", "wiener")


ADDED: dict[str, dict[str, Any]] = {
    "Zadoff-Chu pilots": {"pilots": "zadoff-chu"},
    "amplifier on the waveform": {"amplifier_backoff_db": 3.0},
    "DFT-s-OFDM": {"waveform": "dft-s-ofdm"},
    "amplifier on DFT-s-OFDM": {"amplifier_backoff_db": 3.0, "waveform": "dft-s-ofdm"},
    "frequency_offset": {"impairments": {"frequency_offset": 0.02}},
    "phase_noise": {"impairments": {"phase_noise": 100.0}},
    "timing_offset": {"impairments": {"timing_offset": 5e-7}},
    "image_rejection_db": {"impairments": {"image_rejection_db": 25.0}},
    "adc_bits": {"impairments": {"adc_bits": 4}},
    "power_control_std_db": {"impairments": {"power_control_std_db": 3.0}},
    "pilot_contamination_db": {"impairments": {"pilot_contamination_db": -10.0}},
    "csi_delay": {"impairments": {"csi_delay": 14}},
    "csi_bits": {"impairments": {"csi_bits": 4}},
}
"""What pilots, a waveform and each impairment add to the plain link."""


class Comparison(TypedDict):
    """One measurement of both sides."""

    opponent: str
    unit: str
    ours: float
    theirs: float
    ratio: float


def seconds(*sides: Callable[[], object], repeats: int) -> list[float]:
    """Median time of each side [s], in turns.

    Before it is timed, a side runs for `WARM_SECONDS`, so that it finds no caches and no memory that the other emptied.
    """
    synchronize = torch.cuda.synchronize if default_device().startswith("cuda") else lambda: None
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for side, measured in zip(sides, times, strict=True):
            if len(sides) > 1 or not measured:
                warmed = time.perf_counter() + WARM_SECONDS
                while time.perf_counter() < warmed:
                    side()
                    synchronize()
            synchronize()
            start = time.perf_counter()
            side()
            synchronize()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]


def ofdm_link(**overrides: Any) -> OfdmLink:
    link = load_link("ofdm-tdl-c", **overrides)
    assert isinstance(link, OfdmLink)
    return link


class IndependentUsers(ChannelModel):
    """Sionna's TDL for several users at once, which it makes for one."""

    def __init__(self, model: TDL, num_users: int):
        super().__init__(device=model.device)
        self.model = model
        self.num_users = num_users

    def __call__(self, batch_size: int, num_time_steps: int, sampling_frequency: float) -> tuple[Tensor, Tensor]:
        a, tau = self.model(batch_size * self.num_users, num_time_steps, sampling_frequency)
        a, tau = a.unflatten(0, (batch_size, -1)), tau.unflatten(0, (batch_size, -1))
        return a.movedim(1, 4)[:, :, :, 0], tau.movedim(1, 3)[:, :, 0]


def drawn_side(link: OfdmLink, slots: int = SLOTS) -> Callable[[], None]:
    """Forward and backward through a link: draw, apply, gradient of the payload."""
    users, per_slot = link.config.users, link.estimator.grid.num_data_symbols
    sent = {u: torch.randn(slots, per_slot, dtype=torch.complex64, device=link.device) for u in users}
    lengths = dict.fromkeys(users, per_slot)

    def run() -> None:
        leaves = {user: x.clone().requires_grad_() for user, x in sent.items()}
        received = link.draw(slots, lengths, SNR_DB, seed=0).apply(leaves)
        torch.stack([y.abs().square().sum() for y in received.values()]).sum().backward()

    return run


def stock_side(link: OfdmLink, slots: int = SLOTS) -> Callable[[], None]:
    """The same through Sionna's blocks, differentiated end to end."""
    grid, num_users, device = link.estimator.grid, len(link.config.users), link.device
    assert isinstance(link.channel, TdlChannel)
    mapper = ResourceGridMapper(grid, device=device)
    channel = OFDMChannel(IndependentUsers(link.channel.model, num_users), grid, device=device)
    estimator = LSChannelEstimator(grid, interpolation_type="lin", device=device)
    equalizer = LMMSEEqualizer(grid, StreamManagement(np.ones([1, num_users]), 1), device=device)
    sent = torch.randn(slots, num_users, 1, grid.num_data_symbols, dtype=torch.complex64, device=device)
    no = torch.tensor(NO, device=device)

    def run() -> None:
        x = sent.clone().requires_grad_()
        y = channel(mapper(x), no)
        h_hat, err_var = estimator(y, no)
        x_hat, _ = equalizer(y, h_hat, err_var, no)
        x_hat.abs().square().sum().backward()

    return run


def generation_sides(name: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The channels of `SLOTS` slots and all users: as a link draws them, and as Sionna makes them in one batch."""
    link = ofdm_link(channel=name)
    channel, config, device = link.channel, link.config, link.device
    symbols, everybody = range(config.num_ofdm_symbols), range(len(config.users))

    def array(num_antennas: int) -> PanelArray:
        return PanelArray(1, num_antennas, "single", "V", "omni", config.carrier_frequency, device=device)

    model: ChannelModel
    if name.startswith("TDL"):
        model = TDL(
            name[-1],
            config.delay_spread,
            config.carrier_frequency,
            min_speed=config.speed,
            num_rx_ant=config.num_rx_ant,
            device=device,
        )
    else:
        model = CDL(
            name[-1],
            config.delay_spread,
            config.carrier_frequency,
            array(1),
            array(config.num_rx_ant),
            "uplink",
            min_speed=config.speed,
            max_speed=config.speed,
            device=device,
        )

    def drawn() -> None:
        for block in range(SLOTS // BLOCK):
            channel.response(0, block, everybody, symbols, slice(None))

    def stock() -> None:
        a, tau = model(SLOTS * len(config.users), len(symbols), 1 / channel.symbol_duration)
        cir_to_ofdm_channel(channel.frequencies, a, tau)

    return drawn, stock


def awgn_sides() -> tuple[Callable[[], object], Callable[[], object]]:
    """32 × 128 tokens of width 1536 over `awgn`, and just as much Gaussian noise drawn and added."""
    link = load_link("awgn")
    num_symbols = 128 * 1536 // 2
    sent = torch.randn(32, num_symbols, dtype=torch.complex64, device=link.device)
    reals = torch.view_as_real(sent)
    std = (NO / 2) ** 0.5
    return (
        lambda: link.draw(32, num_symbols, SNR_DB, seed=0).apply(sent),
        lambda: reals + torch.empty_like(reals).normal_(std=std),
    )


def interpolations(repeats: int) -> dict[str, dict[str, float]]:
    """Draws [s] of 32 examples × 3 users × 1,024 symbols by interpolation, at one SNR and at 32, new each time."""
    links = [ofdm_link(interpolation=name) for name in INTERPOLATIONS]
    lengths = dict.fromkeys(USERS, 1024)

    def one(link: OfdmLink) -> Callable[[], object]:
        return lambda: link.draw(32, lengths, SNR_DB, seed=0)

    def many(link: OfdmLink) -> Callable[[], object]:
        return lambda: link.draw(32, lengths, 30 * torch.rand(32) - 10, seed=0)

    times = seconds(*map(one, links), *map(many, links), repeats=repeats)
    return {name: {"one SNR": times[i], "32 SNRs": times[i + len(links)]} for i, name in enumerate(INTERPOLATIONS)}


def added(repeats: int) -> dict[str, float]:
    """Time of a link with a waveform or an impairment over that of the plain link, forward and backward."""
    plain, *others = seconds(
        drawn_side(ofdm_link()), *(drawn_side(ofdm_link(**own)) for own in ADDED.values()), repeats=repeats
    )
    return {name: time / plain for name, time in zip(ADDED, others, strict=True)}


def lmmse_sides(slots: int = 2) -> tuple[Callable[[], object], Callable[[], object]]:
    """LMMSE estimates of some slots, 3 users and 8 antennas: by the link's estimator, and by Sionna's."""
    link = ofdm_link(interpolation="lmmse")
    estimator, config, device = link.estimator, link.config, link.device
    over_frequency, over_time = link.channel.covariances()
    theirs = LMMSEChannelEstimator(estimator.grid, over_time, over_frequency, order="f-t", device=device)
    symbols = list(range(config.num_ofdm_symbols))
    size = (config.num_ofdm_symbols, config.num_subcarriers)
    y = torch.randn(slots, 1, config.num_rx_ant, *size, dtype=torch.complex64, device=device)
    noise = y[:, 0, :, sorted(config.pilot_symbols)].unsqueeze(2)
    h = torch.randn(slots, config.num_rx_ant, len(USERS), *noise.shape[2:], dtype=torch.complex64, device=device)
    amplitude = torch.full((slots, len(USERS)), NO**-0.5, device=device)
    no = torch.tensor(NO, device=device)
    return lambda: estimator.estimate(h, noise, amplitude, [0, 1, 2], symbols), lambda: theirs(y, no)


def peak_memory(side: str) -> float:
    """How much more memory a process takes at its peak once it runs a side [MB]."""
    command = [sys.executable, __file__, "--memory", side, "--device", default_device()]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(output.stdout.split()[-1])


def print_memory(side: str) -> None:
    """Print the growth of this process's peak memory by one run of a side, after a small run has loaded all code."""
    link = ofdm_link()
    make = {"drawn": drawn_side, "stock": stock_side}[side]
    make(link, 1)()
    before = _peak_megabytes()
    make(link)()
    print(_peak_megabytes() - before)


def _peak_megabytes() -> float:
    """Peak memory on the device; on a CPU that of this process alone, unlike `resource.getrusage`."""
    if default_device().startswith("cuda"):
        return torch.cuda.max_memory_allocated(default_device()) / 2**20
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def scaling(repeats: int) -> dict[str, dict[int, float]]:
    """Forward and backward [s] against users, antennas, subcarriers and batch, the rest as in the main measurement."""
    batch = 16

    def measure(slots: int = batch, **overrides: object) -> float:
        return seconds(drawn_side(ofdm_link(**overrides), slots), repeats=repeats)[0]

    return {
        "users": {
            n: measure(users=[f"user {i}" for i in range(n)], num_subcarriers=120) for n in (1, 2, 3, 4, 5, 6, 8)
        },
        "antennas": {
            n: measure(num_rx_ant=n, users=USERS[: min(n, 3)], num_subcarriers=120) for n in (1, 4, 8, 16, 32, 64)
        },
        "subcarriers": {n: measure(num_subcarriers=n) for n in (66, 132, 264, 528)},
        "batch": {n: measure(n) for n in (8, 16, 32, 64)},
    }


def machine() -> str:
    """What this was measured on, in words."""
    device = default_device()
    name = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"
    )
    return f"{name}; Sionna {version('sionna')}, PyTorch {torch.__version__}"


def write_page(
    page: Path,
    ratios: dict[str, Comparison],
    interpolated: dict[str, dict[str, float]],
    over_plain: dict[str, float],
    growth: dict[str, dict[int, float]],
) -> None:
    """Put the tables between the marks of a page."""
    lines = ["| what | opponent | tokcom-phy | opponent's | ratio |", "| --- | --- | --- | --- | --- |"]
    for what, found in ratios.items():
        ours, theirs = (f"{value:.3g} {found['unit']}" for value in (found["ours"], found["theirs"]))
        lines.append(f"| {what} | {found['opponent']} | {ours} | {theirs} | {found['ratio']:.2f} |")
    lines += ["", f"{machine()}; medians of warm runs; the ratio is the opponent's over tokcom-phy's."]
    linear = interpolated["linear"]["one SNR"]
    lines += ["", "| `interpolation` | draw at one SNR [ms] | over `linear` | at 32 SNRs [ms] | over `linear` |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for name, times in interpolated.items():
        cells = " | ".join(f"{1e3 * time:.0f} | {time / linear:.2f}" for time in times.values())
        lines.append(f"| `{name}` | {cells} |")
    lines += ["", "| waveform or impairment | over the plain link |", "| --- | --- |"]
    lines += [f"| {name} | {ratio:.2f} |" for name, ratio in over_plain.items()]
    lines += ["", "| against | forward and backward [ms] | exponent |", "| --- | --- | --- |"]
    for axis, exponent in exponents(growth).items():
        cells = ", ".join(f"{size}: {1e3 * seconds:.0f}" for size, seconds in growth[axis].items())
        lines.append(f"| {axis} | {cells} | {exponent:.2f} |")
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    with write_atomically(page) as temporary:
        temporary.write_text(before + BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + END + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw how the cost grows into FILE")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write tables between the marks of a Markdown page")
    parser.add_argument("--device", help="such as cpu or cuda:0; by default where Sionna computes")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", choices=["drawn", "stock"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device:
        sionna_config.device = options.device
    if options.memory:
        print_memory(options.memory)
        return

    console = Console()
    console.print(f"{machine()}; median of {options.repeats}; ratio: opponent over tokcom-phy")
    ratios: dict[str, Comparison] = {}

    def compare(what: str, opponent: str, unit: str, ours: float, theirs: float) -> None:
        ratios[what] = {"opponent": opponent, "unit": unit, "ours": ours, "theirs": theirs, "ratio": theirs / ours}
        console.print(f"{what}: {ours:.3g} {unit}, {opponent} {theirs:.3g} {unit}, ratio [bold]{theirs / ours:.2f}[/]")

    repeats = options.repeats
    compare("awgn on 32 × 128 × 1536", "drawing and adding noise", "s", *seconds(*awgn_sides(), repeats=4 * repeats))
    for name in ("TDL-C", "CDL-C"):
        generation = generation_sides(name)
        compare(f"drawing {name}", "Sionna's generation", "s", *seconds(*generation, repeats=repeats))
    interpolated = interpolations(repeats)
    linear = interpolated["linear"]["one SNR"]
    for name, times in interpolated.items():
        cells = ", ".join(
            f"{what} {time:.3g} s ([bold]{time / linear:.2f}[/] × linear)" for what, time in times.items()
        )
        console.print(f"interpolation {name}: {cells}")
    over_plain = added(repeats)
    for name, ratio in over_plain.items():
        console.print(f"{name}: [bold]{ratio:.2f}[/] × the plain link")
    estimators = seconds(*lmmse_sides(), repeats=max(repeats // 2, 1))
    compare("LMMSE estimates of 2 slots", "Sionna's LMMSEChannelEstimator", "s", *estimators)
    growth = scaling(repeats)
    for axis, exponent in exponents(growth).items():
        points = ", ".join(f"{n}: {1e3 * t:.0f} ms" for n, t in growth[axis].items())
        console.print(f"{axis}: {points}; grows with exponent [bold]{exponent:.2f}[/]")
    link = ofdm_link()
    what = f"{SLOTS} slots × 3 users × 8 antennas × 132 × 14"
    sides = drawn_side(link), stock_side(link)
    compare(f"{what}, forward and backward", "stock Sionna chain", "s", *seconds(*sides, repeats=repeats))
    compare("the same, peak memory", "stock Sionna chain", "MB", peak_memory("drawn"), peak_memory("stock"))

    if options.plot:
        plot_scaling(growth, options.plot)
    if options.page:
        write_page(options.page, ratios, interpolated, over_plain, growth)
    if options.json:
        with write_atomically(options.json) as temporary:
            found = {"machine": machine(), "ratios": ratios, "interpolations": interpolated}
            found |= {"over the plain link": over_plain, "growth": growth}
            temporary.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
