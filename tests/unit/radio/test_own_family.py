"""A link family of the reader's own, named in YAML by import path."""

import json
import math
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.radio import load_link
from tokcom_phy.radio.loading import restore_link
from tokcom_phy.radio.plotting import draw_link
from tokcom_phy.utils.errors import UserError

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
BAD = """
import torch
from tokcom_phy.radio import Link, LinkState

class Short(Link):
    def _draw(self, request):
        var = torch.ones(len(request.indices), 5)
        users = request.num_symbols
        return LinkState({u: {u: None} for u in users}, {}, dict.fromkeys(users, var), dict.fromkeys(users, var), {})

class Number(Link):
    def _draw(self, request):
        return 3

class Abstract(Link):
    pass

class Plain:
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a family of one's own and a link file beside it."""
    shutil.copy(EXAMPLES / "phase_jumps.py", tmp_path)
    (tmp_path / "mine.yaml").write_text("# Phase jumps\n_target_: phase_jumps.PhaseJumps\nstd_deg: 20\n")
    return tmp_path


@pytest.mark.parametrize(("probability", "std_deg"), [(1.0, 20.0), (0.05, 60.0)])
def test_mean_gain_is_that_of_a_random_walk(folder: Path, probability: float, std_deg: float) -> None:
    """E[exp(jφ)] = (1 − p + p·exp(−σ²/2))^n after n symbols."""
    link = load_link(folder / "mine.yaml", device="cpu", probability=probability, std_deg=std_deg)
    num = 4000
    gain = link.draw(num, 30, 10.0, seed=0).gain["payload"]["payload"]
    assert gain is not None
    torch.testing.assert_close(gain.abs(), torch.ones(num, 30))
    one = 1 - probability + probability * math.exp(-((std_deg * math.pi / 180) ** 2) / 2)
    expected = one ** torch.arange(1, 31)
    # The standard deviation of a mean of 4,000 unit phasors is at most 0.016 in either component.
    torch.testing.assert_close(gain.mean(0).real, expected, rtol=0, atol=0.05)
    torch.testing.assert_close(gain.mean(0).imag, torch.zeros(30), rtol=0, atol=0.05)


def test_what_is_received_is_turned_and_has_the_noise_of_awgn(folder: Path) -> None:
    sent = {"audio": torch.randn(3, 50, dtype=torch.complex64)}
    state = load_link(folder / "mine.yaml", device="cpu").draw(3, {"audio": 50}, 10.0, seed=4)
    noise = load_link("awgn-raw", device="cpu").draw(3, {"audio": 50}, 10.0, seed=4).noise["audio"]
    gain = state.gain["audio"]["audio"]
    assert gain is not None
    torch.testing.assert_close(state.apply(sent)["audio"], sent["audio"] * gain + noise)
    assert state.effective_snr_db["audio"] == pytest.approx(10.0, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("extends: mine.yaml\nprobability: 0.2\n", {"std_deg": 5.0}),
        ("family: digital\nover: mine.yaml\n", {"over": {"std_deg": 5.0}}),
        ("family: digital\nover: {_target_: phase_jumps.PhaseJumps}\n", {"over": {"std_deg": 5.0}}),
    ],
    ids=["extended", "below a digital link by file", "below a digital link in place"],
)
def test_it_goes_wherever_a_link_goes_and_is_restored(folder: Path, text: str, overrides: dict[str, Any]) -> None:
    (folder / "other.yaml").write_text(text)
    link = load_link(folder / "other.yaml", **overrides)
    settings = json.loads(json.dumps(link.config.model_dump(mode="json")))
    assert settings.get("over", settings)["std_deg"] == 5.0
    again = restore_link("other", settings)
    assert again.config == link.config
    tokens = torch.randn(2, 3, 256)
    torch.testing.assert_close(again(tokens, 15.0, seed=1), link(tokens, 15.0, seed=1), rtol=0, atol=0)


@pytest.mark.long
def test_its_config_is_unpickled_in_another_process(folder: Path) -> None:
    """As a worker gets it, which knows nothing of the folder."""
    (folder / "digital.yaml").write_text("family: digital\nover: mine.yaml\n")
    configs = [load_link(folder / f"{name}.yaml").config for name in ("digital", "mine")]
    code = "import pickle, sys; print(*(repr(pickle.loads(bytes.fromhex(word))) for word in sys.argv[1:]), sep='\\n')"
    command = [sys.executable, "-c", code, *(pickle.dumps(config).hex() for config in configs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == list(map(repr, configs)), done.stderr


@pytest.mark.long
def test_its_settings_are_restored_in_another_process(folder: Path) -> None:
    settings = load_link(folder / "mine.yaml").config.model_dump(mode="json")
    code = (
        "import json, sys; from tokcom_phy.radio.loading import restore_link; "
        "print(restore_link('m', json.loads(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(settings)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "PhaseJumps('m')", done.stderr


def test_it_has_a_picture_and_a_budget(folder: Path) -> None:
    link = load_link(folder / "mine.yaml")
    draw_link(link, folder / "link.png")
    assert (folder / "link.png").read_bytes().startswith(b"\x89PNG")
    assert link.cost({"audio": 100, "text": 36}) == load_link("awgn").cost({"audio": 100, "text": 36})


def test_the_example_is_an_experiment_with_the_link_in_place(folder: Path) -> None:
    shutil.copy(EXAMPLES / "phase_jumps.yaml", folder)
    experiment = load_experiment(str(folder / "phase_jumps.yaml"), overrides=["links.phase-jumps.std_deg=7"])
    assert experiment.resolved().links["phase-jumps"].settings()["std_deg"] == 7.0
    with pytest.raises(UserError, match="unknown key 'std_degg', did you mean 'std_deg'") as raised:
        load_experiment(str(folder / "phase_jumps.yaml"), overrides=["links.phase-jumps.std_degg=7"])
    assert "links.phase-jumps" in str(raised.value)
    for name, most in (("phase_jumps.py", 40), ("phase_jumps.yaml", 15)):
        assert len((folder / name).read_text().splitlines()) <= most
    assert yaml.safe_load((folder / "phase_jumps.yaml").read_text())["name"] == "phase-jumps"


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("_target_: phase_jumps.PhaseJumpz", "_target_: 'phase_jumps' has no 'PhaseJumpz'"),
        ("_target_: phase_jumpz.PhaseJumps", "_target_: no module 'phase_jumpz'"),
        ("_target_: phase_jumps.PhaseJumps\nstd_degg: 3", "unknown key 'std_degg', did you mean 'std_deg'"),
        ("_target_: phase_jumps.PhaseJumps\nstd_deg: -3", "std_deg: input should be greater"),
        ("_target_: phase_jumps.PhaseJumps\nfamily: flat", "exclude each other"),
        ("_target_: bad.Plain", "_target_: 'bad.Plain' is no link family: derive it from Link"),
        ("_target_: bad.Abstract", "Abstract cannot be built"),
        (
            "_target_: bad.Short",
            "effective_noise_var of 'payload' of shape [2, 5], expected [2, 12]",
        ),
        ("_target_: bad.Number", "Number._draw returned no LinkState but an object of type int"),
        ("family: digital\nover: {_target_: phase_jumps.PhaseJumps, std: 3}", "unknown key 'over.std'"),
    ],
)
def test_mistake_is_answered_in_one_line_with_the_file(folder: Path, text: str, mend: str) -> None:
    (folder / "bad.py").write_text(BAD)
    (folder / "wrong.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        load_link(folder / "wrong.yaml")(torch.ones(2, 3, 8), 10.0)
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)
    assert "wrong" in str(raised.value)
