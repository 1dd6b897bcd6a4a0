"""The feature store gives back what Slide (3) keeps of the encoder's tokens."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tokcom_phy.data.store import (
    FILE_NAME,
    ROWS_PER_BATCH,
    Contents,
    FeatureStore,
    Modality,
    Row,
    RowWriter,
    read_contents,
    read_rows,
    union_of_positions,
    write_store,
)
from tokcom_phy.model.slide import slide
from tokcom_phy.utils.errors import UserError

LENGTHS = (4, 8, 16, 32)
TOKENS = {"audio": 130, "video": 73}
WIDTH = 6
CLIPS = ROWS_PER_BATCH + 44  # two record batches
CONTENTS = Contents(
    {
        name: Modality(f"{name}-digest", count, WIDTH, union_of_positions(count, LENGTHS))
        for name, count in TOKENS.items()
    },
    skipped={"broken": "broken.mp4: no audio track"},
)


def encoded(modality: str) -> torch.Tensor:
    """Encoder outputs, exact in half precision: float32 [clips, num_tokens, width]."""
    generator = torch.Generator().manual_seed(len(modality) + TOKENS[modality])
    return torch.randn(CLIPS, TOKENS[modality], WIDTH, generator=generator).half().float()


def rows() -> dict[str, Row]:
    kept = {
        name: encoded(name)[:, list(spec.positions)].half().flatten(1).numpy()
        for name, spec in CONTENTS.modalities.items()
    }
    order = np.random.default_rng(0).permutation(CLIPS)
    return {f"clip{i:04d}": Row(f"{i}.mp4:1:1", {name: kept[name][i] for name in TOKENS}) for i in order}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    path = tmp_path_factory.mktemp("store")
    write_store(path, CONTENTS, rows())
    return FeatureStore.open(path)


def test_union_holds_every_length_once() -> None:
    assert union_of_positions(73, [4]) == (0, 24, 48, 72)
    assert union_of_positions(73, [4, 2, 4]) == (0, 24, 48, 72)
    with pytest.raises(UserError, match="73 tokens"):
        union_of_positions(73, [4, 74])


@pytest.mark.parametrize("modality", ["audio", "video"])
@pytest.mark.parametrize("length", LENGTHS)
def test_tokens_are_those_that_slide_keeps(store: FeatureStore, modality: str, length: int) -> None:
    chosen = [299, 0, 255, 256, 17, 17]
    tokens = store.tokens(modality, [f"clip{i:04d}" for i in chosen], length)
    assert tokens.dtype == torch.float32
    assert torch.equal(tokens, slide(encoded(modality)[chosen], length))


def test_what_a_store_tells_of_itself(store: FeatureStore) -> None:
    assert store.video_ids == [f"clip{i:04d}" for i in range(CLIPS)]
    assert len(store) == CLIPS
    assert "clip0003" in store
    assert "broken" not in store
    assert store.width("audio") == WIDTH
    assert store.skipped == CONTENTS.skipped
    assert store.dataset.num_rows == CLIPS
    assert store.tokens("audio", [], 4).shape == (0, 4, WIDTH)


def test_a_length_whose_positions_are_stored_can_be_asked(store: FeatureStore) -> None:
    """Two tokens are the first and the last, which every length has."""
    assert torch.equal(store.tokens("audio", ["clip0005"], 2), slide(encoded("audio")[5:6], 2))


def test_what_is_not_stored_is_named(store: FeatureStore) -> None:
    with pytest.raises(UserError, match=r"5 audio tokens \(slide\) are not stored in .*: prepare it again"):
        store.tokens("audio", ["clip0000"], 5)
    with pytest.raises(UserError, match="130 tokens"):
        store.tokens("audio", ["clip0000"], 131)
    with pytest.raises(UserError, match=r"no 'audoi' features in .* did you mean 'audio'"):
        store.tokens("audoi", ["clip0000"], 4)
    with pytest.raises(UserError, match=r"no features of clip 'broken' in .*: broken\.mp4: no audio track"):
        store.tokens("audio", ["clip0000", "broken"], 4)
    with pytest.raises(UserError, match=r"no features of clip 'other' in .*: it was not there"):
        store.tokens("audio", ["other"], 4)


def test_features_are_mapped_not_read(store: FeatureStore) -> None:
    for pieces in store._features.values():
        assert [len(piece) for piece in pieces] == [ROWS_PER_BATCH, CLIPS - ROWS_PER_BATCH]
        assert not any(piece.flags.owndata or piece.flags.writeable for piece in pieces)


def test_store_travels_to_workers_by_its_path(store: FeatureStore) -> None:
    pickled = pickle.dumps(store)
    assert len(pickled) < 1_000
    assert torch.equal(pickle.loads(pickled).tokens("video", ["clip0007"], 8), store.tokens("video", ["clip0007"], 8))


def test_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no feature store in .*: make it with tokcom data prepare"):
        FeatureStore.open(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"not arrow")
    with pytest.raises(UserError, match="no feature store"):
        FeatureStore.open(tmp_path)


def test_rows_survive_a_file_that_was_never_finished(tmp_path: Path) -> None:
    file = tmp_path / "journal.arrow"
    some = dict(list(rows().items())[:10])
    with RowWriter(file, CONTENTS) as writer:
        for video_id, row in some.items():
            writer.write({video_id: row})
    whole = file.read_bytes()
    for cut, least in ((len(whole) - 3, 9), (len(whole) // 2, 3), (100, 0), (0, 0)):
        file.write_bytes(whole[:cut])
        found = read_rows(file, CONTENTS.modalities)
        assert least <= len(found) <= 10
        for video_id, row in found.items():
            assert row.source == some[video_id].source
            np.testing.assert_array_equal(row.features["audio"], some[video_id].features["audio"])


def test_rows_of_other_features_are_not_taken(tmp_path: Path) -> None:
    write_store(tmp_path, CONTENTS, dict(list(rows().items())[:3]))
    file = tmp_path / FILE_NAME
    assert read_contents(file) == CONTENTS
    assert len(read_rows(file, CONTENTS.modalities)) == 3
    assert len(read_rows(file, {"audio": CONTENTS.modalities["audio"]})) == 3
    other = Modality("other-digest", 130, WIDTH, CONTENTS.modalities["audio"].positions)
    assert read_rows(file, {"audio": other}) == {}
    assert read_contents(tmp_path / "nothing") is None
