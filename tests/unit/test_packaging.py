"""What is handed out: wheel and sdist, citation, workflows and hooks."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tokcom_phy.utils.files import builtin_names

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, umask: int) -> dict[str, Path]:
    """Wheel and sdist of the checkout, by their endings."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, env=environment, umask=umask, check=True, capture_output=True)
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("first"), 0o022)


def test_the_same_sources_give_the_same_bytes(built, tmp_path):
    again = build(tmp_path, 0o077)
    assert set(built) == {".whl", ".gz"}
    for suffix, path in built.items():
        assert sha256(path.read_bytes()).digest() == sha256(again[suffix].read_bytes()).digest()


def test_the_wheel_holds_every_built_in_and_no_test(built):
    names = set(zipfile.ZipFile(built[".whl"]).namelist())
    for kind, suffix in (("experiments", ".yaml"), ("links", ".yaml"), ("plots", ".py")):
        assert {f"tokcom_phy/builtin/{kind}/{name}{suffix}" for name in builtin_names(kind)} <= names
    assert {"tokcom_phy/assets/tiny/foundation/model.safetensors", "tokcom_phy/results/report.html"} <= names
    assert {re.sub(r"-.*\.dist", "-VERSION.dist", name.split("/")[0]) for name in names} == {
        "tokcom_phy",
        "tokcom_phy-VERSION.dist-info",
    }


def test_the_sdist_holds_what_a_wheel_is_built_from(built):
    with tarfile.open(built[".gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "links/awgn.yaml", "plots/fig3.py"} <= names
    assert not any(name.startswith(("runs/", "data/", ".")) for name in names - {".gitignore"})


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["repository-code"] == project["urls"]["Source"]
    assert citation["authors"][0]["name"] == project["authors"][0]["name"]
    assert project["urls"]["Paper"] in [reference.get("url") for reference in citation["references"]]
    assert "10.1109/LWC.2025.3628928" in [reference.get("doi") for reference in citation["references"]]


def declared_packages(*extras: str) -> set[str]:
    """Distributions that pip installs with these extras, what they themselves need left out; normalised names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [Requirement(line) for line in project["dependencies"]]
    waiting = list(extras)
    while waiting:
        requirements += [Requirement(line) for line in project["optional-dependencies"][waiting.pop()]]
        waiting += [name for found in requirements if found.name == "tokcom-phy" for name in found.extras]
        requirements = [found for found in requirements if found.name != "tokcom-phy"]
    return {canonicalize_name(found.name) for found in requirements}


def test_every_module_that_the_site_shows_imports_with_the_extra_for_it():
    """Sphinx imports them all where `make docs` has installed nothing else."""
    declared = declared_packages("docs")
    homes = metadata.packages_distributions()
    for path in sorted((ROOT / "tokcom_phy").rglob("*.py")):
        if "bridge" in path.parts or "tensorflow" in path.name:  # left out where TensorFlow is not installed
            continue
        names = {
            (statement.module or "" if isinstance(statement, ast.ImportFrom) else alias.name).partition(".")[0]
            for statement in ast.parse(path.read_text("utf-8")).body
            if isinstance(statement, ast.Import | ast.ImportFrom)
            for alias in statement.names
        }
        for name in names - set(sys.stdlib_module_names) - {"tokcom_phy"}:
            distributions = {canonicalize_name(home) for home in homes[name]}
            assert distributions & declared, f"{path.relative_to(ROOT)} imports {name}"


def test_hooks_are_the_checks_of_make_check():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.M)
    assert recipe
    checks = [line.strip().removeprefix("$(BIN)/") for line in recipe[1].splitlines()]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == checks


def test_the_workflow_runs_what_every_change_must_pass():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    assert ".ci/run" in [step.get("run") for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_have_what_github_asks(form):
    content = yaml.safe_load(form.read_text("utf-8"))
    assert {"name", "description", "body"} <= set(content)
    identifiers = [item["id"] for item in content["body"]]
    assert len(set(identifiers)) == len(identifiers)
    assert all(item["attributes"]["label"] for item in content["body"])
