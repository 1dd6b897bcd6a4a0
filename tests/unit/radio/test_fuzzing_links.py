"""Mutated link and experiment files load, or end in `UserError`: no other error, and in less than a minute."""

import random
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.radio import load_link
from tokcom_phy.radio.digital import DigitalLink
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import builtin_folder, builtin_names
from tokcom_phy.utils.yaml_files import read_yaml

ODD: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 2**32, 10**30, 1.5, -400.0, 1e300, float("nan"), float("inf"), "", " ", "\ud800"),
    *("a\x1b[31m", "\0", "../x", "/etc", "x" * 300, "awgn", "${a}", "${oc.env:HOME}", [], {}, [[]] * 3, {"a": [1]}),
    *([1] * 1000, {"extends": "awgn"}, {"_target_": "os.getcwd"}, {"family": "flat"}, {1: 2}, [None]),
]

WORDS = [
    "&a ",
    "*a",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "!!timestamp ",
    "!!set ",
    "<<: ",
    "\n",
    "\t",
    "'",
    '"',
    "#",
    "| ",
    "é",
]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in nested settings."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [leaf for key, part in inner for leaf in leaves(part, (*path, key))]


def mutated(settings: dict[str, Any], rng: random.Random) -> str:
    """Settings with some values changed, replaced or removed, or their text spoilt."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        if not settings:
            break  # all of it is removed
        *path, last = rng.choice(leaves(settings))
        place: Any = settings
        for key in path:
            place = place[key]
        if type(place[last]) in (int, float) and rng.random() < 0.7:
            place[last] *= rng.choice([-1, 0, 0.5, 2, 3, 10])
        elif rng.random() < 0.2:
            del place[last]
        else:
            place[last] = deepcopy(rng.choice(ODD))
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=False)
    for _ in range(rng.choice([0, 0, 0, 2])):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(WORDS) + text[at + rng.choice([0, 0, 1, 9]) :]
    return text


def attack(kind: str, load: Callable[[str], object], folder: Path, files: int) -> int:
    """Load so many mutated built-in files; returns how many of them were refused."""
    rng, refused = random.Random(kind), 0
    names = builtin_names(kind)
    for _ in range(files):
        settings = read_yaml(builtin_folder(kind) / f"{rng.choice(names)}.yaml")
        path = folder / "mutated.yaml"
        path.write_text(mutated(settings, rng))
        start = time.process_time()
        try:
            load(str(path))
        except UserError as error:
            refused += 1
            message = str(error)
            assert "\n" not in message, path.read_text()
            assert len(message) < 2000, path.read_text()
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{path.read_text()}") from error
        assert time.process_time() - start < 60, path.read_text()
    return refused


def drawing(scenes: int) -> Callable[[str], None]:
    """Let a link draw a little, or say why not. Only so many scenes are traced, for few positions: ten seconds each."""
    traced: list[str] = []

    def draw(path: str) -> None:
        link = load_link(path)
        below = link.over if isinstance(link, DigitalLink) else link
        if isinstance(below, OfdmLink) and below.config.channel == "ray-traced":
            if len(traced) == scenes or link is not below:
                return
            traced.append(path)
            link = load_link(path, scene={"positions": 4})
        link.draw(1, dict.fromkeys(link.users or ["text"], 8), 10.0, seed=0)

    return draw


FILES = [50, pytest.param(3000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("files", FILES)
def test_mutated_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    monkeypatch.setenv("TOKCOM_CACHE", str(tmp_path / "cache"))
    assert 0 < attack("links", drawing(scenes=files // 300), tmp_path, files) < files


@pytest.mark.parametrize("files", FILES)
def test_mutated_experiments(tmp_path: Path, files: int) -> None:
    assert 0 < attack("experiments", load_experiment, tmp_path, files) < files
