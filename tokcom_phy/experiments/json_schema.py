"""JSON Schemas of link and experiment files, for editors, made from the pydantic models.

``make reference`` writes them into ``schemas/``. They keep to draft 7, which all YAML editors read.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from tokcom_phy.experiments.profiles import PROFILES
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.link_config import FAMILIES, read_config
from tokcom_phy.utils.files import builtin_names
from tokcom_phy.utils.instantiate import TARGET

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"

LINK_FILE: dict[str, Schema] = {
    "extends": {
        "description": "Link whose keys hold where this one says nothing: a built-in link by name, or a YAML file "
        "relative to this one's folder.",
        "type": "string",
    },
    TARGET: {
        "description": "Link family of one's own by import path, in place of `family`; its module may lie beside the "
        "file. Such a file runs code.",
        "type": "string",
        "pattern": r"^\w+(\.\w+)+$",
    },
}
"""Keys by which a link file says which link it is about, beside ``family``."""

EXPERIMENT_FILE: dict[str, Schema] = {
    "extends": {
        "description": "Experiment whose keys hold where this one says nothing: a built-in experiment by name, or a "
        "YAML file by path.",
        "type": "string",
    },
    "profiles": {
        "description": "Profile → keys that hold under that profile alone.",
        "type": "object",
        "properties": {name: {"$ref": "#/$defs/Settings"} for name in PROFILES},
        "additionalProperties": False,
    },
    "named_lengths": {
        "description": "Name → token length, beside the names that the profile has.",
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 1},
    },
}
"""Keys of an experiment file that are gone when it is loaded."""

_LENGTHS: Schema = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"enum": list(PROFILES["tiny"]["named_lengths"])},
            {"type": "string"},
        ]
    },
}


def link_schema() -> Schema:
    """The schema of a link file."""
    return {"$schema": DRAFT, "title": "Link", **_definitions("#/$defs/Link", _link_definitions())}


def experiment_schema() -> Schema:
    """The schema of an experiment file."""
    definitions = _link_definitions()
    settings = model_schema(Experiment, definitions)
    for name in ("AlignmentSettings", "FinetuningSettings", "SyntheticCorpus"):
        definitions[name].pop("required")  # a profile, or the experiment that is extended, has the rest
    required = [key for key in settings.pop("required") if key not in {*PROFILES["tiny"], "profile"}]
    keys, variant = settings["properties"], definitions["Variant"]["properties"]
    keys["profile"] = {**keys["profile"], "enum": list(PROFILES), "default": "tiny"}
    keys["links"]["additionalProperties"] = {"$ref": "#/$defs/Link"}
    keys["encoders"]["additionalProperties"]["anyOf"].append({"type": "null"})
    for lengths in (keys["lengths"], variant["lengths"]):
        lengths.update(_LENGTHS)
    allocation = definitions["AllocationSettings"]["properties"]
    allocation["fixed"].update(_LENGTHS)
    allocation["lengths"]["additionalProperties"]["items"] = _LENGTHS["additionalProperties"]
    for stage, model in (("stage1", "AlignmentSettings"), ("stage2", "FinetuningSettings")):
        variant[stage] = {"description": variant[stage]["description"], "allOf": [{"$ref": f"#/$defs/{model}"}]}
    keys["named_lengths"] = EXPERIMENT_FILE["named_lengths"]
    definitions["Settings"] = {key: value for key, value in settings.items() if key != "description"}
    definitions["ExperimentFile"] = {
        **settings,
        "properties": {**EXPERIMENT_FILE, **keys},
        "if": {"required": ["extends"]},
        "else": {"required": required},
    }
    return {"$schema": DRAFT, "title": "Experiment", **_definitions("#/$defs/ExperimentFile", definitions)}


def _definitions(entry: str, definitions: Mapping[str, Schema]) -> Schema:
    return {"allOf": [{"$ref": entry}], "$defs": dict(sorted(definitions.items()))}


def _link_definitions() -> dict[str, Schema]:
    """Definitions of a link: of a family in full, or of the keys that differ from the link that it extends."""
    definitions: dict[str, Schema] = {}
    for family, model in FAMILIES.items():
        definitions[family] = model_schema(model, definitions)
    below = [f"{family}-changes" for family in FAMILIES if family != "digital"]
    digital = definitions["digital"]["properties"]
    changed_over = {**digital["over"], "anyOf": [{"type": "string"}, _ref("OwnFamily"), *map(_ref, below)]}
    digital["over"] = {**digital["over"], "anyOf": [{"type": "string"}, _ref("Link")]}
    for family in FAMILIES:
        whole = definitions[family]
        changes = {**LINK_FILE, **whole["properties"], **({"over": changed_over} if family == "digital" else {})}
        del changes[TARGET]
        definitions[f"{family}-changes"] = {
            **{key: value for key, value in whole.items() if key != "required"},
            "properties": changes,
        }
    definitions["OwnFamily"] = {
        "description": "A link of a family of one's own, which says what its other keys are.",
        "type": "object",
        "properties": {TARGET: LINK_FILE[TARGET], **model_schema(LinkFamilyConfig, definitions)["properties"]},
        "required": [TARGET],
    }
    definitions["Family"] = _by_key("family", {family: (family, [family]) for family in FAMILIES})
    definitions["Extension"] = _by_key("extends", _extensions())
    definitions["Extension"]["properties"] = {
        "extends": {"anyOf": [{"enum": builtin_names("links")}, {"type": "string", "pattern": r"\.yaml$"}]}
    }
    definitions["Link"] = {
        "type": "object",
        "if": {"required": [TARGET]},
        "then": _ref("OwnFamily"),
        "else": {"if": {"required": ["extends"]}, "then": _ref("Extension"), "else": _ref("Family")},
    }
    return definitions


def _extensions() -> dict[str, tuple[str, list[str]]]:
    """Family → its definition of keys that differ, and its built-in links."""
    families = {name: read_config(name, {})[1].model_dump()["family"] for name in builtin_names("links")}
    return {family: (f"{family}-changes", [n for n, f in families.items() if f == family]) for family in FAMILIES}


def _by_key(key: str, choices: Mapping[str, tuple[str, list[str]]]) -> Schema:
    """The definition that a key's value chooses: values → definition, for each of ``choices``."""
    cases = [
        {"if": {"required": [key], "properties": {key: {"enum": values}}}, "then": _ref(definition)}
        for definition, values in choices.values()
    ]
    every = [value for _, values in choices.values() for value in values]
    return {"required": [key], "properties": {key: {"enum": every}}, "allOf": cases}


def _ref(definition: str) -> Schema:
    return {"$ref": f"#/$defs/{definition}"}


class _Untitled(GenerateJsonSchema):
    """JSON Schemas without titles of keys, which only repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def model_schema(model: type[BaseModel], definitions: dict[str, Schema] | None = None) -> Schema:
    """The schema of a model; those that it refers to are added to ``definitions``."""
    schema = model.model_json_schema(schema_generator=_Untitled)
    for key, field in model.model_fields.items():  # pydantic leaves out what repeats the docstring of the key's model
        schema["properties"][key].setdefault("description", field.description)
    families = {LinkFamilyConfig.__name__, *(family.__name__ for family in FAMILIES.values())}
    inner = schema.pop("$defs", {})
    if definitions is not None:
        definitions.update({name: _draft7(value) for name, value in inner.items() if name not in families})
    cleaned: Schema = _draft7({key: value for key, value in schema.items() if key != "title"})
    return cleaned


def _draft7(schema: Any) -> Any:
    """A schema of pydantic's in terms of draft 7, with every description on one line."""
    if isinstance(schema, list):
        return [_draft7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _draft7(value) for key, value in schema.items()}
    if isinstance(schema.get("description"), str):
        schema["description"] = " ".join(schema["description"].partition("\n\n")[0].split()).replace("``", "`")
    if "prefixItems" in schema:
        schema["items"] = schema.pop("prefixItems")[0]
    if "$ref" in schema and len(schema) > 1:
        schema["allOf"] = [{"$ref": schema.pop("$ref")}]
    return schema
