import re

import pytest


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
