"""YAML as links, experiments and runs are written in: plain data, each key once, of bounded size and depth."""

from collections.abc import Hashable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tokcom_phy.utils.errors import UserError, printable, quoted, reason

MAX_BYTES = 10**6
"""Size of a file."""

MAX_VALUES = 20_000
"""Values and keys, each as often as aliases repeat it."""

MAX_DEPTH = 50
"""Lists and tables in one another."""


class _Loader(yaml.SafeLoader):
    """Refuses what YAML allows and a reader would not see: repeated keys, aliases that multiply, dates.

    Size and depth are bounded while the text is scanned: PyYAML takes quadratic time for brackets in one another.
    """

    _composed = 0

    def fetch_flow_collection_start(self, TokenClass: type[yaml.Token]) -> None:
        self._check_depth()
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        self._check_depth()
        return bool(super().add_indent(column))

    def _check_depth(self) -> None:
        if self.flow_level + len(self.indents) > MAX_DEPTH:
            raise yaml.scanner.ScannerError(None, None, f"nested more than {MAX_DEPTH} deep", self.get_mark())

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._composed += 1
        if self._composed > MAX_VALUES:
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_VALUES} values", self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and any("\ud800" <= character <= "\udfff" for character in node.value):
            raise _error(node, "half of a surrogate pair is no text")
        return node

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _measure(node, {})
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError) as error:  # of odd tags and numbers
            what = quoted(node.value) if isinstance(node, yaml.ScalarNode) else "what follows"
            raise _error(node, f"{what} is no {node.tag.rpartition(':')[2]}") from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and seen.setdefault(key.value, key) is not key:
                raise _error(key, f"key '{quoted(key.value)[1:-1]}' is there twice: leave one out")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: dictionaries, lists, texts, numbers, booleans and None.

    Raises
    ------
    UserError
        If the file cannot be read, is no YAML, or is larger or deeper than `MAX_BYTES`, `MAX_VALUES` and `MAX_DEPTH`.
    """
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a YAML file.

    Raises
    ------
    UserError
        If it cannot be read, or is larger than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no YAML file: it is not text in UTF-8") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{path} is larger than {MAX_BYTES // 10**6} MB: settings are not")
    return text


def parse_yaml(text: str, where: str) -> Any:
    """The content of a YAML text; see `read_yaml`.

    Parameters
    ----------
    text : str
    where : str
        What the text is, for messages.
    """
    try:
        return deepcopy(_parsed(text))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{where} is not valid YAML: {line}{printable(str(error.problem))[:200]}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not valid YAML: {printable(reason(error))[:200]}") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f"{where} is not valid YAML: a tag does not fit the list or table that follows it") from error


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    """What a text says, parsed once: an experiment reads the same links again and again."""
    return yaml.load(text, _Loader)


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Number of values and depth below a node, each alias as what it stands for; known nodes are not visited again."""
    if id(node) in known:
        measured = known[id(node)]
        if measured is None:
            raise _error(node, "an alias of what it stands in")
        return measured
    known[id(node)] = None
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    size, depth = 1, 1
    for part in inner:
        part_size, part_depth = _measure(part, known)
        size, depth = size + part_size, max(depth, part_depth + 1)
    if depth > MAX_DEPTH:
        raise _error(node, f"nested more than {MAX_DEPTH} deep")
    if size > MAX_VALUES:
        raise _error(node, f"more than {MAX_VALUES} values, each alias counted as what it stands for")
    known[id(node)] = size, depth
    return size, depth


def _error(node: yaml.Node, what: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)
