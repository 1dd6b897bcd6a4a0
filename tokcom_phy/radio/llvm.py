"""The LLVM library for ray tracing on a CPU: Dr.Jit loads the first that it finds, and some versions crash."""

import os
import re
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from tokcom_phy.utils.errors import UserError

OLDEST = 17
"""Dr.Jit does not load LLVM 14; 15 and 16 abort in code generation on machines with AVX-512."""
INSTALL = "apt-get install libllvm19"
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


def version(library: Path) -> int | None:
    """Major version of an LLVM library from its file name, or None if the name has none."""
    found = re.search(r"libLLVM-(\d+)|libLLVM\.so\.(\d+)|llvm[@/-](\d+)", str(library.resolve()))
    return int(next(group for group in found.groups() if group)) if found else None


def find_llvm(folders: Iterable[Path] | None = None) -> Path | None:
    """The newest working LLVM library, or None if there is none.

    The environment variable ``DRJIT_LIBLLVM_PATH`` takes precedence over what is found in the default folders.

    Raises
    ------
    UserError
        If the variable names a file that is not there, or a version that does not work.
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
    found = {
        library: version(library) or 0
        for folder in (_folders() if folders is None else folders)
        for name in _NAMES
        for library in folder.glob(name)
        if library.is_file()
    }
    working = [library for library, number in found.items() if number >= OLDEST]
    return max(working, key=lambda library: (found[library], str(library)), default=None)


def use_llvm() -> None:
    """Make Dr.Jit load a working LLVM, or none; to be called before Dr.Jit is imported.

    Raises
    ------
    UserError
        As `find_llvm`.
    """
    os.environ[_VARIABLE] = str(find_llvm() or _NONE)
