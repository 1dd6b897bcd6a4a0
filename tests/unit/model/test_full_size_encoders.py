"""AST base and ViViT-B 16x2 at full size, with random weights: shapes, the positions that are kept, time and memory."""

import resource
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import tone, write_video
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel, VivitConfig, VivitImageProcessor, VivitModel

from tokcom_phy.data.decoding import decode
from tokcom_phy.data.prepare import prepare
from tokcom_phy.data.store import FILE_NAME, FeatureStore
from tokcom_phy.model.encoders import load_encoder
from tokcom_phy.model.slide import slide, slide_indices

LENGTHS = (16, 32, 64, 128)


@pytest.fixture
def encoders(tmp_path: Path) -> dict[str, Path]:
    """The architectures that the paper names, in half precision on disk."""
    torch.manual_seed(0)
    ASTModel(ASTConfig()).half().save_pretrained(tmp_path / "audio")
    ASTFeatureExtractor().save_pretrained(tmp_path / "audio")
    VivitModel(VivitConfig(), add_pooling_layer=False).half().save_pretrained(tmp_path / "video")
    VivitImageProcessor().save_pretrained(tmp_path / "video")
    return {"audio": tmp_path / "audio", "video": tmp_path / "video"}


@pytest.mark.slow
def test_a_real_clip_becomes_the_tokens_that_the_paper_sends(
    encoders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 240, 320, 3), np.uint8)
    frames = np.concatenate([np.roll(pixels, 4 * shift, axis=2) for shift in range(63)])
    path = write_video(tmp_path / "clips" / "a.mp4", frames=frames, waveform=tone(440, 10, 44_100), rate=44_100)
    started = time.process_time()
    out = prepare(tmp_path / "clips", encoders, dict.fromkeys(encoders, LENGTHS), tmp_path / "store")
    seconds = time.process_time() - started
    store = FeatureStore.open(out)

    clip = decode(path, num_frames=32)
    assert clip.frames is not None
    assert clip.frames.shape == (32, 240, 320, 3)
    for modality, media, num_tokens in (("audio", clip.waveform, 1214), ("video", clip.frames, 3137)):
        assert media is not None
        encoder = load_encoder(modality, encoders[modality])
        assert (encoder.num_tokens, encoder.width) == (num_tokens, 768)
        tokens = encoder.encode([media])
        assert tokens.shape == (1, num_tokens, 768)
        union = sorted({int(i) for length in LENGTHS for i in slide_indices(num_tokens, length)})
        assert store.modalities[modality].positions == tuple(union)
        for length in LENGTHS:
            expected = slide(tokens, length).half().float()
            torch.testing.assert_close(store.tokens(modality, ["a"], length), expected, atol=2e-2, rtol=2e-3)
    stored = (out / FILE_NAME).stat().st_size
    positions = sum(len(spec.positions) for spec in store.modalities.values())
    assert stored < 2 * 768 * positions + 20_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        print(
            f"\nAST base and ViViT-B 16x2: {seconds:.1f} s of processor time for loading both and one clip of 10 s, "
            f"peak {peak:.1f} GiB, {stored / 1e3:.0f} kB a clip for {positions} of {1214 + 3137} positions"
        )
