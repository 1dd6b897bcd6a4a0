"""A user's mistakes with links: one clear line each."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tokcom_phy.radio import load_link
from tokcom_phy.radio.llvm import INSTALL
from tokcom_phy.utils.errors import UserError

TOKENS = {"audio": torch.ones(2, 3, 8)}
ODD = {"audio": torch.ones(2, 3, 7)}
SCENE = {"name": "munich", "base_station": [0, 0, 30], "facing": [10, 0, 1.5]}


def ray_traced(**scene: object) -> object:
    return load_link("ofdm-tdl-c", channel="ray-traced", scene={**SCENE, **scene})


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "unknown link": (lambda: load_link("ofdm-tdl-x"), "ofdm-tdl-c"),
    "missing file": (lambda: load_link("nowhere/mine.yaml"), "nowhere/mine.yaml"),
    "misspelt key": (lambda: load_link("ofdm-tdl-c", num_rx_antennas=4), "num_rx_ant"),
    "key that is an argument's name": (lambda: load_link("awgn", name_or_path="ideal"), "unknown key 'name_or_path'"),
    "device that is not there": (lambda: load_link("awgn", device="cuda:99"), "'cuda:99': name cpu"),
    "key of another family": (lambda: load_link("awgn", delay_spread=1e-7), "delay_spread"),
    "unknown value": (lambda: load_link("ofdm-tdl-c", combining="mmse"), "lmmse"),
    "unknown family": (lambda: load_link("awgn", family="flatt"), "flat"),
    "negative speed": (lambda: load_link("ofdm-tdl-c", speed=-1.0), "speed"),
    "users and pilots": (lambda: load_link("ofdm-tdl-c", num_subcarriers=64), "multiple of 3"),
    "users and antennas": (lambda: load_link("ofdm-tdl-c", num_rx_ant=2), "num_rx_ant"),
    "flat users and antennas": (lambda: load_link("rayleigh-mimo", num_rx_ant=2), "num_rx_ant"),
    "pilots outside the slot": (lambda: load_link("ofdm-tdl-c", pilot_symbols=[2, 14]), "0 to 13"),
    "nothing but pilots": (lambda: load_link("ofdm-tdl-c", pilot_symbols=[0], num_ofdm_symbols=1), "data"),
    "a user twice": (lambda: load_link("ofdm-tdl-c", users=["audio", "audio", "text"]), "once"),
    "raw reception of many": (lambda: load_link("rayleigh-mimo", output="raw"), "unbiased"),
    "recorded channel without a file": (lambda: load_link("ofdm-tdl-c", channel="file"), "responses"),
    "missing responses": (lambda: load_link("ofdm-tdl-c", channel="file", responses="none.npy"), "none.npy"),
    "polarization of a channel without directions": (lambda: load_link("ofdm-tdl-c", polarization="dual"), "CDL"),
    "half a pair of antennas": (lambda: load_link("ofdm-umi", polarization="dual", num_rx_ant=7), "even"),
    "ray-traced channel without a scene": (lambda: load_link("ofdm-tdl-c", channel="ray-traced"), "which scene"),
    "scene without ray tracing": (lambda: load_link("ofdm-tdl-c", scene=SCENE), "'ray-traced'"),
    "unknown scene": (lambda: ray_traced(name="munch"), "'munich'"),
    "missing scene": (lambda: ray_traced(name="nowhere/mine.xml"), "nowhere/mine.xml"),
    "misspelt key of a scene": (lambda: ray_traced(radios=3.0), "'radius'"),
    "a base station that is no point": (lambda: ray_traced(base_station=[1, 2]), "scene.base_station"),
    "a base station that looks nowhere": (lambda: ray_traced(facing=[0, 0, 30]), "another one to look at"),
    "fewer positions than users": (lambda: ray_traced(positions=2), "3 users"),
    "impossible bursts": (lambda: load_link("erasure", loss_rate=0.9, mean_burst=1.5), "mean_burst"),
    "certain loss": (lambda: load_link("erasure", loss_rate=1.0), "loss_rate"),
    "bits that do not fit the modulation": (lambda: load_link("digital-awgn", bits=3), "256-QAM with 3 bits"),
    "modulation that does not fit the bits": (
        lambda: load_link("digital-awgn", modulation="QPSK"),
        "64-QAM with 2 bits",
    ),
    "unknown modulation": (lambda: load_link("digital-awgn", modulation="32-QAM"), "16-QAM"),
    "tokens too short for a CRC": (
        lambda: load_link("digital-awgn")({"text": torch.ones(2, 1, 8)}, 0.0, seed=0),
        "1024-QAM with 2 bits",
    ),
    "unknown link below": (lambda: load_link("digital-awgn", over="awgm"), "'awgn'"),
    "digital over digital": (lambda: load_link("digital-awgn", over="digital-awgn"), "digital itself"),
    "digital over digital settings": (
        lambda: load_link("digital-awgn", over={"family": "digital", "over": "awgn"}),
        "digital itself",
    ),
    "misspelt key below": (lambda: load_link("digital-ofdm-tdl-c", over={"sped": 3.0}), "'speed'"),
    "value that does not fit below": (lambda: load_link("digital-ofdm-tdl-c", over={"num_rx_ant": 2}), "num_rx_ant is"),
    "unknown family below": (lambda: load_link("digital-awgn", over={"family": "flatt"}), "'flat'"),
    "digital without equaliser": (lambda: load_link("digital-awgn", over="rayleigh-raw"), "output mmse"),
    "NaN": (lambda: load_link("awgn").draw(2, 8, float("nan"), 0), "finite"),
    "infinite SNR": (lambda: load_link("awgn").draw(2, 8, torch.tensor([1.0, float("inf")]), 0), "finite"),
    "no SNR for an active user": (lambda: load_link("awgn").draw(2, {"audio": 8}, {"text": 3.0}, 0), "audio"),
    "odd width": (lambda: load_link("awgn")(ODD, 0.0, seed=0), "odd"),
    "empty payload": (lambda: load_link("awgn").draw(2, {"audio": 0}, 0.0, 0), "empty"),
    "no users": (lambda: load_link("awgn")({}, 0.0, seed=0), "empty"),
    "empty batch": (lambda: load_link("awgn").draw(0, 8, 0.0, 0), "empty"),
    "all padding": (lambda: load_link("awgn")(TOKENS, 0.0, {"audio": torch.zeros(2, 3).bool()}, seed=0), "padding"),
    "mask of another shape": (lambda: load_link("awgn").draw(2, 8, 0.0, 0, mask=torch.ones(2, 7).bool()), "(2, 8)"),
    "misspelt user": (lambda: load_link("ofdm-tdl-c").draw(2, {"vidio": 8}, 0.0, 0), "'video'"),
    "negative seed": (lambda: load_link("awgn").draw(2, 8, 0.0, -1), "negative"),
    "too few indices": (lambda: load_link("awgn").draw(2, 8, 0.0, 0, indices=[1]), "per example"),
    "other symbols than drawn": (lambda: load_link("awgn").draw(2, 8, 0.0, 0).apply(torch.ones(2, 9)), "(2, 8)"),
    "budget of nothing": (lambda: load_link("awgn").cost({}), "empty"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_answered_in_one_line(mistake: str) -> None:
    attempt, mend = MISTAKES[mistake]
    with pytest.raises(UserError) as raised:
        attempt()
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("family: [flat", "YAML"),
        ("just words", "family"),
        ("family: flat\nfadding: rician", "'fading'"),
        ("fading: rician", "family"),
        ("# A link\nfamily: flat\nfading: none\nnum_rx_ant: 3", "one antenna"),
    ],
)
def test_a_link_file_with_mistakes(tmp_path: Path, text: str, mend: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        load_link(path)
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)


@pytest.mark.parametrize(
    ("responses", "mend"),
    [
        (np.ones((4, 8, 3, 1, 100), complex), "132 subcarriers"),
        (np.ones((4, 8, 3, 1, 132)), "complex"),
        (np.ones((4, 8, 3, 132), complex), "132 subcarriers"),
        (np.zeros((4, 8, 3, 1, 132), complex), "power"),
        (np.array({"pickled": True}, dtype=object), "numpy.save"),
    ],
    ids=["subcarriers", "real", "axes", "silent", "pickled"],
)
def test_responses_that_do_not_fit(tmp_path: Path, responses: np.ndarray, mend: str) -> None:
    path = tmp_path / "responses.npy"
    np.save(path, responses)
    with pytest.raises(UserError) as raised:
        load_link("ofdm-tdl-c", channel="file", responses=path)
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)


def test_a_scene_without_its_mesh(tmp_path: Path) -> None:
    path = tmp_path / "mine.xml"
    path.write_text('<scene><shape type="ply"><string name="filename" value="wall.ply"/></shape></scene>')
    with pytest.raises(UserError, match=r"names .*wall\.ply, which is not there"):
        ray_traced(name=str(path))


WITHOUT_LLVM = """
import contextlib, io, json, sys
from tokcom_phy.cli import execute
from tokcom_phy.radio import llvm

llvm._folders = lambda: []
llvm._from_wheel = lambda: {}
found = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = execute(arguments)
    found.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def without_llvm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Commands on a machine without LLVM: exit code, output, errors. Sionna RT, once imported, has found its own: hence
    another interpreter."""
    commands = ("links show ofdm-munich", "budget channels", "links show ofdm-munich --plot a.png", "run channels")
    folder = tmp_path_factory.mktemp("without-llvm")
    environment = {**os.environ, "TOKCOM_CACHE": str(folder), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
    environment.pop("DRJIT_LIBLLVM_PATH", None)
    arguments = [sys.executable, "-c", WITHOUT_LLVM, json.dumps([command.split() for command in commands])]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob("runs")) + list(folder.glob("a.png"))
    return dict(zip(commands, map(tuple, json.loads(done.stdout)), strict=True))


@pytest.mark.long
@pytest.mark.parametrize("command", ["links show ofdm-munich", "budget channels"])
def test_settings_and_budgets_ask_for_no_llvm(without_llvm: dict[str, tuple[int, str, str]], command: str) -> None:
    code, output, errors = without_llvm[command]
    assert (code, errors) == (0, "")
    assert "ofdm-munich" in output


@pytest.mark.long
@pytest.mark.parametrize("command", ["links show ofdm-munich --plot a.png", "run channels"])
def test_ray_tracing_without_llvm(without_llvm: dict[str, tuple[int, str, str]], command: str) -> None:
    code, _, errors = without_llvm[command]
    assert code == 2
    assert errors.startswith("error: ray tracing on a CPU needs LLVM")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    assert INSTALL in errors


@pytest.mark.parametrize("kind", ["archive", "empty", "folder"])
def test_responses_that_are_no_array(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "responses.npz"
    if kind == "archive":
        np.savez(path, h=np.ones((4, 8, 3, 1, 132), complex))
    elif kind == "empty":
        path.touch()
    else:
        path.mkdir()
    with pytest.raises(UserError, match=r"is no NumPy array: save complex responses with numpy\.save"):
        load_link("ofdm-tdl-c", channel="file", responses=path)


def test_responses_too_short_for_the_payload(tmp_path: Path) -> None:
    path = tmp_path / "responses.npy"
    np.save(path, np.ones((4, 8, 3, 14, 132), complex))
    link = load_link("ofdm-tdl-c", channel="file", responses=path)
    link.draw(1, 1584, 10.0, seed=0)
    with pytest.raises(UserError, match="holds 14 OFDM symbols"):
        link.draw(1, 1585, 10.0, seed=0)


@pytest.mark.parametrize(
    ("files", "mend"),
    [
        ({"mine": "extends: ofdm-tdl-x"}, "'ofdm-tdl-c'"),
        ({"mine": "extends: base.yaml"}, "no link file at"),
        ({"mine": "extends: base.yaml", "base": "extends: mine.yaml"}, "mine.yaml → base.yaml → mine.yaml"),
        ({"mine": "extends: ofdm-tdl-c\nsped: 30"}, "'speed'"),
        ({"mine": "family: digital\nover: {extends: awgm}"}, "'awgn'"),
        ({"mine": "family: digital\nover: {extends: mine.yaml}"}, "digital itself"),
        ({"mine": "family: digital"}, "over: field required"),
    ],
)
def test_a_link_file_that_extends_wrongly(tmp_path: Path, files: dict[str, str], mend: str) -> None:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        load_link(tmp_path / "mine.yaml")
    assert "\n" not in str(raised.value)
    assert mend in str(raised.value)


def test_a_link_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# My link; see it with: tokcom links show mine.yaml\nfamily: flat\nfading: none\n")
    link = load_link(path)
    assert (link.name, link.description) == ("mine", "My link")
