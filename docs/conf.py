"""Sphinx's settings: `make docs` builds the site into build/site, and any warning ends it.

The pages are those of this folder, as they read on GitHub. What a site needs beside them is made here: the list of
pages, a page for each package with every public name, and links that lead out of this folder.
"""

import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, GenericAlias

from jinja2 import FileSystemLoader
from jinja2.sandbox import SandboxedEnvironment
from numpydoc import docscrape_sphinx
from sphinx.application import Sphinx

import tokcom_phy

project = "tokcom-phy"
author = copyright = "The tokcom-phy contributors"
release = metadata.version("tokcom-phy")

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["notebooks/runs"]

html_theme = "furo"
html_baseurl = "https://tokcom-phy.github.io/tokcom-phy/"
html_title = f"tokcom-phy {release}"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
nb_execution_mode = "force"  # what is cached does not follow the code
nb_execution_timeout = 600
nb_execution_raise_on_error = True

autodoc_member_order = "bysource"
autodoc_default_options = {"ignore-module-all": True}  # names that a module re-exports are documented at home
autodoc_typehints = "none"
numpydoc_show_class_members = False

# numpydoc compiles its template for each docstring anew, which takes half of the time that reading them does.
TEMPLATES = SandboxedEnvironment(loader=FileSystemLoader(Path(docscrape_sphinx.__file__).with_name("templates")))
docscrape_sphinx.SandboxedEnvironment = lambda loader: TEMPLATES

SOURCE = "https://github.com/tokcom-phy/tokcom-phy/blob/main"
DOCS = Path(__file__).parent
API = DOCS / "api"

PAGES = {
    "Begin": ["quickstart", "notebooks/index", "gallery"],
    "Use": ["data", "synthetic", "training", "sweeps", "digital", "allocation", "map", "engines", "bridge"],
    "Look up": ["conventions", "reference", "equations", "modelled", "benchmarks", "design", "api/index"],
}


def write_api() -> None:
    """A page for each package: its modules with all their public names, where TensorFlow is absent without its own."""
    folder = Path(tokcom_phy.__path__[0])
    files = [path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py")]
    modules = sorted(".".join(part for part in file.parts if part != "__init__") for file in files)
    modules = [name for name in modules if name != "tokcom_phy" and not name.endswith("__main__")]
    if find_spec("tensorflow") is None:
        modules = [name for name in modules if not name.startswith("tokcom_phy.bridge") and "tensorflow" not in name]
    packages = sorted({".".join(name.split(".")[:2]) for name in modules})
    API.mkdir(exist_ok=True)
    listed = "\n".join(name.removeprefix("tokcom_phy.") for name in packages)
    write_if_new(API / "index.md", f"# Python\n\n{TOP}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n")
    for package in packages:
        inside = [name for name in modules if name == package or name.startswith(f"{package}.")]
        directive = "```{{eval-rst}}\n.. automodule:: {0}\n   :members:\n   :show-inheritance:\n```\n"
        blocks = [f"## {name}\n\n{directive.format(name)}" for name in inside]
        write_if_new(API / f"{package.removeprefix('tokcom_phy.')}.md", "\n".join([f"# {package}", "", *blocks]))


TOP = f"""What `import tokcom_phy` offers: {", ".join(f"`{name}`" for name in tokcom_phy.__all__)}.

Below, each package with its modules, imports running downwards; [design](../design.md) says what each holds."""


def write_if_new(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, encoding="utf-8")


def adapt(app: Sphinx, page: str, source: list[str]) -> None:
    """Give the first page the list of all, and let links that leave this folder lead to the sources."""
    if page.count("/") == 0:
        source[0] = re.sub(r"\]\(\.\./([^)]+)\)", rf"]({SOURCE}/\1)", source[0])
    if page == "index":
        for caption, pages in PAGES.items():
            listed = "\n".join(pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def as_text(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let |h| and *shape of a docstring be what they are, not mark-up; what stands in backticks does already."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"\||\*(?=\w)", r"\\\g<0>", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def skip_alias(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out aliases of types, and functions of Python itself; None lets Sphinx decide."""
    return True if isinstance(obj, GenericAlias | BuiltinFunctionType) else None


def setup(app: Sphinx) -> None:
    write_api()
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", as_text, priority=100)  # before numpydoc
    app.connect("autodoc-skip-member", skip_alias)
