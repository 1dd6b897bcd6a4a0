"""What the documentation says holds: its snippets run, its links lead somewhere, its equations live where it says."""

import re
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = [
    pytest.param(snippet, id=f"{page.name}-{number}")
    for page in PAGES
    for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S), 1)
]
EQUATIONS = [
    pytest.param(int(number), home, id=number)
    for numbers, home in re.findall(
        r"^\| ([(\d) ]+) \|.*\| `([\w.]+)` \|$", (ROOT / "docs/equations.md").read_text("utf-8"), re.M
    )
    for number in re.findall(r"\d+", numbers)
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_run(snippet, tmp_path, monkeypatch):
    if "tokcom_phy.bridge" in snippet and find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "snippet", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_every_equation_has_one_home():
    assert sorted(param.values[0] for param in EQUATIONS) == list(range(1, 19))


@pytest.mark.parametrize(("number", "home"), EQUATIONS)
def test_equation_is_cited_at_home(number, home):
    cited = set()
    for first, last in re.findall(r"\((\d+)\)(?:–\((\d+)\))?", resolve_name(home).__doc__):
        cited.update(range(int(first), int(last or first) + 1))
    assert number in cited


@pytest.mark.parametrize("kind", ["links", "experiments"])
def test_first_line_of_each_built_in_says_how_to_use_it(kind):
    paths = sorted((ROOT / kind).glob("*.yaml"))
    assert paths
    for path in paths:
        first = path.read_text("utf-8").splitlines()[0]
        assert re.match(rf"# .+ tokcom \w+.* {path.stem}\b", first), f"{path.name} opens with {first!r}"
