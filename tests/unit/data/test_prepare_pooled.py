"""Pooled tokens are prepared beside those of Slide."""

from pathlib import Path

import pytest
import torch

from tokcom_phy.data.decoding import decode
from tokcom_phy.data.prepare import Lengths, prepare
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.model.compression import Compression, compress
from tokcom_phy.model.encoders import load_encoder
from tokcom_phy.utils.errors import UserError


def test_pooled_tokens_are_stored_beside_the_others(root: Path, encoders: dict[str, Path]) -> None:
    """Those of the asked lengths, not all of the encoder's; and they stay when more is asked."""
    sound: dict[Compression, list[int]] = {"mean-pool": [4, 8], "slide": [4]}
    pictures: dict[Compression, list[int]] = {"max-pool": [3]}
    wanted: dict[str, Lengths] = {"audio": sound, "video": pictures}
    out = prepare(root, encoders, wanted)
    prepare(root, encoders, {**wanted, "audio": 4})
    store = FeatureStore.open(out)
    assert [spec.num_stored for spec in store.modalities.values()] == [4 + 4 + 8, 3]
    asked: list[tuple[str, int, Compression]]
    asked = [("audio", 4, "mean-pool"), ("audio", 8, "mean-pool"), ("video", 3, "max-pool")]
    for modality, length, how in asked:
        clip = decode(root / "clip2.mp4", num_frames=load_encoder("video", encoders["video"]).num_frames)
        media = clip.waveform if modality == "audio" else clip.frames
        whole = load_encoder(modality, encoders[modality]).encode([media])
        expected = compress(whole, length, how).half().float()
        torch.testing.assert_close(store.tokens(modality, ["clip2"], length, how), expected, rtol=0, atol=0)
    torch.testing.assert_close(store.tokens("audio", ["clip2"], 4)[0, 0], load_audio(root, encoders)[0, 0])
    with pytest.raises(UserError, match=r"8 video tokens \(max-pool\) are not stored"):
        store.tokens("video", ["clip2"], 8, "max-pool")


def load_audio(root: Path, encoders: dict[str, Path]) -> torch.Tensor:
    waveform = decode(root / "clip2.mp4", num_frames=2).waveform
    return load_encoder("audio", encoders["audio"]).encode([waveform]).half().float()
