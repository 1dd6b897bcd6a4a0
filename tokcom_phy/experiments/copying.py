"""A recipe to edit: a copy of an experiment, a link or a figure, in which all that it names is still found."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import yaml

from tokcom_phy.experiments.catalogue import about
from tokcom_phy.utils.errors import UserError, nearest, printable
from tokcom_phy.utils.files import builtin_folder, builtin_names, find, write_atomically
from tokcom_phy.utils.instantiate import FOLDER, TARGET
from tokcom_phy.utils.yaml_files import read_text, read_yaml

_FILES = (".yaml", ".py", ".xml", ".npy", ".npz", ".gguf", ".pth")
"""Endings by which a value is known to name a file."""

_FOLDERS = ("root", "checkpoint", "features")
"""Keys whose values name folders."""

_COMMANDS = {"experiments": ".   Run: tokcom run {}", "links": "; see it with: tokcom links show {}"}
_SCHEMAS = {"experiments": "experiment.schema.json", "links": "link.schema.json"}
_SCHEMA_LINE = "# yaml-language-server:"

_Edit = tuple[int, int, str]
"""A part of a text, from one character to another, and what replaces it."""


def copy_recipe(name_or_path: str, target: Path) -> str:
    """Copy an experiment, a link or a figure into a file to be edited.

    Comments stay. The copy opens with the command that runs it, an experiment is named after its file, so that it has a
    run directory of its own, and what the original names relative to where it lies is named in full.

    Parameters
    ----------
    name_or_path : str
        A built-in by name, or a file by path.
    target : Path
        A ``.yaml`` file for an experiment or a link, a ``.py`` file for a figure: some names are of both.

    Returns
    -------
    str
        The kind of what was copied: 'experiments', 'links' or 'plots'.

    Raises
    ------
    UserError
        If there is none of that name, or the target exists, is of another kind or cannot be written.
    """
    if target.suffix not in (".yaml", ".py"):
        raise UserError(
            f"cannot copy to {target}: name a .yaml file for an experiment or link, a .py file for a figure"
        )
    if os.path.lexists(target):
        raise UserError(f"{target} exists: choose another name, nothing is overwritten")
    kind, source = _find(name_or_path, target.suffix)
    text = read_text(source)
    if kind != "plots":
        read_yaml(source)
        text = _with_header(_edited(text, _absolute(text, kind, source)), kind, source, target)
    with write_atomically(target) as path:
        path.write_text(text, encoding="utf-8")
    return kind


def _find(name_or_path: str, suffix: str) -> tuple[str, Path]:
    kinds = ("plots",) if suffix == ".py" else ("experiments", "links")
    if Path(name_or_path).suffix == suffix:
        source = find(kinds[0], name_or_path)
        return (kinds[0] if suffix == ".py" else _kind(source)), source
    for kind in kinds:
        if name_or_path in builtin_names(kind):
            return kind, find(kind, name_or_path)
    names = [name for kind in kinds for name in builtin_names(kind)]
    what = "figure" if suffix == ".py" else "experiment or link"
    raise UserError(f"unknown {what} '{name_or_path}': {nearest(name_or_path, names)}")


def _kind(path: Path) -> str:
    """Whether a user's YAML file is a link: it has a family, one of its own, or what it extends is a link."""
    settings = read_yaml(path)
    if not isinstance(settings, dict) or {"family", TARGET} & set(settings):
        return "links"
    base = str(settings.get("extends", ""))
    if base in builtin_names("links"):
        return "links"
    below = path.parent / base
    return "links" if base.endswith(".yaml") and below.is_file() and _kind(below) == "links" else "experiments"


def _absolute(text: str, kind: str, source: Path) -> Iterator[_Edit]:
    """Edits that name in full what is found beside the file, or in an experiment from where the command is given."""
    base = Path() if kind == "experiments" else source.parent
    document = yaml.compose(text, yaml.SafeLoader)
    for key, value in _pairs(document):
        named = base / value.value
        if (value.value.endswith(_FILES) and named.is_file()) or (key in _FOLDERS and value.value and named.is_dir()):
            yield value.start_mark.index, value.end_mark.index, _text(named)
    for mapping in _mappings(document):
        keys = {key.value: (key, value) for key, value in mapping.value if isinstance(key, yaml.ScalarNode)}
        if TARGET not in keys or FOLDER in keys:
            continue
        target_key, target = keys[TARGET]
        module = str(target.value).partition(".")[0]
        if (source.parent / f"{module}.py").is_file() or (source.parent / module).is_dir():
            between = ", " if mapping.flow_style else "\n" + " " * target_key.start_mark.column
            yield target.end_mark.index, target.end_mark.index, f"{between}{FOLDER}: {_text(source.parent)}"


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """All mappings in a document, an alias's once."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _pairs(node: yaml.Node | None) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """All single values in a document with their keys; items of a list have the list's."""
    for mapping in _mappings(node):
        for key, value in mapping.value:
            items = value.value if isinstance(value, yaml.SequenceNode) else [value]
            yield from ((str(key.value), item) for item in items if isinstance(item, yaml.ScalarNode))


def _edited(text: str, edits: Iterator[_Edit]) -> str:
    for start, end, replacement in sorted(set(edits), reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _with_header(text: str, kind: str, source: Path, target: Path) -> str:
    """The text under the header of a recipe; an experiment's with the name of its file."""
    lines = text.splitlines()
    opening = f"A copy of {source.name}"
    if lines and lines[0].startswith("#") and not lines[0].startswith(_SCHEMA_LINE):
        opening = about(source)
        del lines[0]
    lines = [line for line in lines if not line.startswith(_SCHEMA_LINE)]
    if kind == "experiments":
        named = [place for place, line in enumerate(lines) if re.match(r"name\s*:", line)]
        comments = sum(1 for _ in takewhile(lambda line: line.startswith("#"), lines))
        first, end = (named[0], named[0] + 1) if named else (comments, comments)
        lines[first:end] = [f"name: {_text(_name(target))}"]
    command = _COMMANDS[kind].format(printable(shlex.quote(str(target))))
    schema = builtin_folder("schemas") / _SCHEMAS[kind]
    return "\n".join([f"# {opening}{command}", f"{_SCHEMA_LINE} $schema={schema}", *lines]) + "\n"


def _name(target: Path) -> str:
    """An experiment's name from a file's: what cannot be in a name becomes a hyphen."""
    name = re.sub(r"[^\w.-]+", "-", target.stem).strip("-.") or "copy"
    return f"copy-of-{name}" if name.startswith("stage1-") else name


def _text(value: str | Path) -> str:
    """A value as YAML: in quotation marks only where it needs them."""
    text = str(value.resolve()) if isinstance(value, Path) else value
    plain = re.fullmatch(r"[\w./-]+", text) and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)
