"""A third modality of features from arrays beside audio and video, and experiments without any media."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from media_files import write_clip

from tokcom_phy.data.store import FeatureStore

TRAIN, TEST, CAPTIONED = 8, 4, 8

SETTINGS = """
name: radar
title: A third modality
profile: tiny
data: {{root: {root}, synthetic: null}}
encoders: {encoders}
lengths: {lengths}
stage1: {{steps: 2, batch: 4}}
stage2: {{steps: 2, batch: 4}}
variants:
  aligned: {{}}
  radar-only: {{modalities: [radar]}}
  blind: {{alignment: none, modalities: []}}
evaluate:
  - {{variants: [aligned, radar-only, blind], links: [awgn], snr_db: [10]}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Captions and questions in the JSON for one's own, and an array [20, 6] for each clip."""
    root = tmp_path / "data"
    root.mkdir()
    clips = [f"clip{number}" for number in range(CAPTIONED)]
    captions = [{"clip": clip, "caption": f"Car number {number}."} for number, clip in enumerate(clips)]
    (root / "captions-train.json").write_text(json.dumps(captions))
    for split, first, count in (("train", 0, TRAIN), ("test", TRAIN - TEST, TEST)):
        questions = [
            {"id": f"{split}-{number}", "clip": clips[first + number], "question": "How far?", "answer": "near"}
            | ({"type": "Distance"} if number % 2 else {})
            for number in range(count)
        ]
        (root / f"questions-{split}.json").write_text(json.dumps(questions))
    (tmp_path / "radar").mkdir()
    for number, clip in enumerate(clips):
        np.save(tmp_path / "radar" / f"{clip}.npy", np.random.default_rng(number).normal(size=(20, 6)))
    return root


def write_experiment(tmp_path: Path, root: Path, encoders: str, lengths: str) -> Path:
    path = tmp_path / "radar.yaml"
    path.write_text(SETTINGS.format(root=root, encoders=encoders, lengths=lengths))
    return path


def metrics_of(run_dir: Path, variant: str) -> set[str]:
    table = pd.read_csv(run_dir / "results.csv")
    return set(table.loc[table["variant"] == variant, "metric"])


@pytest.mark.long
def test_a_third_modality_of_arrays_runs_beside_audio_and_video(tokcom, root: Path, tmp_path: Path) -> None:
    for number in range(CAPTIONED):
        write_clip(root / "videos" / f"clip{number}.MP4", seconds=0.5, frequency=300 + 50 * number)
    encoders = f"{{radar: {{features: {tmp_path / 'radar'}}}}}"
    experiment = write_experiment(tmp_path, root, encoders, "{audio: 4, video: 4, radar: 5}")
    run_dir = tmp_path / "run"
    done = tokcom("run", experiment, "--out", run_dir, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert {f"token_nmse_db_{m}" for m in ("audio", "video", "radar")} <= metrics_of(run_dir, "aligned")
    assert "token_nmse_db_audio" not in metrics_of(run_dir, "radar-only")
    store = FeatureStore.open(root / "features")
    assert {name: spec.num_tokens for name, spec in store.modalities.items()} == {
        "audio": 65,
        "video": 121,
        "radar": 20,
    }
    table = pd.read_csv(run_dir / "results.csv")
    assert {"all", "untyped", "Distance"} <= set(table["question_type"])


@pytest.mark.long
def test_features_alone_need_no_media(tokcom, root: Path, tmp_path: Path) -> None:
    encoders = f"{{audio: null, video: null, radar: {{features: {tmp_path / 'radar'}}}}}"
    experiment = write_experiment(tmp_path, root, encoders, "{radar: 5}")
    run_dir = tmp_path / "run"
    done = tokcom("run", experiment, "--out", run_dir, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "token_nmse_db_radar" in metrics_of(run_dir, "aligned")
    assert tokcom("data", "check", root).stdout.count("clip in two splits") == 1
    too_long = tokcom("run", experiment, "--out", tmp_path / "other", "--set", "lengths.radar=21")
    assert too_long.returncode == 2
    assert "lengths.radar: token length 21" in too_long.stderr
    assert "gives 20 tokens" in too_long.stderr
