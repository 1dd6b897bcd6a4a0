"""Settings against a pydantic model: the first fault becomes one line."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tokcom_phy.utils.errors import UserError, nearest, quoted

Settings = TypeVar("Settings", bound=BaseModel)


def check(model: type[Settings], values: Any, where: str) -> Settings:
    """Validate settings; the first fault becomes one line that names the key, the fault and the nearest key.

    Raises
    ------
    UserError
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = _keys(error.errors()[0]["loc"], values)
        same = [fault for fault in error.errors() if _keys(fault["loc"], values)[: len(first)] == first]
        # Of alternatives, that which fits furthest.
        fault = max(same, key=lambda fault: len(_keys(fault["loc"], values)))
        key = ".".join(_keys(fault["loc"], values))
        if fault["type"] == "extra_forbidden":
            raise UserError(f"{where}: unknown key '{key}': {_nearest_key(model, fault['loc'])}") from error
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] in {"model_type", "dict_type"}:
            message = "this is no table of keys"
        shown = "" if fault["type"] in {"missing", "value_error"} else f" (got {quoted(fault['input'])})"
        raise UserError(f"{where}: {key + ': ' if key else ''}{message}{shown}") from error


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some changed, those of inner tables one by one."""
    result = dict(settings)
    for key, value in changes.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return result


def _keys(location: tuple[int | str, ...], values: Any) -> list[str]:
    """The keys of a fault's location, without pydantic's names of alternative types."""
    keys = []
    for part in location:
        if isinstance(values, Mapping):
            keys.append(str(part))
            values = values.get(part)
        elif isinstance(values, list | tuple) and isinstance(part, int):
            keys.append(str(part))
            values = values[part] if part < len(values) else None
    return keys


def _nearest_key(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    fields: Any = model
    for part in location[:-1]:
        annotation = fields.model_fields[part].annotation if part in getattr(fields, "model_fields", {}) else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if inner:
            fields = inner[0]
    return nearest(str(location[-1]), fields.model_fields)
