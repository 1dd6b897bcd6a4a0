"""Questions alone: annotation files are all it takes."""

import json

import pandas as pd
import pytest


@pytest.fixture
def root(tmp_path):
    """MUSIC-AVQA's annotations without media: two templates, whose most frequent answers are yes and two."""
    answers = {
        "Is there a <Object> sound?": ["yes", "yes", "no"],
        "How many <Object> are there？": ["two", "two", "one"],
    }
    for split, count in (("val", 24), ("test", 12)):
        entries = [
            {
                "video_id": f"{split}{number}",
                "question_id": number,
                "type": '["Audio", "Existential"]' if number % 2 else '["Visual", "Counting"]',
                "question_content": list(answers)[number % 2],
                "templ_values": '["acoustic_guitar"]',
                "question_deleted": 0,
                "anser": list(answers.values())[number % 2][number // 2 % 3],
            }
            for number in range(count)
        ]
        path = tmp_path / "MUSIC-AVQA" / "annotation" / f"avqa-{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entries))
    return tmp_path


@pytest.mark.long
def test_it_runs_on_annotations_without_media(tokcom, root, tmp_path):
    settings = [f"data.root={root}", "stage2.steps=2", "stage2.batch=8"]
    options = [option for setting in settings for option in ("--set", setting)]
    run_dir = tmp_path / "run"
    done = tokcom("run", "music-avqa-text", "--out", run_dir, "--workers", "1", *options)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(run_dir / "results.csv")
    accuracy = table[(table["metric"] == "accuracy") & (table["question_type"] == "all")]
    assert set(accuracy["variant"]) == {"blind", "blind-on-air", "majority"}
    assert (accuracy["n"] == 12).all()
    assert accuracy.loc[accuracy["variant"] == "majority", "value"].tolist() == pytest.approx([2 / 3] * 12)
    sent = table.loc[table["variant"] == "blind-on-air", "metric"]
    assert "token_nmse_db_text" in set(sent)
    assert not list(root.rglob("features"))
    asked = json.loads((run_dir / "questions.json").read_text())
    assert asked[1]["question"] == "How many acoustic_guitar are there？"


def test_without_a_folder_it_says_what_to_name(tokcom, tmp_path):
    refused = tokcom("run", "music-avqa-text", "--out", tmp_path / "run")
    assert refused.returncode == 2
    assert "--set data.root=DIR" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
