"""Damaged and foreign checkpoints, models and systems: each ends in one line, or loads."""

import json
import pickle
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foundation_files import write_foundation
from safetensors.torch import load_file, save_file
from torch import Tensor

from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.published import read_checkpoint
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.system_config import SystemConfig
from tokcom_phy.utils.errors import UserError

WIDTH, HIDDEN = 32, 24


def published() -> dict[str, Any]:
    """A checkpoint as the published code lays it out."""
    torch.manual_seed(0)

    def receiver() -> dict[str, Tensor]:
        layers = {"0": (HIDDEN, WIDTH), "2": (WIDTH, HIDDEN)}
        return {f"receiver.{n}.weight": torch.randn(shape) for n, shape in layers.items()} | {
            f"receiver.{n}.bias": torch.randn(shape[0]) for n, shape in layers.items()
        }

    def transmitter(width: int) -> dict[str, Tensor]:
        return {"projection.weight": torch.randn(WIDTH, width), "projection.bias": torch.randn(WIDTH)}

    parts = {"img_tx": transmitter(10), "audio_tx": transmitter(6)}
    return parts | {name: receiver() for name in ("text_receiver", "img_receiver", "audio_receiver")}


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    words = str(error.value)
    assert "\n" not in words
    assert len(words) < 1000
    return words


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def quantised() -> Tensor:
    return torch.quantize_per_tensor(torch.randn(WIDTH), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (lambda: torch.tensor(1.0), r"it should be \(32,\)"),
        (lambda: torch.randn(WIDTH).to_sparse(), "is sparse"),
        (lambda: torch.empty(WIDTH, device="meta"), "is without values, on the device meta"),
        (lambda: torch.ones(1).expand(200_000), r"is expanded to \(200000,\) from fewer values"),
        (lambda: torch.randn(WIDTH, dtype=torch.complex64), "is complex"),
        (lambda: torch.arange(WIDTH), "is of type int64"),
        (lambda: torch.ones(WIDTH, dtype=torch.bool), "is of type bool"),
        (quantised, "is quantised"),
        (lambda: torch.nested.nested_tensor([torch.randn(2), torch.randn(3)]), "is nested"),
        (lambda: torch.full((WIDTH,), torch.nan), "is not finite numbers"),
        (lambda: torch.full((WIDTH,), torch.inf), "is not finite numbers"),
        (lambda: torch.ones(0), r"it should be \(32,\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore:The PyTorch API of nested tensors")
def test_a_weight_of_another_kind_is_named(weight: Callable[[], Tensor], words: str, tmp_path: Path) -> None:
    parts = published()
    parts["img_tx"]["projection.bias"] = weight()
    torch.save(parts, tmp_path / "a.pth")
    with pytest.raises(UserError, match=words) as caught:
        read_checkpoint(tmp_path / "a.pth")
    assert "projection.bias" in one_line(caught)


def test_all_scalars_and_huge_expanded_matrices_are_refused_before_they_are_copied(tmp_path: Path) -> None:
    for name, weight in {"a": torch.tensor(1.0), "b": torch.ones(1, 1).expand(200_000, 200_000)}.items():
        torch.save({part: dict.fromkeys(keys, weight) for part, keys in published().items()}, tmp_path / f"{name}.pth")
        with pytest.raises(UserError, match=r"expected a matrix|from fewer values"):
            read_checkpoint(tmp_path / f"{name}.pth")


def test_tokens_of_odd_width_are_refused(tmp_path: Path) -> None:
    parts = published()
    parts["text_receiver"]["receiver.0.weight"] = torch.randn(HIDDEN, WIDTH - 1)
    torch.save(parts, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth holds tokens of odd width 31: two values make one symbol"):
        read_checkpoint(tmp_path / "a.pth")


def test_dictionaries_without_end_are_refused(tmp_path: Path) -> None:
    itself: dict[str, Any] = published()
    itself["img_tx"]["again"] = itself
    laughs: dict[str, Any] = {"x": torch.ones(1)}
    for _ in range(30):
        laughs = dict.fromkeys("abcdefgh", laughs)
    for name, parts in {"itself": itself, "nested": nested(3000), "laughs": laughs}.items():
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(20_000)
        torch.save(parts, tmp_path / f"{name}.pth")
        sys.setrecursionlimit(limit)
        with pytest.raises(UserError, match="more than 32 deep, or more than 100,000 entries") as caught:
            read_checkpoint(tmp_path / f"{name}.pth")
        one_line(caught)


def test_any_mutation_of_a_checkpoint_ends_in_one_line(tmp_path: Path) -> None:
    rng = random.Random(0)
    odd: list[Callable[[], Any]] = [
        lambda: None,
        lambda: {},
        lambda: [1, 2],
        lambda: "text",
        lambda: torch.tensor(3.0),
        lambda: torch.randn(3, 4, 5),
        lambda: torch.randn(WIDTH, HIDDEN).T,
        lambda: torch.randn(0, 3),
        lambda: torch.randn(WIDTH).half(),
        lambda: torch.randn(5, 5).to_sparse_csr(),
        lambda: {0: torch.ones(2), (1, 2): torch.ones(2), torch.ones(1): 3},
        lambda: torch.nn.Parameter(torch.randn(WIDTH)),
        lambda: nested(40),
    ]
    file = tmp_path / "mutated.pth"
    told = []
    for _ in range(150):
        parts = published()
        for _ in range(rng.randint(1, 3)):
            part = rng.choice(list(parts))
            inside = parts[part] if isinstance(parts[part], dict) and parts[part] and rng.random() < 0.7 else parts
            inside[rng.choice([*inside, "module.text_receiver.receiver.0.weight"])] = rng.choice(odd)()
        torch.save(parts, file)
        if rng.random() < 0.3:
            mutate(file, rng)
        try:
            read_checkpoint(file)
            told.append("")
        except UserError as error:
            told.append(str(error))
    assert not any("\n" in words for words in told)
    assert 20 < sum(map(bool, told)) < 150


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_pickled_weights_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_foundation(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    for write in (lambda: pickle.dumps({"a": Evil()}), lambda: b"\x80\x02not a pickle", lambda: b""):
        (folder / "pytorch_model.bin").write_bytes(write())
        with pytest.raises(UserError, match="cannot load the foundation model") as caught:
            Foundation.load(folder)
        one_line(caught)
    torch.save({"a": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="hold more than tensors and are not unpickled"):
        Foundation.load(folder)
    assert not (tmp_path / "executed").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Foundation]:
    folder = tmp_path_factory.mktemp("system")
    foundation = Foundation.load(write_foundation(folder / "model"))
    system = TokenCommSystem(SystemConfig({"audio": 6, "video": 10}, foundation.width, 16), foundation)
    foundation.add_lora()
    system.save_pretrained(folder / "saved")
    foundation.remove_lora()
    return folder / "saved", foundation


def mutate(file: Path, rng: random.Random) -> None:
    """Cut, flip, empty or replace the bytes of a file."""
    data = bytearray(file.read_bytes())
    kind = rng.randrange(5)
    if kind == 0:
        del data[rng.randrange(len(data)) :]
    elif kind == 1:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
    elif kind == 2:
        data.clear()
    elif kind == 3:
        start = rng.randrange(len(data))
        del data[start : start + rng.randint(1, 50)]
    else:
        data[rng.randrange(len(data)) : 0] = rng.randbytes(rng.randint(1, 50))
    file.write_bytes(bytes(data))


def load(folder: Path, foundation: Foundation) -> str:
    """The message about a system that cannot be loaded, empty if it can."""
    told = ""
    try:
        TokenCommSystem.from_pretrained(folder, foundation=foundation)
    except UserError as error:
        told = str(error)
    finally:
        foundation.remove_lora()
    assert "\n" not in told
    assert not told or str(folder) in told
    return told


@pytest.mark.parametrize("key", ["foundation_model", "encoder_widths", "token_width", "receiver_width", "question"])
@pytest.mark.parametrize(
    "value",
    [None, "x", 0, -4, 1.5, True, 10**12, [], {}, {"audio": "6"}, {"audio": 10**12}, {"text": 6}, {"": 6}, {"a.b": 6}],
    ids=str,
)
def test_a_setting_of_another_kind_is_one_line(
    key: str, value: Any, saved: tuple[Path, Foundation], tmp_path: Path
) -> None:
    folder, foundation = tmp_path / "system", saved[1]
    shutil.copytree(saved[0], folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, key: value}))
    if (key, value) == ("foundation_model", "x"):
        return  # the name alone: the model is given
    assert load(folder, foundation)


@pytest.mark.parametrize("damage", ["[" * 100_000, "[]", "null", "{}", '{"foundation_model": "a"}', "\x00", '{"a": 1}'])
def test_a_config_that_is_none_is_one_line(damage: str, saved: tuple[Path, Foundation], tmp_path: Path) -> None:
    folder, foundation = tmp_path / "system", saved[1]
    shutil.copytree(saved[0], folder)
    (folder / "config.json").write_text(damage)
    assert "config" in load(folder, foundation)


def test_any_mutation_of_a_system_ends_in_one_line(saved: tuple[Path, Foundation], tmp_path: Path) -> None:
    rng, (whole, foundation) = random.Random(1), saved
    assert load(whole, foundation) == ""
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.*") if path.is_file() and path.suffix != ".md")
    refused = 0
    for number in range(100):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        file = folder / rng.choice(files)
        if rng.random() < 0.1:
            file.unlink()
            file.mkdir()
        else:
            mutate(file, rng)
        refused += bool(load(folder, foundation))
        shutil.rmtree(folder)
    assert refused > 50


def test_weights_of_another_system_are_one_line(saved: tuple[Path, Foundation], tmp_path: Path) -> None:
    folder, foundation = tmp_path / "system", saved[1]
    shutil.copytree(saved[0], folder)
    for file, words in (("transceivers", "another size"), ("adapter/adapter_model", "adapter")):
        path = folder / f"{file}.safetensors"
        tensors = load_file(path)
        name = sorted(tensors)[0]
        save_file({**tensors, name: torch.ones(2, 3)}, path)
        assert words in load(folder, foundation)
        del tensors[name]
        save_file(tensors, path)
        assert words in load(folder, foundation)
        shutil.copy(saved[0] / f"{file}.safetensors", path)
    assert load(folder, foundation) == ""
