"""The installed engine, and the error when another one is required."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from tokcom_phy.radio.engine import REQUEST, describe, engine
from tokcom_phy.utils.errors import UserError

TOKCOM = [sys.executable, "-c", "from tokcom_phy.cli import main; main()"]
OTHER = {"torch": "tensorflow", "tensorflow": "torch"}


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Pretend that these packages are installed, and no others."""

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)


def test_sionna_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUEST, raising=False)
    installed(monkeypatch, sionna="2.2.0", torch="2.13.0", tensorflow="2.21.0")
    assert engine() == "torch"
    assert describe("torch") == "torch: Sionna 2.2.0 on PyTorch 2.13.0"
    installed(monkeypatch, sionna="1.2.2", torch="2.13.0", tensorflow="2.21.0")
    assert engine() == "tensorflow"
    assert describe("tensorflow") == "tensorflow: Sionna 1.2.2 on TensorFlow 2.21.0"


@pytest.mark.parametrize(
    ("versions", "mend"),
    [({"torch": "2.13.0"}, 'pip install "tokcom-phy"'), ({"sionna": "1.2.2"}, 'pip install "tokcom-phy[tensorflow]"')],
)
def test_half_an_engine(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], mend: str) -> None:
    monkeypatch.delenv(REQUEST, raising=False)
    installed(monkeypatch, **versions)
    with pytest.raises(UserError) as error:
        engine()
    assert mend in str(error.value)


def test_asking_for_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUEST, raising=False)
    there = engine()
    monkeypatch.setenv(REQUEST, there)
    assert engine() == there


@pytest.mark.parametrize("asked", [OTHER[engine()], "jax"])
def test_asking_for_what_is_not_there_is_one_line(asked: str) -> None:
    environment = {**os.environ, REQUEST: asked}
    done = subprocess.run([*TOKCOM, "run", "quickstart"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{REQUEST} requires the" in done.stderr
    assert ("choose one of" if asked == "jax" else "pip install") in done.stderr
    assert done.stdout == ""


def test_doctor_names_the_engine() -> None:
    environment = {name: value for name, value in os.environ.items() if name != REQUEST} | {"COLUMNS": "300"}
    done = subprocess.run([*TOKCOM, "doctor"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    assert describe(engine()) in done.stdout
