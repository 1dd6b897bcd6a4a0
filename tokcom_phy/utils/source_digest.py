"""Digests of source code: what they name was made by this code, and by no other."""

from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path


@cache
def source_digest(*names: str) -> str:
    """A digest of the source files of modules and packages, 16 hexadecimal digits; none of the modules is imported.

    Parameters
    ----------
    names : import paths; of a package all modules that lie in its folder
    """
    digest = blake2b(digest_size=8)
    for name in names:
        for file in _files(name):
            content = file.read_bytes()
            digest.update(f"{file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _files(name: str) -> list[Path]:
    spec = find_spec(name)
    assert spec is not None, name
    folders = spec.submodule_search_locations
    if folders:
        return sorted(file for folder in folders for file in Path(folder).glob("*.py"))
    assert spec.origin is not None, name
    return [Path(spec.origin)]
