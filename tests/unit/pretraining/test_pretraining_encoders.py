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
from tokcom_phy.synthetic.scene import CLIP_SECONDS, INSTRUMENTS, Player, Scene
from tokcom_phy.synthetic.sound import SAMPLE_RATE, waveform
from tokcom_phy.utils.errors import UserError

KEY = (patch_supervision.TRAIN, 0, 0)
SCENE = Scene(
    (
        Player("cello", "left", (0.3, 5.0), ((0.5, 1.3), (3.0, 3.6)), True),
        Player("flute", "right", (0.0, CLIP_SECONDS), ((1.0, 1.5),), False),
    ),
    "outdoor",
    (6.0, 7.0),
    seed=1,
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
    assert yes_no.shape == (63, len(audio.QUESTIONS.yes_no))
    assert choices.shape == (63, 1)

    def answers(topic: str, instrument: str) -> list[int]:
        return yes_no[:, audio.QUESTIONS.yes_no.index(f"{topic}: {instrument}")].tolist()

    no = patch_supervision.NOT_ASKED
    # Slots are 0.16 s around 0.16, 0.32, … s. The cello fills [0.5, 1.3] s: a third of slot 2, on to most of slot 7,
    # and [3.0, 3.6] s: most of slot 18, and slots 19 to 21.
    assert answers("sounds", "cello")[:10] == [0, 0, no, 1, 1, 1, 1, 1, 0, 0]
    assert answers("sounds", "cello")[17:24] == [0, 1, 1, 1, 1, 0, 0]
    assert answers("loud", "cello")[:10] == [no, no, no, 1, 1, 1, 1, 1, no, no]
    # The flute fills [1.0, 1.5] s: a quarter of slot 5, slots 6 and 7, and most of slot 8.
    assert answers("sounds", "flute")[4:11] == [0, no, 1, 1, 1, 0, 0]
    assert answers("loud", "flute")[7] == 0
    assert set(answers("sounds", "tuba")) == {0}
    assert np.flatnonzero(yes_no[:, -1] == 1).tolist() == [37, 38, 39, 40, 41, 42]
    assert choices[[0, 62], 0].tolist() == [0, 15]


def test_every_tubelet_is_asked_of_its_own_column_and_time() -> None:
    yes_no, choices = (labels.reshape(20, 2, 3, -1) for labels in video.labels(SCENE))
    assert np.array_equal(yes_no[:, 0], yes_no[:, 1])
    yes_no, choices = yes_no[:, 0], choices[:, 0]
    plays, outdoor = np.moveaxis(yes_no, -1, 0)
    who, where, when = np.moveaxis(choices, -1, 0)
    no = patch_supervision.NOT_ASKED
    # Frames are taken at 0, 0.512, 1.024 s and on; the cello is there in [0.3, 5.0] s.
    assert (outdoor == 1).all()
    assert (plays[:, 1] == no).all()
    assert plays[:11, 0].tolist() == [no, 1, 1, 0, 0, 0, 1, 1, 0, 0, no]
    assert np.flatnonzero(plays[:, 2]).tolist() == [2]
    assert who[1].tolist() == [INSTRUMENTS.index("cello"), len(INSTRUMENTS), INSTRUMENTS.index("flute")]
    assert who[12].tolist() == [len(INSTRUMENTS), len(INSTRUMENTS), INSTRUMENTS.index("flute")]
    assert where[0].tolist() == [0, 1, 2]
    assert when[:, 0].tolist() == [16 * i // 20 for i in range(20)]


def test_examples_are_what_a_clip_gives() -> None:
    """The audio codec is lossless to 16 bit; the picture of a training example went through the video codec."""
    inputs, yes_no, _ = audio.audio_example(KEY)
    decoded, _, _ = audio.held_out_example(KEY)
    assert inputs.shape == decoded.shape
    assert len(yes_no) == 63
    assert np.abs(inputs.astype(np.float32) - decoded).mean() < 0.01

    inputs, yes_no, _ = video.video_example(KEY)
    assert inputs.shape == (20, 3, 48, 48)
    assert len(yes_no) == 120


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
    ("modality", "pretrain", "num_tokens"), [("audio", pretrain_audio, 65), ("video", pretrain_video, 121)]
)
def test_a_pretrained_folder_is_an_encoder(tmp_path: Path, modality: str, pretrain: type, num_tokens: int) -> None:
    figures = pretrain(tmp_path / modality, steps=2, clips=4)
    card = (tmp_path / modality / "README.md").read_text()
    assert all(f"| {question} | {share:.3f} |" in card for question, share in figures.items())
    names = {path.name for path in (tmp_path / modality).iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}

    encoder = load_encoder(modality, tmp_path / modality)
    media = waveform(SCENE) if modality == "audio" else frames(SCENE)
    tokens = encoder.encode([media])
    assert tokens.shape == (1, num_tokens, 96)
    assert tokens.dtype == torch.float32
    assert tokens.isfinite().all()


def test_a_killed_training_ends_at_the_same_weights(tmp_path: Path) -> None:
    examples = patch_supervision.render(video.video_example, patch_supervision.TRAIN, 0, 8)

    def train(out: Path, until: int | None = None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = VivitModel(video.CONFIG, add_pooling_layer=False)
        calls = iter(range(10_000))

        def prepare(values: torch.Tensor) -> torch.Tensor:
            if next(calls) == until:
                raise KeyboardInterrupt
            return video.prepare(values)

        patch_supervision.train(
            model, examples, video.QUESTIONS, prepare, steps=8, seed=0, out=out, batch_size=4, save_every=3
        )
        return model.state_dict()

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", until=5)
    continued = train(tmp_path / "killed")
    assert all(torch.equal(continued[name], value) for name, value in whole.items())


def test_steps_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="steps is 0"):
        pretrain_video(tmp_path / "video", steps=0, clips=2)
    assert not (tmp_path / "video").exists()


def test_held_out_scenes_are_other_scenes() -> None:
    assert patch_supervision.pretraining_scene(KEY) != patch_supervision.pretraining_scene(
        (patch_supervision.HELD_OUT, 0, 0)
    )
    assert patch_supervision.pretraining_scene(KEY) == patch_supervision.pretraining_scene(KEY)
