"""Digests of source code: equal for equal code, another one for any change of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tokcom_phy.utils.source_digest import source_digest


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules that cannot be imported without harm."""
    package = tmp_path / "made_up"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("raise SystemExit('imported')\n")
    (package / "two.py").write_text("TWO = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "made_up", raising=False)
    return package


def digest(*names: str) -> str:
    source_digest.cache_clear()
    return source_digest(*names)


def test_any_change_of_a_module_is_another_digest(made_up: Path) -> None:
    before = digest("made_up")
    assert digest("made_up") == before
    assert len(before) == 16
    (made_up / "two.py").write_text("TWO = 3\n")
    changed = digest("made_up")
    (made_up / "three.py").write_text("")
    added = digest("made_up")
    (made_up / "two.py").rename(made_up / "renamed.py")
    assert len({before, changed, added, digest("made_up")}) == 4


def test_only_the_named_modules_count(made_up: Path) -> None:
    one, two = digest("made_up.one"), digest("made_up.two")
    both = digest("made_up.one", "made_up.two")
    (made_up / "two.py").write_text("TWO = 3\n")
    assert digest("made_up.one") == one
    assert digest("made_up.two") != two
    assert digest("made_up.one", "made_up.two") != both


def test_a_checkout_elsewhere_has_the_same_digest(made_up: Path, tmp_path: Path) -> None:
    shutil.copytree(made_up, tmp_path / "elsewhere" / "made_up")
    code = "from tokcom_phy.utils.source_digest import source_digest; print(source_digest('made_up'))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'elsewhere')!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest("made_up")
