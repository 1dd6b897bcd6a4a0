import re
import shutil

import pytest

from tokcom_phy.data import prepare
from tokcom_phy.data.store import FeatureStore
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.sweep.estimate import Estimate
from tokcom_phy.sweep.trial_data import trial_dataset


@pytest.mark.long
def test_it_tries_all_kinds_and_writes_nothing(tokcom, experiment, tmp_path):
    done = tokcom(
        "validate", experiment, "--out", tmp_path / "runs" / "micro", "--set", "seeds=[0,1,2]", "--workers", "1"
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    counts = dict(re.findall(r"^ (\w[\w :-]*?) +(\d+) +[\d.]+ m?s", done.stdout, flags=re.MULTILINE))
    assert counts == {
        "synthesise clips": "60",
        "prepare features": "60",
        "stage 1: align": "18",
        "stage 2: fine-tune": "36",
        "evaluate": "48",
    }
    assert "15 trial jobs" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize(
    ("setting", "message"), [("data.root=/nowhere", "/nowhere"), ("foundation=/nowhere", "/nowhere")]
)
def test_what_would_stop_the_run_is_one_line(tokcom, experiment, tmp_path, setting, message):
    refused = tokcom("validate", experiment, "--out", tmp_path / "run", "--set", setting)
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert message in refused.stderr


@pytest.mark.long
def test_a_component_of_the_users_own_is_tried(tokcom, tmp_path):
    """It imports and builds; only a step shows that what it returns does not fit."""
    (tmp_path / "half.py").write_text(
        "from torch import nn\n\n\n"
        "class Half(nn.Module):\n    def forward(self, tokens):\n        return tokens[..., ::2]\n"
    )
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ntitle: Own\nprofile: tiny\nstage2: {batch: 8}\n"
        "data:\n  synthetic: {captions: 8, train_clips: 8, test_clips: 4, train_questions: 8, test_questions: 8}\n"
        "variants: {mine: {alignment: none, receiver: {audio: {_target_: half.Half}}}}\n"
        "evaluate: [{variants: [mine], links: [awgn], snr_db: [0]}]\n"
    )
    refused = tokcom("validate", path, "--out", tmp_path / "run", "--workers", "1")
    assert refused.returncode == 2
    (line,) = refused.stderr.strip().splitlines()
    assert "receiver.audio: 'half.Half' turns tokens of shape" in line


def test_what_the_run_will_find_prepared_is_not_encoded_again(finished_run, experiment, tmp_path, monkeypatch):
    settings = load_experiment(str(experiment))
    encoded, encode_clips = [], prepare.encode_clips

    def note(clips, *others):
        encoded.extend(clips)
        return encode_clips(clips, *others)

    monkeypatch.setattr(prepare, "encode_clips", note)
    estimate = Estimate(1)
    root, store, _ = trial_dataset(settings, finished_run, tmp_path / "a", estimate)
    assert [(step.name, step.count) for step in estimate.steps] == [("synthesise clips", 0), ("prepare features", 0)]
    assert encoded == []
    part, whole = FeatureStore.open(store), FeatureStore.open(root / "features")
    assert (part.tokens("video", part.video_ids, 32) == whole.tokens("video", part.video_ids, 32)).all()

    copied = shutil.copytree(root, tmp_path / "data")
    changed = next(copied.rglob(f"{part.video_ids[0]}.mp4"))
    changed.touch()
    settings = load_experiment(str(experiment), overrides=[f"data.root={copied}", "data.synthetic=null"])
    estimate = Estimate(1)
    trial_dataset(settings, finished_run, tmp_path / "b", estimate)
    assert [(step.name, step.count) for step in estimate.steps] == [("prepare features", 1)]
    assert encoded == [part.video_ids[0]]
