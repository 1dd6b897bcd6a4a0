"""Encoders (2): sizes from their configuration, tokens as transformers computes them, faults in one line."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_files import AST, VIVIT, write_encoders
from media_files import grey_frames, tone
from safetensors.torch import load_file, save_file
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    ASTModel,
    VivitConfig,
    VivitForVideoClassification,
    VivitImageProcessor,
    VivitModel,
)

from tokcom_phy.model.encoders import VideoEncoder, WindowedASTFeatureExtractor, load_encoder, num_tokens
from tokcom_phy.utils.errors import MediaError, UserError


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_encoders(tmp_path_factory.mktemp("encoders"))


def test_sizes_come_from_the_configuration(folders: dict[str, Path]) -> None:
    audio, video = (load_encoder(modality, folders[modality]) for modality in ("audio", "video"))
    assert (audio.modality, audio.num_tokens, audio.width) == ("audio", 130, 96)
    assert isinstance(video, VideoEncoder)
    assert (video.modality, video.num_tokens, video.width, video.num_frames) == ("video", 73, 96, 16)


def test_audio_tokens_are_those_of_transformers(folders: dict[str, Path]) -> None:
    waveforms = [tone(440, 5.12), tone(880, 2)]
    tokens = load_encoder("audio", folders["audio"]).encode(waveforms)
    processor = ASTFeatureExtractor.from_pretrained(folders["audio"])
    model = ASTModel.from_pretrained(folders["audio"], dtype=torch.float32).eval()
    inputs = processor(waveforms, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
    assert tokens.shape == (2, 130, 96)
    assert tokens.dtype == torch.float32
    assert not tokens.requires_grad
    torch.testing.assert_close(tokens, expected)


@pytest.mark.parametrize("samples", [400, 559, 560, 16_000, 81_920, 200_000])
def test_spectrogram_is_that_of_transformers(samples: int) -> None:
    rng = np.random.default_rng(samples)
    waveform = (tone(440, samples / 16_000) + 1e-3 * rng.standard_normal(samples)).astype(np.float32)
    waveform[samples // 2 :] = 0
    options = {"num_mel_bins": 64, "max_length": 512}
    expected = ASTFeatureExtractor(**options)(waveform, sampling_rate=16_000, return_tensors="np")["input_values"]
    found = WindowedASTFeatureExtractor(**options)(waveform, sampling_rate=16_000, return_tensors="np")["input_values"]
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_video_tokens_are_those_of_transformers(folders: dict[str, Path]) -> None:
    frames = grey_frames(16)
    tokens = load_encoder("video", folders["video"]).encode([frames])
    processor = VivitImageProcessor.from_pretrained(folders["video"])
    model = VivitModel.from_pretrained(folders["video"], dtype=torch.float32, add_pooling_layer=False).eval()
    with torch.no_grad():
        expected = model(**processor(list(frames), return_tensors="pt")).last_hidden_state
    assert tokens.shape == (1, 73, 96)
    torch.testing.assert_close(tokens, expected)


@pytest.mark.parametrize("layout", ["safetensors", "bin"])
def test_checkpoints_with_a_classifier_load_as_published(tmp_path: Path, layout: str) -> None:
    """The published AST and ViViT are classifiers; one of them has its weights in a ``pytorch_model.bin``."""
    torch.manual_seed(3)
    models = {
        "audio": ASTForAudioClassification(ASTConfig(**AST, num_labels=5)).eval(),
        "video": VivitForVideoClassification(VivitConfig(**VIVIT, num_labels=5)).eval(),
    }
    processors = {
        "audio": ASTFeatureExtractor(num_mel_bins=64, max_length=512),
        "video": VivitImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 48, "width": 48}),
    }
    for modality, media in (("audio", tone(440, 5.12)), ("video", grey_frames(16, 60, 80))):
        folder = tmp_path / modality
        model, processor = models[modality], processors[modality]
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        if layout == "bin":
            torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
            (folder / "model.safetensors").unlink()
        tokens = load_encoder(modality, folder).encode([media])
        base = model.audio_spectrogram_transformer if modality == "audio" else model.vivit
        options = {"sampling_rate": 16_000} if modality == "audio" else {}
        inputs = processor(media if modality == "audio" else list(media), return_tensors="pt", **options)
        with torch.no_grad():
            torch.testing.assert_close(tokens, base(**inputs).last_hidden_state, rtol=1e-4, atol=1e-5)


def test_a_clip_does_not_depend_on_its_neighbours(folders: dict[str, Path]) -> None:
    encoder = load_encoder("audio", folders["audio"])
    one, two = tone(440, 5.12), tone(700, 5.12)
    torch.testing.assert_close(encoder.encode([one, two])[0], encoder.encode([one])[0])


def test_fingerprint_tells_weights_apart_and_nothing_else(folders: dict[str, Path], tmp_path: Path) -> None:
    same, other = write_encoders(tmp_path / "same"), write_encoders(tmp_path / "other", seed=1)
    for modality in ("audio", "video"):
        fingerprint = load_encoder(modality, folders[modality]).fingerprint
        assert load_encoder(modality, same[modality]).fingerprint == fingerprint
        assert load_encoder(modality, other[modality]).fingerprint != fingerprint
    processor = folders["audio"] / "preprocessor_config.json"
    (same["audio"] / processor.name).write_text(processor.read_text().replace("4.5689974", "4"))
    assert load_encoder("audio", same["audio"]).fingerprint != load_encoder("audio", folders["audio"]).fingerprint


def test_sound_too_short_for_a_window_is_named(folders: dict[str, Path]) -> None:
    encoder = load_encoder("audio", folders["audio"])
    assert encoder.encode([tone(440, 0.025)]).shape == (1, 130, 96)
    with pytest.raises(MediaError, match="399 samples of sound"):
        encoder.encode([np.zeros(399, np.float32)])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "/nowhere/ast",
            r"no folder /nowhere/ast: give a folder with config\.json, preprocessor_config\.json and model",
        ),
        ("./ast", r"no folder ast"),
        ("tiny/sound", r"no shipped model 'tiny/sound'"),
        ("tokcom-phy-tests/no-such-model", r"not in the local cache .*: .* as --set encoders\.audio=FOLDER"),
        ("no such name", r"not in the local cache .*: give a folder with config\.json"),
    ],
)
def test_missing_models_say_the_layout(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=words) as raised:
        load_encoder("audio", name)
    assert "\n" not in str(raised.value)


def test_a_folder_that_lacks_files_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folders["audio"] / "config.json").read_text())
    with pytest.raises(UserError, match=r"has no preprocessor_config\.json, no model\.safetensors"):
        load_encoder("audio", tmp_path)


@pytest.mark.parametrize(
    ("modality", "config", "tokens"), [("audio", ASTConfig(), 1214), ("video", VivitConfig(), 3137)]
)
def test_the_papers_encoders_tell_their_tokens_without_weights(modality, config, tokens, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert num_tokens(modality, tmp_path) == tokens
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=f"cannot load the {modality} encoder"):
        num_tokens(modality, tmp_path)


def test_the_wrong_kind_of_model_is_named(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="is 'audio-spectrogram-transformer', expected 'vivit'"):
        load_encoder("video", folders["audio"])
    with pytest.raises(UserError, match=r"unknown modality 'vidio': did you mean 'video'"):
        load_encoder("vidio", folders["audio"])


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = write_encoders(tmp_path)["audio"]
    weights = load_file(folder / "model.safetensors")
    save_file({key: weights[key] for key in list(weights)[1:]}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights \['"):
        load_encoder("audio", folder)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    with pytest.raises(UserError, match="cannot load the audio encoder"):
        load_encoder("audio", folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="cannot load the audio encoder"):
        load_encoder("audio", folder)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
def test_an_encoder_loads_without_a_word(tmp_path: Path) -> None:
    """AST's default of 128 bands leaves some without a frequency, of which transformers warns each time."""
    folder = write_encoders(tmp_path)["audio"]
    ASTFeatureExtractor(num_mel_bins=128, max_length=512).save_pretrained(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_encoder("audio", folder)
    assert [str(warning.message) for warning in caught if "mel filter" in str(warning.message)] == []
