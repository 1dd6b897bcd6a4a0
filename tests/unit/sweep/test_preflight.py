"""What would stop a run is reported from settings, models' configurations and annotations, before anything is made."""

from pathlib import Path

import pytest
import torch
from annotation_files import write_annotations
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.model.encoders import encoder_width
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.model.system_config import SystemConfig
from tokcom_phy.model.transceivers import build_transceivers
from tokcom_phy.pretraining.tokenizer import train_tokenizer
from tokcom_phy.sweep.preflight import check_experiment
from tokcom_phy.utils.errors import UserError

TWO_USERS = "links.two={extends: ofdm-tdl-c, users: [audio, video]}"


@pytest.mark.parametrize(
    ("experiment", "setting", "message"),
    [
        (
            "quickstart",
            "lengths.audio=66",
            r"^lengths\.audio: token length 66, but encoder 'tiny/audio' gives 65 tokens: choose 1 to 65$",
        ),
        (
            "quickstart",
            "variants.blind.lengths.video=122",
            r"^variants\.blind\.lengths\.video: token length 122, but encoder 'tiny/video' gives 121",
        ),
        (
            "quickstart",
            "stage1.batch=321",
            r"^stage1 of 'aligned': 320 training items do not fill a batch of 321: lower batch",
        ),
        ("quickstart", "stage2.batch=1921", r"^stage2 of 'aligned': 1920 training items do not fill a batch of 1921"),
        ("temperature", "variants.unaligned.stage2={batch: 6401}", r"^stage2 of 'unaligned': 6400 training items"),
        (
            "on-air",
            "evaluate.0.links=[two]",
            r"^evaluate: 'aligned-on-air' over 'two': this link has no user 'text': choose one of audio, video$",
        ),
        ("on-air", "stage2.link=two", r"^stage2: 'aligned-on-air' over 'two': this link has no user 'text'"),
        ("quickstart", "stage1.link=two", r"^stage1: 'aligned' over 'two': this link has no user 'text'"),
        ("quickstart", "encoders.audio=tiny/video", r"is 'vivit', expected 'audio-spectrogram-transformer'"),
        ("quickstart", "foundation=/nowhere", "no folder /nowhere"),
        ("quickstart", "data.root=/nowhere", "no folder /nowhere"),
    ],
)
def test_what_does_not_fit_is_named_with_where_it_stands(experiment, setting, message):
    with pytest.raises(UserError, match=message) as raised:
        check_experiment(load_experiment(experiment, "tiny", [TWO_USERS, setting]))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("settings", [["lengths.audio=65", "lengths.video=121"], ["stage1.batch=320"]])
def test_what_just_fits_passes(settings):
    check_experiment(load_experiment("quickstart", "tiny", settings))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_annotations(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["stage1.batch=41"], "stage1 of 'aligned': 40 training items"),
        (["stage2.batch=31"], "stage2 of 'aligned': 30 training items"),
        (["data.splits.test=val"], r"no questions-val\.json .*: choose one of test, train"),
        (["data.splits.captions=trian"], r"no captions-trian\.json .*: did you mean 'train'"),
        (["keep_features=5"], "no captions in .* but those trained on"),
    ],
)
def test_annotations_say_what_there_is(root, settings, message):
    fitting = [f"data.root={root}", "stage1.batch=40", "stage2.batch=30"]
    check_experiment(load_experiment("quickstart", "tiny", fitting))
    with pytest.raises(UserError, match=message):
        check_experiment(load_experiment("quickstart", "tiny", [*fitting, *settings]))


def test_a_stage_1_that_is_taken_from_a_checkpoint_needs_no_captions(root):
    (root / "VALOR/annotations/desc_train.json").unlink()
    settings = [f"data.root={root}", "stage2.batch=30"]
    with pytest.raises(UserError, match=r"no captions-train\.json"):
        check_experiment(load_experiment("temperature", "tiny", settings))
    settings.append(f"stage1.checkpoint={root}")
    with pytest.raises(UserError, match=r"^stage1\.checkpoint of 'tau-0\.03': no transceivers\.safetensors in"):
        check_experiment(load_experiment("temperature", "tiny", settings))
    widths = {modality: encoder_width(modality, f"tiny/{modality}") for modality in ("audio", "video")}
    parts = torch.nn.ModuleDict(build_transceivers(SystemConfig(widths, foundation_width("tiny/foundation"), 256)))
    save_file(parts.state_dict(), root / "transceivers.safetensors")
    check_experiment(load_experiment("temperature", "tiny", settings))


def test_a_checkpoint_of_another_size_is_told_before_anything_is_prepared(tmp_path):
    shapes = {"transmitters.audio.projection.weight": (32, 6)}
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "transceivers.safetensors")
    with pytest.raises(UserError, match=r"holds a system of another size: .* is absent there and \(256,\) here"):
        check_experiment(load_experiment("quickstart", None, [f"stage1.checkpoint={tmp_path}"]))


def test_a_foundation_without_positions_for_all_tokens_is_told_before_anything_is_prepared(tmp_path):
    GPT2LMHeadModel(GPT2Config(vocab_size=400, n_embd=32, n_layer=1, n_head=4, n_positions=24)).save_pretrained(
        tmp_path
    )
    train_tokenizer(["How many?"], 300).save_pretrained(tmp_path)
    settings = [f"foundation={tmp_path}", "lengths.audio=11", "lengths.video=11"]
    check_experiment(load_experiment("quickstart", None, settings))
    with pytest.raises(UserError, match="has 24 positions, 25 or more are taken: lower the token lengths"):
        check_experiment(load_experiment("quickstart", None, [*settings[:-1], "lengths.video=12"]))


def test_a_foundation_that_lora_cannot_adapt_is_told_before_anything_is_prepared(tmp_path):
    settings = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    GPTNeoXForCausalLM(GPTNeoXConfig(**settings, intermediate_size=32)).save_pretrained(tmp_path)
    train_tokenizer(["How many?"], 300).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"lora\.targets: '.*' has no module 'q_proj'"):
        check_experiment(
            load_experiment("quickstart", None, [f"foundation={tmp_path}", "stage2.lora.targets=[q_proj]"])
        )
