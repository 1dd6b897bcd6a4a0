"""Features from arrays and encoders of one's own are prepared beside the others."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_files import write_encoders
from media_files import write_clip
from safetensors.torch import save_file

from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.model.encoders import Source, check_source, load_encoder, num_tokens
from tokcom_phy.model.slide import slide
from tokcom_phy.utils.errors import UserError

OWN = '''
import numpy as np
import torch
from tokcom_phy.model.encoders import Encoder


class Loudness(Encoder):
    """Root mean square of equal parts of the sound, in each of `width` copies."""
    takes = "sound"

    def __init__(self, num_tokens, width=3):
        self.num_tokens, self.width = num_tokens, width

    def encode(self, media):
        parts = [[np.sqrt(np.mean(part**2)) for part in np.array_split(sound, self.num_tokens)] for sound in media]
        return torch.tensor(parts).float()[..., None].expand(-1, -1, self.width)


class Brightness(Encoder):
    takes = "pictures"
    num_tokens, width, num_frames = 4, 2, 4

    def encode(self, media):
        return torch.tensor(np.stack(media)).float().mean((2, 3))[..., :2]


class Lidar(Encoder):
    num_tokens, width = 2, 2

    def encode(self, media):
        return torch.tensor([[[float(word) for word in line.split()] for line in open(path)] for path in media])


class Wrong(Lidar):
    num_tokens = 3


class Unfinished(Lidar):
    width = None
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_encoders_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_encoders_of_a_test", raising=False)


def target(name: str, **arguments: object) -> dict[str, object]:
    return {"_target_": f"own_encoders_of_a_test.{name}", **arguments}


def arrays(folder: Path, *names: str, shape: tuple[int, ...] = (50, 6)) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    made = {name: np.random.default_rng(len(name)).normal(size=shape).astype(np.float32) for name in names}
    for name, array in made.items():
        np.save(folder / f"{name}.npy", array)
    return made


def test_features_from_arrays_need_neither_encoder_nor_media(tmp_path: Path) -> None:
    made = arrays(tmp_path / "radar", "a", "bb", "ccc.0")
    half = made["bb"].astype(np.float16)
    (tmp_path / "radar" / "bb.npy").unlink()
    save_file({"features": torch.from_numpy(half)}, tmp_path / "radar" / "bb.safetensors")
    source: dict[str, Source] = {"radar": {"features": str(tmp_path / "radar")}}
    data = tmp_path / "data"
    data.mkdir()
    (data / "captions-train.json").write_text(
        json.dumps([{"clip": c, "caption": "x"} for c in ("a", "bb", "ccc.0", "d")])
    )
    store = FeatureStore.open(prepare(data, source, {"radar": (4, 10)}))
    assert store.video_ids == ["a", "bb", "ccc.0"]
    assert store.skipped == {"d": "no radar file of 'd'"}
    assert store.width("radar") == 6
    for name, array in made.items():
        for length in (4, 10):
            expected = slide(torch.from_numpy(array)[None], length).half().float()
            assert torch.equal(store.tokens("radar", [name], length), expected)
    assert num_tokens("radar", source["radar"]) == 50


def test_an_array_that_changed_is_stored_anew(tmp_path: Path) -> None:
    arrays(tmp_path / "radar", "a")
    (tmp_path / "captions-train.json").write_text('[{"clip": "a", "caption": "x"}]')
    source: dict[str, Source] = {"radar": {"features": tmp_path / "radar"}}
    before = FeatureStore.open(prepare(tmp_path, source, {"radar": 4})).tokens("radar", ["a"], 4)
    np.save(tmp_path / "radar" / "a.npy", np.ones((50, 6)))
    after = FeatureStore.open(prepare(tmp_path, source, {"radar": 4})).tokens("radar", ["a"], 4)
    assert not torch.equal(before, after)
    assert torch.equal(after, torch.ones(1, 4, 6))


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (
            lambda path: np.save(path, np.zeros((50, 7))),
            r"b\.npy is \[50, 7\] and a\.npy is \[50, 6\]: make them equal",
        ),
        (lambda path: np.save(path, np.zeros((50, 6), int)), r"b\.npy: .* \(it is not floating point\)"),
        (lambda path: np.save(path, np.zeros(300)), r"b\.npy: .* \(it has shape \[300\]\)"),
        (
            lambda path: np.save(path, np.array([{}]), allow_pickle=True),
            r"b\.npy: no floating-point array .*Python objects",
        ),
        (lambda path: path.write_bytes(b"junk"), r"b\.npy: no floating-point array"),
        (
            lambda path: path.with_suffix(".safetensors").write_bytes(b"junk"),
            r"b\.safetensors: no floating-point array",
        ),
        (
            lambda path: save_file({"x": torch.zeros(2), "y": torch.zeros(2)}, path.with_suffix(".safetensors")),
            "holds 2 tensors, not one",
        ),
        (lambda path: save_file({"x": torch.zeros(50, 6)}, path.with_name("a.safetensors")), "keep one of them"),
    ],
)
def test_arrays_that_do_not_fit_are_named_with_the_key(tmp_path: Path, write, words: str) -> None:
    arrays(tmp_path, "a")
    write(tmp_path / "b.npy")
    with pytest.raises(UserError, match=r"^encoders\.radar\.features: .*" + words) as raised:
        load_encoder("radar", {"features": tmp_path})
    assert "\n" not in str(raised.value)


def test_a_folder_without_arrays_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"encoders\.radar\.features: no ID\.npy or ID\.safetensors files in"):
        load_encoder("radar", {"features": tmp_path})
    with pytest.raises(UserError, match=r"encoders\.radar\.features: no folder .*nowhere"):
        load_encoder("radar", {"features": tmp_path / "nowhere"})


def test_values_that_half_precision_cannot_hold_skip_the_clip(tmp_path: Path) -> None:
    arrays(tmp_path / "radar", "a")
    np.save(tmp_path / "radar" / "b.npy", np.full((50, 6), 1e6))
    (tmp_path / "captions-train.json").write_text('[{"clip": "a", "caption": "x"}, {"clip": "b", "caption": "x"}]')
    store = FeatureStore.open(prepare(tmp_path, {"radar": {"features": tmp_path / "radar"}}, {"radar": 4}))
    assert store.video_ids == ["a"]
    assert "b.npy: the radar encoder's output is not finite in half precision" in store.skipped["b"]


@pytest.mark.usefixtures("own")
def test_encoders_of_ones_own_stand_beside_the_others(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number, name in enumerate("ab"):
        write_clip(root / f"{name}.mp4", seconds=1.6)
        (root / "lidar").mkdir(exist_ok=True)
        (root / "lidar" / f"{name}.txt").write_text(f"{number} 1\n2 3\n")
    arrays(tmp_path / "radar", "a", "b")
    encoders: dict[str, Source] = {
        "loud": target("Loudness", num_tokens=8),
        "video": write_encoders(tmp_path / "encoders")["video"],
        "bright": target("Brightness"),
        "lidar": target("Lidar"),
        "radar": {"features": tmp_path / "radar"},
    }
    lengths = {"loud": 4, "video": 4, "bright": 4, "lidar": 2, "radar": 5}
    store = FeatureStore.open(prepare(root, encoders, lengths))
    assert store.video_ids == ["a", "b"]
    assert torch.equal(store.tokens("lidar", ["b"], 2), torch.tensor([[[1.0, 1.0], [2.0, 3.0]]]))
    assert store.tokens("loud", ["a"], 4).sub(0.5 / np.sqrt(2)).abs().max() < 0.02
    assert (store.tokens("bright", ["a"], 4).diff(dim=1) > 10).all()
    assert store.width("loud") == 3
    alone = FeatureStore.open(prepare(root, {"video": encoders["video"]}, {"video": 4}, tmp_path / "alone"))
    assert torch.equal(store.tokens("video", ["a", "b"], 4), alone.tokens("video", ["a", "b"], 4))
    several = prepare(root, encoders, lengths, tmp_path / "several", workers=2)
    assert (several / "features.arrow").read_bytes() == (root / "features" / "features.arrow").read_bytes()


@pytest.mark.usefixtures("own")
def test_the_fingerprint_of_ones_own_follows_its_arguments_and_its_code(tmp_path: Path) -> None:
    def fingerprint(**arguments: object) -> str:
        sys.modules.pop("own_encoders_of_a_test", None)
        return load_encoder("loud", target("Loudness", **arguments)).fingerprint

    first = fingerprint(num_tokens=8)
    assert fingerprint(num_tokens=8) == first
    assert fingerprint(num_tokens=8, width=3) != first
    (tmp_path / "own_encoders_of_a_test.py").write_text(OWN + "\n# changed\n")
    assert fingerprint(num_tokens=8) != first


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (target("Loudnes", num_tokens=8), r"encoders\.own: .* has no 'Loudnes' .* did you mean 'Loudness'"),
        (
            target("Loudness", num_token=8),
            r"encoders\.own: .* takes no argument 'num_token': did you mean 'num_tokens'",
        ),
        (target("Loudness"), r"encoders\.own: .* needs 'num_tokens'"),
        (target("Unfinished"), r"encoders\.own: .* has width None: set a positive integer"),
        ({"_target_": "collections.OrderedDict"}, r"encoders\.own: .* expected a tokcom_phy\.model\.encoders\.Encoder"),
    ],
)
def test_mistakes_in_ones_own_are_named_with_the_key(source, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_encoder("own", source)


@pytest.mark.usefixtures("own")
def test_a_tensor_of_another_shape_ends_preparation_in_one_line(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "lidar").mkdir(parents=True)
    (root / "lidar" / "a.txt").write_text("0 1\n2 3\n")
    (root / "captions-train.json").write_text('[{"clip": "a", "caption": "x"}]')
    with pytest.raises(
        UserError, match=r"encoders\.lidar: encode gives \[1, 2, 2\] for one clip, expected \[1, 3, 2\]"
    ):
        prepare(root, {"lidar": target("Wrong")}, {"lidar": 2})


@pytest.mark.parametrize(
    ("modality", "source", "words"),
    [
        ("radar", "tiny/audio", r"unknown modality 'radar': .* Others take \{features: DIR\} or \{_target_: …\}"),
        ("radar", {"feature": "x"}, "names no encoder: write a model's name"),
        ("radar", {"features": 5}, "features is 5: name a folder"),
        ("radar", {"features": "x", "width": 5}, "names no encoder"),
        ("radar", 5, "names no encoder"),
    ],
)
def test_what_names_no_encoder_is_named(modality: str, source, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_source(modality, source)
