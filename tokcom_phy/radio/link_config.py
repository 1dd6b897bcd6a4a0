"""Link files: read, laid over what they extend, and validated by the pydantic model of their family."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tokcom_phy.radio.digital_config import DigitalConfig
from tokcom_phy.radio.erasure_config import ErasureConfig
from tokcom_phy.radio.family_config import FOLDER, LinkFamilyConfig
from tokcom_phy.radio.flat_config import FlatConfig
from tokcom_phy.radio.harq_config import HarqConfig
from tokcom_phy.radio.impairments_config import ImpairmentsConfig
from tokcom_phy.radio.link_budget_config import LinkBudgetConfig
from tokcom_phy.radio.ofdm_config import OfdmConfig, SceneConfig
from tokcom_phy.radio.scheme import Scheme
from tokcom_phy.utils.errors import UserError, nearest, quoted
from tokcom_phy.utils.files import builtin_folder, find
from tokcom_phy.utils.instantiate import TARGET, folder_on_path, import_target
from tokcom_phy.utils.yaml_files import parse_yaml, read_text

LinkConfig = LinkFamilyConfig
"""Settings of any link."""

FAMILIES: dict[str, type[LinkFamilyConfig]] = {
    "flat": FlatConfig,
    "ofdm": OfdmConfig,
    "erasure": ErasureConfig,
    "digital": DigitalConfig,
}
"""The built-in families."""

_INNER: dict[str, type[BaseModel]] = {
    "scene": SceneConfig,
    "impairments": ImpairmentsConfig,
    "budget": LinkBudgetConfig,
    "harq": HarqConfig,
    "schemes": Scheme,
}
"""Keys that hold keys of their own."""

_ONE_OF_SEVERAL = re.compile(r"(list|dict|function-\w+)\[.*\]")
"""How pydantic names the type, among those that a key may have, at which an error arose."""

_WHICH = {"extends", "family", TARGET}
"""Keys that say which link some settings are of."""


def read_config(name_or_path: str | Path, overrides: Mapping[str, Any]) -> tuple[str, LinkConfig]:
    """Read and check a link file.

    A file that ``extends`` another link, a built-in one by name or a YAML file relative to its own folder, says only
    what differs. A file that names a link family by import path (``_target_``) runs the code of that module, which may
    lie beside the file.

    Parameters
    ----------
    name_or_path : str or Path
        A built-in link by name, a YAML file by path.
    overrides : key → value
        Keys of the file's family that replace what the file says. A mapping for ``over`` changes keys of the link below
        a digital link, as in ``{"over": {"speed": 30.0}}``.

    Returns
    -------
    name : str
    config : LinkConfig

    Raises
    ------
    UserError
        If there is no such link, the file is not YAML, or a key or value is wrong.
    """
    path = find("links", name_or_path)
    where = f"link '{path.stem}'" if path.parent == builtin_folder("links") else f"link file {path}"
    return path.stem, _validate(where, _in_full(where, _merge(_read(path), overrides)))


def inline_config(where: str, settings: Mapping[str, Any]) -> LinkConfig:
    """Check the settings of a link that has no file: keys laid over the link that it ``extends``, or a whole link.

    Parameters
    ----------
    where : str
        For messages, such as ``links.fast``.
    settings : key → value

    Raises
    ------
    UserError
        As `read_config`.
    """
    try:
        content = _extended(settings, ())
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return _validate(where, _in_full(where, content))


def validate_config(name: str, content: Mapping[str, Any]) -> LinkConfig:
    """Check the settings of a link that extends no other.

    Raises
    ------
    UserError
        If a key or value is wrong.
    """
    return _validate(f"link '{name}'", content)


def anchor_target(settings: Any, folder: Path) -> None:
    """Note in settings that name a family by import path that its module lies in ``folder``, if it does."""
    if isinstance(settings, dict) and TARGET in settings and FOLDER not in settings:
        module = str(settings[TARGET]).partition(".")[0]
        if (folder / f"{module}.py").is_file() or (folder / module).is_dir():
            settings[FOLDER] = str(folder.resolve())


def link_class(config: LinkConfig, where: str) -> Any:
    """The class at the import path of a config's family; None for a built-in family.

    Raises
    ------
    UserError
        If it cannot be imported.
    """
    target = config.origin.get(TARGET)
    return None if target is None else _import_family(target, config.origin.get(FOLDER), where)


def _import_family(target: Any, folder: Any, where: str) -> Any:
    if folder is not None:
        folder_on_path(str(folder))
    found = import_target(target, f"{where}: {TARGET}")
    config_class = getattr(found, "config_class", None)
    if not (isinstance(config_class, type) and issubclass(config_class, LinkFamilyConfig)):
        raise UserError(
            f"{where}: {TARGET}: '{target}' is no link family: derive it from Link[Config], with a Config that derives "
            "from LinkFamilyConfig"
        )
    return found


def _validate(where: str, content: Mapping[str, Any], prefix: str = "") -> LinkConfig:
    """Check settings in full; ``prefix`` is the key that holds them, for messages."""
    content = dict(content)
    target, folder = content.pop(TARGET, None), content.pop(FOLDER, None)
    if target is None:
        family = content.get("family")
        if "family" not in content:
            raise UserError(f"{where}: {prefix}family: name one of {', '.join(FAMILIES)}, or {TARGET}: MODULE.CLASS")
        if not isinstance(family, str) or family not in FAMILIES:
            raise UserError(f"{where}: {prefix}unknown family '{family}', {nearest(str(family), FAMILIES)}")
        model = FAMILIES[family]
    elif "family" in content:
        raise UserError(f"{where}: {prefix}family and {TARGET} exclude each other: leave one out")
    else:
        model = _import_family(target, folder, where).config_class
    if isinstance(content.get("over"), Mapping) and model is DigitalConfig:
        below = dict(content["over"])
        if (budget := content.pop("budget", None)) is not None:
            below["budget"] = {**(below.get("budget") or {}), **budget} if isinstance(budget, Mapping) else budget
        content["over"] = _validate(where, below, f"{prefix}over.")
    try:
        config = model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error, model, prefix)}") from error
    return config if target is None else config.of_family(target, folder)


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The settings of a link file, laid over those that it extends; paths are made relative to its folder."""
    if path in extended_by:
        raise UserError(f"{path} extends itself: {' → '.join(p.name for p in (*extended_by, path))}")
    text = read_text(path)
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        raise UserError(
            f"{path} holds no keys: write a family ({', '.join(FAMILIES)}) and what differs from its defaults"
        )
    if content.get("responses"):
        content["responses"] = path.parent / str(content["responses"])
    if description := _header(text):
        content.setdefault("description", description)
    over = content.get("over")
    for place, key in [(content, "extends"), (content, "over"), (over, "extends")]:
        _anchor(place, key, ".yaml", path.parent)
    _anchor(content.get("scene"), "name", ".xml", path.parent)
    anchor_target(content, path.parent)
    anchor_target(over, path.parent)
    return _extended(content, (*extended_by, path))


def _anchor(content: Any, key: str, suffix: str, folder: Path) -> None:
    """Make the file that a key names relative to a folder."""
    if isinstance(content, dict) and str(content.get(key, "")).endswith(suffix):
        content[key] = str(folder / content[key])


def _extended(content: Mapping[str, Any], extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """Settings laid over those of the link that they extend, if they do."""
    content = dict(content)
    base = content.pop("extends", None)
    return content if base is None else _merge(_read(find("links", str(base)), extended_by), content)


def _merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some changed, inner ones one by one; a link below that says which it is replaces the other."""
    merged = dict(content)
    for key, value in changes.items():
        before = merged.get(key)
        if key == "over" and isinstance(before, str):
            before = {"extends": before}
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not _WHICH & set(value):
            value = _merge(before, value)
        merged[key] = value
    return merged


def _in_full(where: str, content: dict[str, Any]) -> dict[str, Any]:
    """Settings with those of the link below in full."""
    over = content.get("over")
    if content.get("family") != "digital" or over is None:
        return content
    try:
        below = _extended(over if isinstance(over, Mapping) else {"extends": over}, ())
    except UserError as error:
        raise UserError(f"{where}: over: {error}") from error
    if below.get("family") == "digital":
        named = "a link" if isinstance(over, Mapping) else f"'{over}'"
        raise UserError(f"{where}: over: {named} is digital itself: name a link of another family")
    return {**content, "over": below}


def _header(text: str) -> str:
    """What the first comment line says before it names a command."""
    first = text.lstrip().splitlines()[0]
    return first.lstrip("# ").split("; see it with")[0] if first.startswith("#") else ""


def _explain(error: ValidationError, model: type[BaseModel], prefix: str) -> str:
    """One line for the first error in pydantic's report."""
    mistake = error.errors()[0]
    path = [part for part in map(str, mistake["loc"]) if not _ONE_OF_SEVERAL.fullmatch(part)]
    key = prefix + ".".join(path) if path else prefix.rstrip(".")
    if mistake["type"] == "extra_forbidden":
        inner = next((found for part, found in _INNER.items() if part in path[:-1]), model)
        fields = inner.model_fields
        return f"unknown key '{key}', {nearest(path[-1], fields)}"
    message = mistake["msg"].removeprefix("Value error, ")
    if not key or mistake["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key}: {message[0].lower()}{message[1:]}, not {quoted(mistake['input'])}"
