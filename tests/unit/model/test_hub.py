"""Models by hub name: downloaded once, from the cache after that, and refused soon where there is no hub."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
from foundation_files import write_gguf
from local_hub import serve, silence

from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.foundation_config import find_foundation
from tokcom_phy.model.system import SystemConfig, TokenCommSystem
from tokcom_phy.utils.errors import UserError

NAMES = ["someone/model", "someone/files/model.gguf"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tokcom_phy.model.hub.HUB_TIMEOUT_S", 1.0)
    return tmp_path / "cache"


@pytest.fixture
def asked() -> list[str]:
    """What was asked of the hub."""
    return []


@pytest.fixture
def hub(
    foundation_folder: Path, tmp_path: Path, cache: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    (tmp_path / "files").mkdir()
    write_gguf(foundation_folder, tmp_path / "files" / "model.gguf", gguf.GGMLQuantizationType.F32)
    foundation = Foundation.load(foundation_folder)
    system = TokenCommSystem(SystemConfig({"audio": 6}, foundation.width, 16), foundation)
    system.save_pretrained(tmp_path / "system")
    repositories = {
        "someone/model": foundation_folder,
        "someone/files": tmp_path / "files",
        "someone/system": tmp_path / "system",
    }
    with serve(repositories, asked) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        yield


@pytest.fixture
def silent_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with silence() as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_downloaded_once(name: str, hub: None, asked: list[str]) -> None:
    assert Foundation.load(name).width == 32
    assert asked
    asked.clear()
    find_foundation(name)
    assert asked == []


def test_a_system_comes_from_the_hub_and_without_it_from_the_cache(
    hub: None, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = TokenCommSystem.from_pretrained("someone/system")
    assert asked
    with silence() as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        kept = TokenCommSystem.from_pretrained("someone/system")
    assert kept.config == fetched.config


@pytest.mark.parametrize("name", [*NAMES, "someone/system"])
def test_a_hub_that_says_nothing_is_given_up_soon(name: str, silent_hub: None) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=r"no answer within 1 s; HF_HUB_ETAG_TIMEOUT allows more\): give a "):
        TokenCommSystem.from_pretrained(name) if name.endswith("system") else find_foundation(name)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("someone/nothing", ".*404.*"),
        ("someone/nothing/model.gguf", ".*404.*"),
        ("someone/files/modle.gguf", r"it is not in someone/files: did you mean 'model\.gguf'\?"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(name: str, reason: str, hub: None) -> None:
    with pytest.raises(
        UserError, match=rf"cannot be had from the hub \({reason}\): give a .* as --set foundation="
    ) as caught:
        find_foundation(name)
    assert "\n" not in str(caught.value)


def test_weights_in_parts_must_all_be_there(foundation_folder: Path, tmp_path: Path) -> None:
    Foundation.load(foundation_folder).model.save_pretrained(tmp_path, max_shard_size="20KB")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((foundation_folder / file).read_bytes())
    assert Foundation.load(tmp_path).width == 32
    index = tmp_path / "model.safetensors.index.json"
    lost = sorted(set(json.loads(index.read_text())["weight_map"].values()))[1]
    (tmp_path / lost).unlink()
    with pytest.raises(UserError, match=rf"has no {lost}: a model is a folder with config\.json"):
        find_foundation(tmp_path)
    index.write_text("{")
    with pytest.raises(UserError, match=r"has no valid model\.safetensors\.index\.json"):
        find_foundation(tmp_path)
