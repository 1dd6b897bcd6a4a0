"""The pretraining of the tiny encoders: inputs as the processors make them, per-patch labels, a few real steps."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, ASTModel, PreTrainedModel, VivitImageProcessor, VivitModel

from tokcom_phy.model.encoders import load_encoder
from tokcom_phy.pretraining import audio, patch_supervision, video
from tokcom_phy.pretraining.audio import pretrain_audio
from tokcom_phy.pretraining.video import pretrain_video
from tokcom_phy.synthetic.frames import frames
from tokcom_phy.synthetic.scene import INSTRUMENTS, Player, Scene
from tokcom_phy.synthetic.sound import SAMPLE_RATE, waveform
from tokcom_phy.utils.errors import UserError

KEY = (patch_supervision.TRAIN, 0, 0)
SCENE = Scene(
    (Player("cello", "left", 0.5, 3.3, True), Player("flute", "right", 2.0, 2.5, False)), "outdoor", True, seed=1
)


def test_log_mel_is_what_the_extractor_computes() -> None:
    sound = waveform(SCENE)
    extractor = ASTFeatureExtractor(num_mel_bins=audio.NUM_MELS, max_length=audio.MAX_LENGTH, do_normalize=False)
    expected = extractor(sound, sampling_rate=SAMPLE_RATE, return_tensors="np")["input_values"][0]
    assert audio.log_mel(sound).astype(np.float32) == pytest.approx(expected, abs=0.01)


def test_pixels_are_what_the_processor_computes() -> None:
    pictures = frames(SCENE)[: video.SAMPLED_FRAMES]
    processor = VivitImageProcessor(size={"height": 48, "width": 48}, do_center_crop=False, do_normalize=False)
    expected = processor(list(pictures), return_tensors="np")["pixel_values"][0]
    assert video.prepare(torch.from_numpy(video.pixels(pictures))).numpy() == pytest.approx(expected, abs=1e-6)


def test_every_audio_patch_is_asked_of_its_own_time() -> None:
    yes_no, choices = audio.labels(SCENE)
    assert yes_no.shape == (128, len(audio.QUESTIONS.yes_no))
    assert choices.shape == (128, 1)
    assert all(np.array_equal(yes_no[:32], yes_no[32 * band : 32 * band + 32]) for band in range(4))

    def answers(topic: str, instrument: str) -> list[int]:
        return yes_no[:32, audio.QUESTIONS.yes_no.index(f"{topic}: {instrument}")].tolist()

    no = patch_supervision.NOT_ASKED
    # The cello fills [0.5, 3.3] s: of the slots of 0.16 s, most of number 3, and on to most of number 20.
    assert answers("sounds", "cello") == [0] * 3 + [1] * 18 + [0] * 11
    assert answers("loud", "cello") == [no] * 3 + [1] * 18 + [no] * 11
    assert answers("first", "cello")[5] == 1
    assert answers("last", "cello")[5] == 0
    # The flute fills [2.0, 2.5] s: half of slot 12, slots 13 and 14, and 0.1 s of slot 15.
    assert answers("sounds", "flute")[11:17] == [0, 1, 1, 1, 1, 0]
    assert answers("long", "flute")[13] == 0
    assert answers("last", "flute")[13] == 1
    assert set(answers("sounds", "tuba")) == {0}
    assert set(yes_no[:, -1]) == {1}


def test_nothing_is_asked_where_a_sound_barely_reaches_into_a_slot() -> None:
    scene = Scene((Player("drum", "left", 0.10, 0.70, True),), "indoor", False, 0)
    column = INSTRUMENTS.index("drum")
    no = patch_supervision.NOT_ASKED
    assert audio.labels(scene)[0][:6, column].tolist() == [no, 1, 1, 1, no, 0]


def test_every_tubelet_is_asked_of_its_own_column_and_time() -> None:
    yes_no, choices = (labels.reshape(8, 3, 3, -1) for labels in video.labels(SCENE))
    moves, outdoor = np.moveaxis(yes_no, -1, 0)
    who, where, when = np.moveaxis(choices, -1, 0)
    # Frames are taken at 0.16, 0.48, 0.80 s and on, two of them a tubelet; the cello plays in [0.5, 3.3] s.
    assert (outdoor == 1).all()
    assert (moves[:, :, 1] == patch_supervision.NOT_ASKED).all()
    assert moves[:, 0, 0].tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert moves[:, 0, 2].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert who[0, 0].tolist() == [INSTRUMENTS.index("cello"), len(INSTRUMENTS), INSTRUMENTS.index("flute")]
    assert where[0, 0].tolist() == [0, 1, 2]
    assert when[:, 0, 0].tolist() == list(range(8))


def test_examples_come_from_coded_media() -> None:
    inputs, yes_no, _ = audio.audio_example(KEY)
    original = audio.log_mel(waveform(patch_supervision.pretraining_scene(KEY)))
    assert inputs.shape == original.shape
    assert len(yes_no) == 128
    difference = np.abs(inputs.astype(np.float32) - original)
    assert 0.001 < difference.mean() < 1

    inputs, yes_no, _ = video.video_example(KEY)
    assert inputs.shape == (16, 3, 48, 48)
    assert len(yes_no) == 72


@pytest.mark.parametrize(
    ("part", "model", "make"), [(audio, ASTModel, audio.audio_example), (video, VivitModel, video.video_example)]
)
def test_a_few_steps_lower_the_loss_and_repeat_exactly(
    part: ModuleType, model: type[PreTrainedModel], make: patch_supervision.Maker
) -> None:
    examples = patch_supervision.render(make, patch_supervision.TRAIN, 0, 8)

    def losses() -> list[float]:
        torch.manual_seed(0)
        prepare = (lambda x: (x.float() + 6) / 9) if part is audio else video.prepare
        return patch_supervision.train(
            model(part.CONFIG), examples, part.QUESTIONS, prepare, steps=15, seed=0, batch_size=8
        )[1]

    first = losses()
    assert first == losses()
    assert np.mean(first[-3:]) < 0.7 * first[0]


@pytest.mark.parametrize(
    ("modality", "pretrain", "num_tokens"), [("audio", pretrain_audio, 130), ("video", pretrain_video, 73)]
)
def test_a_pretrained_folder_is_an_encoder(tmp_path: Path, modality: str, pretrain: type, num_tokens: int) -> None:
    figures = pretrain(tmp_path / modality, steps=2, clips=4)
    assert all(0 <= value <= 1 for value in figures.values())
    names = {path.name for path in (tmp_path / modality).iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}

    encoder = load_encoder(modality, tmp_path / modality)
    media = waveform(SCENE) if modality == "audio" else frames(SCENE)[:16]
    tokens = encoder.encode([media])
    assert tokens.shape == (1, num_tokens, 96)
    assert tokens.dtype == torch.float32
    assert tokens.isfinite().all()


def test_steps_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="steps is 0"):
        pretrain_video(tmp_path / "video", steps=0, clips=2)
    assert not (tmp_path / "video").exists()


def test_held_out_scenes_are_other_scenes() -> None:
    assert patch_supervision.pretraining_scene(KEY) != patch_supervision.pretraining_scene(
        (patch_supervision.HELD_OUT, 0, 0)
    )
    assert patch_supervision.pretraining_scene(KEY) == patch_supervision.pretraining_scene(KEY)
