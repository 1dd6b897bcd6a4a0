"""The base of all that a YAML file sets."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Strict(BaseModel):
    """Settings of which an unknown key is an error, and so is true or false where a number is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_numbers(cls, values: Any) -> Any:
        """Refuse a boolean that pydantic would take for 0 or 1."""
        for name, field in cls.model_fields.items() if isinstance(values, Mapping) else ():
            if name in values and _holds_boolean(values[name]) and _asks_for_numbers(field.annotation):
                raise ValueError(f"{name} is true or false where a number is asked for: give the number")
        return values


def _holds_boolean(value: Any) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, bool) or any(map(_holds_boolean, inner))


def _asks_for_numbers(annotation: Any) -> bool:
    """Whether an annotation names numbers, and nothing that may be or hold a boolean."""
    leaves = list(_leaves(annotation))
    models = any(isinstance(leaf, type) and issubclass(leaf, BaseModel) for leaf in leaves)
    return bool({int, float} & set(leaves)) and not {bool, Any} & set(leaves) and not models


def _leaves(annotation: Any) -> list[Any]:
    """The types that an annotation is made of; literals and bounds are left out."""
    inner = [arg for arg in get_args(annotation) if isinstance(arg, type) or get_args(arg) or arg is Any]
    return [leaf for arg in inner for leaf in _leaves(arg)] if inner else [annotation]
