"""The LLVM library for ray tracing on a CPU: Dr.Jit loads the first that it finds, and some versions crash.

The extra ``raytracing`` brings one as a wheel. It goes before the system's, so that all machines compute alike.
"""

import ctypes
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from tokcom_phy.utils.errors import UserError

OLDEST = 17
"""Dr.Jit does not load LLVM 14; 15 and 16 abort in code generation on machines with AVX-512."""
_WHEEL = "karellen-llvm-core"
INSTALL = (
    "pip install 'tokcom-phy[raytracing]'"
    if sys.platform == "linux" and platform.machine() == "x86_64"
    else "install LLVM, such as by apt-get install libllvm19"
)
_WHEEL_RUNTIME = ("libunwind", "libc++abi", "libc++")
"""The C++ library that the wheel's LLVM was built with, in the order in which they need each other."""
_VARIABLE = "DRJIT_LIBLLVM_PATH"
_NONE = "no-llvm-that-works"
_NAMES = ("libLLVM*.so*", "libLLVM*.dylib")


def _folders() -> list[Path]:
    """Library folders of the system, conda and Homebrew."""
    named = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    usual = [
        *(sys.prefix + "/lib", f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"),
        *("/usr/lib64", "/usr/lib", "/usr/local/lib"),
    ]
    patterns = [("/usr/lib", "llvm-*/lib"), ("/opt/homebrew/opt", "llvm*/lib"), ("/usr/local/opt", "llvm*/lib")]
    return [
        *named,
        *(Path(folder) for folder in usual),
        *(folder for root, pattern in patterns for folder in Path(root).glob(pattern)),
    ]


def _from_wheel() -> dict[str, Path]:
    """The libraries that the extra ``raytracing`` has installed, by the stems of their names."""
    try:
        files = metadata.files(_WHEEL) or []
    except metadata.PackageNotFoundError:
        return {}
    found = ((file.name.split(".")[0], Path(str(file.locate())).resolve()) for file in files if ".so." in file.name)
    return {name: path for name, path in found if path.is_file()}


def version(library: Path) -> int | None:
    """Major version of an LLVM library from its file name, or None if the name has none."""
    found = re.search(r"libLLVM-(\d+)|libLLVM\.so\.(\d+)|llvm[@/-](\d+)", str(library.resolve()))
    return int(next(group for group in found.groups() if group)) if found else None


def find_llvm(folders: Iterable[Path] | None = None) -> Path | None:
    """The LLVM library that ray tracing works with, or None if there is none.

    The environment variable ``DRJIT_LIBLLVM_PATH`` takes precedence, then the wheel of the extra ``raytracing``, then
    the newest in the default folders, or in ``folders`` alone.

    Raises
    ------
    UserError
        If the variable names a file that does not exist, or a version that does not work.
    """
    named = os.environ.get(_VARIABLE)
    if named and named != _NONE:
        library = Path(named)
        if not library.is_file():
            raise UserError(f"{_VARIABLE} names {named}, which does not exist: unset it, or name an LLVM library")
        if (version(library) or OLDEST) < OLDEST:
            raise UserError(
                f"{_VARIABLE} names LLVM {version(library)}, with which ray tracing crashes: name {OLDEST} or newer, "
                "or unset it"
            )
        return library
    wheel = _from_wheel().get("libLLVM") if folders is None else None
    if wheel:
        return wheel
    found = {
        library: version(library) or 0
        for folder in (_folders() if folders is None else folders)
        for name in _NAMES
        for library in folder.glob(name)
        if library.is_file()
    }
    working = [library for library, number in found.items() if number >= OLDEST]
    return max(working, key=lambda library: (found[library], str(library)), default=None)


def obstacle() -> str:
    """What ray tracing on this machine's CPU lacks and how to get it; empty if it lacks nothing.

    Raises
    ------
    UserError
        As `find_llvm`.
    """
    if find_llvm() is None:
        return f"needs LLVM {OLDEST} or newer: {INSTALL}, or name its library by {_VARIABLE}"
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libatomic.so.1")  # of GCC; Dr.Jit's wheel takes it from the system
        except OSError:
            return "needs libatomic.so.1, such as by apt-get install libatomic1"
    return ""


def use_llvm() -> None:
    """Make Dr.Jit load a working LLVM, or none; to be called before Dr.Jit is imported.

    Raises
    ------
    UserError
        As `find_llvm`, or if the wheel's libraries cannot be loaded.
    """
    library, wheel = find_llvm(), _from_wheel()
    if library and library == wheel.get("libLLVM"):
        try:
            for name in _WHEEL_RUNTIME:
                ctypes.CDLL(str(wheel[name]))
        except (KeyError, OSError) as error:
            raise UserError(f"{library} cannot be used: {error}; reinstall {_WHEEL}") from error
    os.environ[_VARIABLE] = str(library or _NONE)
