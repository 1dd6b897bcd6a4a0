"""One draw serves a whole sweep over SNRs, and a batch that is drawn at once is made of the same realisations."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tokcom_phy.radio import Link, LinkState, load_link, philox
from tokcom_phy.radio.channels import TdlChannel
from tokcom_phy.radio.seeding import complex_normal, with_variance

LENGTHS = {"audio": 150, "text": 60}
INDICES = [0, 9, 3, 17, 8]
IMPAIRMENTS = {"frequency_offset": 0.02, "phase_noise": 300.0, "timing_offset": 1e-6, "pilot_contamination_db": -10.0}
LINKS: dict[str, tuple[str, dict[str, Any]]] = {
    "awgn": ("awgn", {}),
    "rayleigh": ("rayleigh", {}),
    "rayleigh-mimo": ("rayleigh-mimo", {}),
    "ofdm": ("ofdm-tdl-c", {"num_subcarriers": 24}),
    "ofdm in turns": ("ofdm-tdl-c", {"num_subcarriers": 24, "access": "tdma", "interpolation": "wiener"}),
    "interferer": ("ofdm-tdl-c", {"num_subcarriers": 24, "interferers": ["video"]}),
    "impaired": ("ofdm-tdl-c", {"num_subcarriers": 24, "speed": 20.0, "impairments": IMPAIRMENTS}),
    "digital": ("digital-ofdm-tdl-c", {}),
}


def small_link(name: str) -> Link[Any]:
    base, overrides = LINKS[name]
    return load_link(base, device="cpu", **overrides)


def draw(link: Link[Any], snr_db: float | torch.Tensor) -> LinkState:
    return link.draw(len(INDICES), LENGTHS, snr_db, seed=3, indices=INDICES)


def assert_equal(one: LinkState, other: LinkState) -> None:
    for found, expected in zip(one._tensors(), other._tensors(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", LINKS)
def test_a_sweep_equals_draws_of_its_own_to_the_bit(name: str) -> None:
    link = small_link(name)
    cached = link.cached(2**28)
    for snr_db in (-5.0, 10.0, torch.linspace(0.0, 20.0, len(INDICES))):
        assert_equal(draw(cached, snr_db), draw(link, snr_db))


@pytest.mark.parametrize("name", ["ofdm", "digital"])
def test_a_sweep_draws_its_channels_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[int] = Counter()
    paths = TdlChannel.paths

    def count(self: TdlChannel, seed: int, block: int, *rest: Any) -> Any:
        drawn[block] += 1
        return paths(self, seed, block, *rest)

    monkeypatch.setattr(TdlChannel, "paths", count)
    cached = small_link(name).cached(2**28)
    for snr_db in (-5.0, 5.0, 15.0):
        draw(cached, snr_db)
    assert drawn == {0: 1, 1: 1, 2: 1}
    full = small_link(name).cached(0)
    draw(full, 0.0)
    draw(full, 5.0)
    assert drawn == {0: 3, 1: 3, 2: 3}


@pytest.mark.parametrize("variance", [1.0, 0.1, 7.3])
def test_noise_is_scaled_as_it_is_drawn(variance: float) -> None:
    """A generator that draws with a standard deviation, and unit noise times it, are the same to the bit."""
    std = (variance / 2) ** 0.5
    generators = (torch.Generator().manual_seed(1) for _ in range(2))
    drawn, unit = (torch.empty(1, 32).normal_(std=s, generator=g) for s, g in zip((std, 1.0), generators, strict=True))
    scaled = with_variance(torch.view_as_complex(unit.view(1, 16, 2)), torch.tensor([variance]).double())
    torch.testing.assert_close(torch.view_as_real(scaled).view(1, 32), drawn, rtol=0, atol=0)


KNOWN_ANSWERS = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Of the reference implementation of Philox-4×32-10 (Random123), kat_vectors."""


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_has_its_known_answers(counter: tuple[int, ...], key: int, expected: tuple[int, ...]) -> None:
    a, b, c, d = (torch.tensor([word]) for word in counter)
    assert tuple(int(word) for word in philox.philox((a, b, c, d), key)) == expected


def test_counter_based_noise_is_gaussian_and_each_example_its_own() -> None:
    indices = torch.arange(64)
    noise = philox.complex_normal(4001, indices, 5)
    reals = torch.view_as_real(noise).flatten().double()
    n = reals.numel()
    assert abs(reals.mean()) < 4 / n**0.5
    assert abs(reals.square().mean() - 1) < 4 * (2 / n) ** 0.5
    assert abs(reals.pow(4).mean() - 3) < 4 * (96 / n) ** 0.5
    grid = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.5], dtype=torch.float64)
    share = (reals[:, None] < grid).double().mean(0)
    assert (share - torch.special.ndtr(grid)).abs().max() < 2 / n**0.5
    correlation = (noise @ noise.mH / 2 / 4001).fill_diagonal_(0)
    assert correlation.abs().max() < 5 / 4001**0.5
    some = philox.complex_normal(57, torch.tensor([60, 2, 2**40]), 5)
    torch.testing.assert_close(some[:2], noise[[60, 2], :57], rtol=0, atol=0)
    assert not torch.equal(some[2], some[0])
    assert not torch.equal(philox.complex_normal(57, indices, 6), noise[:, :57])


class CountOperations(TorchDispatchMode):
    """Counts the operations that are launched."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, on the CPU."""
    for module in ("seeding", "ofdm"):
        monkeypatch.setattr(f"tokcom_phy.radio.{module}.at_once", lambda device: True)


@pytest.mark.usefixtures("drawn_at_once")
def test_noise_of_a_batch_takes_as_many_launches_as_that_of_an_example() -> None:
    launches = []
    for batch in (1, 64):
        with CountOperations() as operations:
            complex_normal((12, 4), "cpu", 0, range(batch), "noise")
        launches.append(operations.count)
    assert launches[0] == launches[1] < 200


@pytest.mark.usefixtures("drawn_at_once")
@pytest.mark.parametrize("name", LINKS)
def test_a_batch_drawn_at_once_is_made_of_the_realisations_of_its_examples(name: str) -> None:
    link = small_link(name)
    whole = draw(link, 5.0)
    for position, index in enumerate(INDICES):
        single = link.draw(1, LENGTHS, 5.0, seed=3, indices=[index])
        for found, expected in zip(whole._tensors(), single._tensors(), strict=True):
            torch.testing.assert_close(found[[position]], expected, rtol=1e-4, atol=1e-5)
    assert_equal(draw(link.cached(2**28), 5.0), whole)


@pytest.mark.usefixtures("drawn_at_once")
def test_a_batch_drawn_at_once_has_the_snr_that_was_asked_for() -> None:
    sent = torch.zeros(32, 500, dtype=torch.complex64)
    received = load_link("awgn-raw", device="cpu").draw(32, 500, 7.0, seed=0).apply(sent)
    assert float(received.abs().square().mean()) == pytest.approx(10**-0.7, rel=4 / 16000**0.5)
