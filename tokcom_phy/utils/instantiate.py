"""Components named by import path in a YAML file, in the convention of Hydra's ``instantiate``.

``{_target_: my_module.MyReceiver, depth: 2}`` becomes ``MyReceiver(depth=2)``; with ``_partial_: true`` it becomes a
function that waits for its other arguments, ``functools.partial(my_function, depth=2)``. Naming a component runs its
code: load only files that you trust. These few lines stand in for Hydra because hydra-core 1.3 requires omegaconf below
2.4 and an old ANTLR runtime, and because a mistake here has to end in one line that names the key.
"""

import functools
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib import import_module, invalidate_caches
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

from tokcom_phy.utils.errors import UserError, close_names, nearest, one_line

TARGET, PARTIAL, FOLDER = "_target_", "_partial_", "_folder_"
"""Keys of a component: its import path, whether it is called later, and the folder that its module lies in."""

_FOLDERS: list[str] = []
"""Folders that `folder_on_path` made importable, the latest first; the last entries of ``sys.path``."""


def folder_on_path(folder: str | Path) -> None:
    """Make the Python files of a folder importable, after all that is installed.

    A module that came from such a folder before gives way to one of the same name in this folder. Every process that
    instantiates calls this first; one more call does nothing.
    """
    folder = str(Path(folder).resolve())
    if folder in _FOLDERS[:1]:
        return
    for module in pkgutil.iter_modules([folder]):
        file = getattr(sys.modules.get(module.name), "__file__", None)
        if file and any(Path(file).is_relative_to(other) for other in _FOLDERS):
            for name in [n for n in sys.modules if n == module.name or n.startswith(f"{module.name}.")]:
                del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry not in _FOLDERS]
    _FOLDERS[:] = [folder, *(other for other in _FOLDERS if other != folder)]
    sys.path += [entry for entry in _FOLDERS if entry not in sys.path]


def import_target(path: Any, key: str) -> Any:
    """Import what a dotted path names: a class or a function of a module, or something inside a class.

    Parameters
    ----------
    path : str
        ``module.Name``; a module in a package is ``package.module.Name``.
    key : str
        The setting that names it, for messages.

    Raises
    ------
    UserError
        If the path is no import path, the module is not there or fails to import, or it has no such attribute.
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")) or "." not in path:
        raise UserError(f"{key}: {path!r} is no import path: write MODULE.NAME, such as my_receiver.MyReceiver")
    parts = path.split(".")
    found: Any = _import(parts[0], None, path, key)
    for i, part in enumerate(parts[1:], start=1):
        if not hasattr(found, part) and isinstance(found, ModuleType):
            found = _import(".".join(parts[: i + 1]), found, path, key)
        elif not hasattr(found, part):
            raise _no_attribute(found, part, path, key)
        else:
            found = getattr(found, part)
    if isinstance(found, ModuleType):
        raise UserError(f"{key}: '{path}' is a module: name a class or a function in it, as {path}.NAME")
    return found


def instantiate(component: Any, key: str, base: type | None, /, **arguments: Any) -> Any:
    """Call what a component names, with its arguments.

    Parameters
    ----------
    component : mapping
        ``_target_`` and keyword arguments. Arguments that have a ``_target_`` themselves are instantiated first.
    key : str
        The setting that holds it, for messages.
    base : type, optional
        What the result must be an instance of.
    **arguments
        Passed on where the constructor names them and the component does not give them.

    Raises
    ------
    UserError
        As `import_target` does, and if an argument is unknown or missing, the constructor fails, or the result is no
        ``base``.
    """
    if not isinstance(component, Mapping) or TARGET not in component:
        raise UserError(f"{key}: expected a mapping with {TARGET}, got {component!r}: write {{{TARGET}: MODULE.NAME}}")
    path = component[TARGET]
    constructor = _target(component, key)
    if not callable(constructor):
        raise UserError(f"{key}: '{path}' is neither a class nor a function: it is of type {_name(type(constructor))}")
    given = {str(k): _nested(v, f"{key}.{k}") for k, v in component.items() if k not in (TARGET, PARTIAL, FOLDER)}
    made = _call(constructor, given, arguments, str(path), key, partial=bool(component.get(PARTIAL)))
    if base is not None and not isinstance(made, base):
        raise UserError(f"{key}: '{path}' gives a {_name(type(made))}, expected a {_name(base)}")
    return made


def source_of(component: Mapping[str, Any], key: str) -> dict[str, str | None]:
    """Where a component's code is from, for provenance.

    Returns
    -------
    dict
        ``module``; ``version`` of its package, None for a file that belongs to none; ``sha256`` of the module's file.
    """
    target = _target(component, key)
    module = getattr(target, "__module__", None) or type(target).__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    distributions = packages_distributions().get(module.partition(".")[0])
    return {
        "module": module,
        "version": version(distributions[0]) if distributions else None,
        "sha256": sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else None,
    }


def components_in(settings: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every component in some settings, with the dotted key that names it; ``key`` is that of the settings."""
    if isinstance(settings, Mapping) and TARGET in settings:
        yield key, settings
    if isinstance(settings, Mapping | list | tuple):
        items = settings.items() if isinstance(settings, Mapping) else enumerate(settings)
        for name, value in items:
            yield from components_in(value, f"{key}.{name}" if key else str(name))


def _target(component: Mapping[str, Any], key: str) -> Any:
    if FOLDER in component:
        folder_on_path(component[FOLDER])
    return import_target(component.get(TARGET), key)


def _import(name: str, parent: ModuleType | None, path: str, key: str) -> ModuleType:
    invalidate_caches()  # a file that was written a moment ago is found
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise UserError(f"{key}: importing '{name}' for '{path}' fails ({one_line(error)})") from error
        if parent is not None:
            raise _no_attribute(parent, name.rpartition(".")[2], path, key) from error
        known = {module.name for module in pkgutil.iter_modules()} | set(sys.stdlib_module_names)
        mend = close_names(name, known) or "put its file beside the YAML file, or install it"
        raise UserError(f"{key}: no module '{name}' for '{path}': {mend}") from error
    except (Exception, SystemExit) as error:  # whatever the module's code does
        raise UserError(f"{key}: importing '{name}' for '{path}' fails ({one_line(error)})") from error


def _no_attribute(owner: Any, name: str, path: str, key: str) -> UserError:
    public = [attribute for attribute in dir(owner) if not attribute.startswith("_")]
    if isinstance(owner, ModuleType):
        public += [module.name for module in pkgutil.iter_modules(getattr(owner, "__path__", []))]
        own = [
            attribute for attribute in public if getattr(vars(owner).get(attribute), "__module__", "") == _name(owner)
        ]
        choices = public if close_names(name, public) else own
    else:
        choices = public
    hint = f": {nearest(name, choices)}" if choices else ""
    return UserError(f"{key}: '{_name(owner)}' has no '{name}' for '{path}'{hint}")


def _nested(value: Any, key: str) -> Any:
    if isinstance(value, Mapping) and TARGET in value:
        return instantiate(value, key, None)
    if isinstance(value, Mapping):
        return {k: _nested(v, f"{key}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_nested(v, f"{key}.{i}") for i, v in enumerate(value)]
    return value


def _call(constructor: Any, given: dict[str, Any], offered: dict[str, Any], path: str, key: str, partial: bool) -> Any:
    try:
        signature = inspect.signature(constructor)
    except (TypeError, ValueError):  # a few built-in classes have none
        signature = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)])
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    named = [
        n for n, k in kinds.items() if k in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds.values()
    for name in given:
        if name not in named and not takes_all:
            hint = nearest(name, named) if named else "it takes none"
            raise UserError(f"{key}: '{path}' takes no argument '{name}': {hint}")
    arguments = {**{name: value for name, value in offered.items() if name in named}, **given}
    if partial:
        return functools.partial(constructor, **arguments)
    absent = [n for n in named if n not in arguments and signature.parameters[n].default is inspect.Parameter.empty]
    if absent:
        hint = f", or {PARTIAL}: true if it is called later" if inspect.isfunction(constructor) else ""
        raise UserError(f"{key}: '{path}' needs {', '.join(repr(n) for n in absent)}: give it beside {TARGET}{hint}")
    try:
        return constructor(**arguments)
    except (Exception, SystemExit) as error:  # whatever the constructor's code does
        raise UserError(f"{key}: '{path}' cannot be built ({one_line(error)})") from error


def _name(thing: Any) -> str:
    if isinstance(thing, ModuleType):
        return thing.__name__
    return thing.__qualname__ if thing.__module__ == "builtins" else f"{thing.__module__}.{thing.__qualname__}"
