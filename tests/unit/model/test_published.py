"""Checkpoints of the published code: imported weight by weight, and refused when they are not what they say."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from foundation_files import write_foundation
from safetensors.torch import load_file
from torch import nn

from tokcom_phy.cli import execute
from tokcom_phy.data.store import Contents, Modality, write_store
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.model.published import import_checkpoint, read_checkpoint
from tokcom_phy.model.system import LinkUse, TokenCommSystem
from tokcom_phy.radio import load_link
from tokcom_phy.sweep.messages import Start
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.utils.errors import UserError

WIDTH, HIDDEN = 32, 24


class PublishedTransmitter(nn.Module):
    """As the published code lays its transmitters out: the frozen encoder beside the projection."""

    def __init__(self, encoder_width: int):
        super().__init__()
        self.encoder = nn.ModuleDict({"layernorm": nn.LayerNorm(encoder_width)})
        self.projection = nn.Linear(encoder_width, WIDTH)


class PublishedReceiver(nn.Module):
    def __init__(self):
        super().__init__()
        self.receiver = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH))


@pytest.fixture
def modules() -> dict[str, Any]:
    torch.manual_seed(0)
    receivers = {name: PublishedReceiver() for name in ("text_receiver", "img_receiver", "audio_receiver")}
    return {"img_tx": PublishedTransmitter(10), "audio_tx": PublishedTransmitter(6), **receivers}


@pytest.fixture
def checkpoint(modules: dict[str, Any], tmp_path: Path) -> Path:
    torch.save({name: module.state_dict() for name, module in modules.items()}, tmp_path / "007.pth")
    return tmp_path / "007.pth"


def test_every_weight_finds_its_place(
    checkpoint: Path, modules: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The imported system sends and receives as the published modules do."""
    foundation = write_foundation(tmp_path / "foundation")
    assert execute(["import-checkpoint", str(checkpoint), "--foundation", str(foundation)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "007")
    system = TokenCommSystem.from_pretrained(str(tmp_path / "007")).eval()
    assert list(system.config.encoder_widths.items()) == [("video", 10), ("audio", 6)]
    assert system.config.question == "on-air"
    features = {"video": torch.randn(2, 3, 10), "audio": torch.randn(2, 4, 6)}
    text = system.foundation.tokenize_text(["How many?", "Which one is it?"])
    with torch.no_grad():
        sent = system.transmit(features, text, LinkUse(load_link("ideal"), 0.0, 0, (0, 1)))
        received = system.receive(sent)
        for ours, theirs in (("video", "img"), ("audio", "audio")):
            projected = modules[f"{theirs}_tx"].projection(features[ours])
            torch.testing.assert_close(sent.sent[ours], projected, rtol=0, atol=0)
            expected = modules[f"{theirs}_receiver"].receiver(sent.received[ours])
            torch.testing.assert_close(received[ours], expected, rtol=0, atol=0)
        expected = modules["text_receiver"].receiver(sent.received["text"])
        torch.testing.assert_close(received["text"], expected, rtol=0, atol=0)
    assert "features of width 10" in (tmp_path / "007" / "README.md").read_text()


def test_stage_2_starts_from_an_imported_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    foundation = write_foundation(tmp_path / "foundation")
    imported = import_checkpoint(checkpoint, tmp_path / "imported", str(foundation))
    settings = {"foundation": foundation, "receiver_width": HIDDEN, "stage1.checkpoint": imported}
    experiment = load_experiment("quickstart", overrides=[f"{key}={value}" for key, value in settings.items()])
    widths = {"audio": 6, "video": 10}
    contents = Contents({m: Modality(m, 16, width, tuple(range(16))) for m, width in widths.items()})
    write_store(tmp_path / "store", contents, {})
    (tmp_path / "run").mkdir()
    worker = Worker(Start(experiment, tmp_path / "run", tmp_path, tmp_path / "store", tmp_path))
    job = next(job for job in experiment.resolved().jobs if job.stage == "align" and job.subject == "contrastive")
    done: list[int] = []
    assert worker.run(job, worker.resources, lambda report: done.append(report.done)) == ()
    kept = load_file(tmp_path / "run/checkpoints/stage1-contrastive/seed-0/transceivers.safetensors")
    expected = read_checkpoint(checkpoint)[1]
    assert kept.keys() == expected.keys()
    assert all(torch.equal(kept[name], expected[name]) for name in kept)
    assert done == [experiment.stage1.steps]


@pytest.mark.parametrize("style", ["flat", "bare", "parallel", "wrapped", "legacy", "half"])
def test_other_layouts_of_the_same_weights_read_the_same(
    checkpoint: Path, modules: dict[str, Any], tmp_path: Path, style: str
) -> None:
    states = {name: module.state_dict() for name, module in modules.items()}
    flat = {f"{part}.{key}": tensor for part, state in states.items() for key, tensor in state.items()}
    found = {
        "flat": flat,
        "bare": {
            part: {
                key.removeprefix("projection.").removeprefix("receiver."): tensor
                for key, tensor in state.items()
                if "encoder" not in key
            }
            for part, state in states.items()
        },
        "parallel": {
            part: {f"module.{key}": tensor for key, tensor in state.items()} for part, state in states.items()
        },
        "wrapped": {"epoch": 3, "state_dict": flat},
        "legacy": states,
        "half": {key: tensor.half() for key, tensor in flat.items()},
    }[style]
    torch.save(found, tmp_path / "other.pth", _use_new_zipfile_serialization=style != "legacy")
    config, tensors = read_checkpoint(tmp_path / "other.pth")
    expected_config, expected = read_checkpoint(checkpoint)
    assert config == expected_config
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        tolerance = 1e-3 if style == "half" else 0
        torch.testing.assert_close(tensor, expected[name], rtol=tolerance, atol=tolerance)


class Malicious:
    def __reduce__(self):
        return os.system, (f"touch {os.environ['TOKCOM_TEST_MARK']}",)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("plain", [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plain: bool
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv("TOKCOM_TEST_MARK", str(mark))
    file = tmp_path / "evil.pth"
    if plain:
        file.write_bytes(pickle.dumps({"img_tx": Malicious()}))
    else:
        torch.save({"img_tx": Malicious()}, file)
    assert execute(["import-checkpoint", str(file)]) == 2
    error = capsys.readouterr().err
    assert "is not unpickled" in error
    assert len(error.strip().splitlines()) == 1
    assert not mark.exists()
    assert not (tmp_path / "evil").exists()


def test_faults_are_named(checkpoint: Path, tmp_path: Path) -> None:
    states = torch.load(checkpoint, weights_only=True)
    bad = tmp_path / "bad.pth"

    def refused(words: str, found: object) -> None:
        torch.save(found, bad)
        with pytest.raises(UserError, match=words) as raised:
            read_checkpoint(bad)
        assert "\n" not in str(raised.value)

    with pytest.raises(UserError, match=r"no file .*nothing\.pth: give a checkpoint"):
        read_checkpoint(tmp_path / "nothing.pth")
    (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:3_000])
    with pytest.raises(UserError, match=r"cut\.pth is no PyTorch checkpoint, or a broken one"):
        read_checkpoint(tmp_path / "cut.pth")
    refused("has no img_tx, no audio_tx", [1, 2])
    refused("has no audio_tx: expected", {part: state for part, state in states.items() if part != "audio_tx"})
    lacking = {**states["img_receiver"]}
    del lacking["receiver.2.bias"]
    refused(r"img_receiver has no receiver\.2\.bias", {**states, "img_receiver": lacking})
    more = {**states["img_receiver"], "receiver.4.weight": torch.zeros(2)}
    refused(r"img_receiver holds 'receiver\.4\.weight', which has no place", {**states, "img_receiver": more})
    other = {**states["img_receiver"], "receiver.0.weight": torch.zeros(HIDDEN, 30)}
    refused(r"receivers\.video\.layers\.0\.weight is \(24, 30\), by text_receiver", {**states, "img_receiver": other})
    broken = {**states["audio_tx"], "projection.bias": torch.full((WIDTH,), torch.nan)}
    refused(r"audio_tx: projection\.bias is not finite", {**states, "audio_tx": broken})


def test_a_foundation_of_another_width_and_a_folder_in_the_way_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tokens of width 32, foundation model 'tiny/foundation' has width 128"):
        import_checkpoint(checkpoint, tmp_path / "out", "tiny/foundation")
    assert not (tmp_path / "out").exists()
    for name in ("./models/qwen", "~/models/qwen", "/models/qwen", "a/b/c", "../a.gguf", "my model"):
        with pytest.raises(UserError, match=f"--foundation '{name}': no such folder or file, and no name on the hub"):
            import_checkpoint(checkpoint, tmp_path / "out", name)
    import_checkpoint(checkpoint, tmp_path / "gguf", "owner/repository/folder/a.gguf")
    import_checkpoint(checkpoint, tmp_path / "out", "Qwen/Qwen2.5-1.5B")
    with pytest.raises(UserError, match="is there already"):
        import_checkpoint(checkpoint, tmp_path / "out", "Qwen/Qwen2.5-1.5B")


def test_a_folder_that_cannot_be_made_is_told_in_a_line(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/out/config\.json: .*; choose a folder you may write to"):
        import_checkpoint(checkpoint, tmp_path / "file" / "out", "Qwen/Qwen2.5-1.5B")
