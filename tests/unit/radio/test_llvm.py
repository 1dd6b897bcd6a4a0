"""Which LLVM library ray tracing computes with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokcom_phy.radio import llvm
from tokcom_phy.radio.llvm import find_llvm, use_llvm
from tokcom_phy.utils.errors import UserError


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRJIT_LIBLLVM_PATH", raising=False)


def folder(path: Path, *names: str) -> Path:
    path.mkdir(exist_ok=True)
    for name in names:
        (path / name).touch()
    return path


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["libLLVM-14.0.6.so.1", "libLLVM-15.so.1", "libLLVM.so.19.1"], "libLLVM.so.19.1"),
        (["libLLVM-15.so.1", "libLLVM-16.so.1"], None),
        (["libLLVM-14.so.1"], None),
        (["libLLVM-17.so.1", "libLLVM.so.18.1"], "libLLVM.so.18.1"),
        (["libLLVM.so.22.1", "libLLVM-9.so.1"], "libLLVM.so.22.1"),
        (["libLLVMSPIRVLib.so.19"], None),
        ([], None),
    ],
)
def test_the_newest_that_works_is_chosen(tmp_path: Path, names: list[str], chosen: str | None) -> None:
    here = folder(tmp_path / "lib", *names)
    assert find_llvm([tmp_path / "missing", here]) == (here / chosen if chosen else None)


def test_a_link_is_as_old_as_what_it_links_to(tmp_path: Path) -> None:
    here = folder(tmp_path / "lib", "libLLVM-15.so.1", "libLLVM.so.19.1")
    (here / "libLLVM.so").symlink_to(here / "libLLVM-15.so.1")
    (here / "libLLVM-19.so").symlink_to(here / "libLLVM.so.19.1")
    (here / "libLLVM-20.so").symlink_to(here / "gone")
    found = find_llvm([here])
    assert found is not None
    assert found.resolve() == here / "libLLVM.so.19.1"


def test_a_named_library_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = folder(tmp_path / "lib", "libLLVM.so.19.1", "libLLVM.so.18.1", "libLLVM-15.so.1", "libmine.so")
    for name in ("libLLVM.so.18.1", "libmine.so"):
        monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(here / name))
        assert find_llvm([here]) == here / name
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(here / "libLLVM-15.so.1"))
    with pytest.raises(UserError, match="names LLVM 15, with which ray tracing crashes: name 17 or newer"):
        find_llvm([here])
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(here / "gone.so"))
    with pytest.raises(UserError, match="does not exist"):
        use_llvm()


def test_the_wheels_library_goes_before_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, wheel = folder(tmp_path / "lib", "libLLVM.so.99.1"), folder(tmp_path / "wheel", "libLLVM.so.23.1")
    monkeypatch.setattr("tokcom_phy.radio.llvm._folders", lambda: [system])
    monkeypatch.setattr("tokcom_phy.radio.llvm._from_wheel", lambda: {"libLLVM": wheel / "libLLVM.so.23.1"})
    assert find_llvm() == wheel / "libLLVM.so.23.1"
    with pytest.raises(UserError, match=r"cannot be used: 'libunwind'; reinstall"):
        use_llvm()
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(system / "libLLVM.so.99.1"))
    assert find_llvm() == system / "libLLVM.so.99.1"


@pytest.mark.skipif(not llvm._from_wheel(), reason="the wheel of the extra raytracing is not installed")
def test_the_wheels_library_can_be_loaded() -> None:
    """In an interpreter of its own, in which no C++ library has been loaded for another module."""
    script = (
        "import ctypes, os; from tokcom_phy.radio.llvm import use_llvm; use_llvm(); "
        "ctypes.CDLL(os.environ['DRJIT_LIBLLVM_PATH']).LLVMContextCreate"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_llvm_that_crashes_is_kept_from_drjit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = folder(tmp_path / "lib", "libLLVM-15.so.1")
    monkeypatch.setattr("tokcom_phy.radio.llvm._folders", lambda: [here])
    monkeypatch.setattr("tokcom_phy.radio.llvm._from_wheel", dict)
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", "")
    use_llvm()
    assert find_llvm() is None
    assert not Path(os.environ["DRJIT_LIBLLVM_PATH"]).exists()
