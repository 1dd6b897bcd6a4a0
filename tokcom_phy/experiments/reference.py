"""The reference of every key in YAML files: ``docs/reference.md``, from the docstrings of the pydantic models' fields.

``make reference`` writes the page, and the JSON Schemas of `tokcom_phy.experiments.json_schema` beside it.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from tokcom_phy.experiments.json_schema import (
    EXPERIMENT_FILE,
    LINK_FILE,
    Schema,
    experiment_schema,
    link_schema,
    model_schema,
)
from tokcom_phy.experiments.profiles import PROFILES
from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.link_config import FAMILIES
from tokcom_phy.training.settings import TrainingSettings

_HEAD = "| key | type | default | meaning |\n| --- | --- | --- | --- |"

_SECTIONS = {
    "Link": "Links",
    "SceneConfig": "Scene of a ray-traced link",
    "ImpairmentsConfig": "Impairments of an OFDM link",
    "LinkBudgetConfig": "Link budget",
    "Scheme": "One of the candidate schemes of a digital link",
    "HarqConfig": "HARQ of a digital link",
    "Data": "data",
    "Splits": "data.splits",
    "SyntheticCorpus": "data.synthetic",
    "Variant": "One of variants",
    "Series": "One of evaluate",
    "AllocationSettings": "allocation",
    "AlignmentSettings": "stage1",
    "FinetuningSettings": "stage2",
    "LoraSettings": "stage2.lora",
}
"""Definition → heading of its table."""

_PARTS = ("LinkBudgetConfig", "SceneConfig", "ImpairmentsConfig", "Scheme", "HarqConfig")
"""Definitions of keys inside those of links."""


def files() -> dict[str, str]:
    """What ``make reference`` writes: path in the checkout → text."""
    schemas = {"link": link_schema(), "experiment": experiment_schema()}
    return {
        "docs/reference.md": page(),
        **{
            f"schemas/{kind}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
            for kind, schema in schemas.items()
        },
    }


def page() -> str:
    """The reference page, in Markdown."""
    return "\n\n".join(["# Reference", _INTRODUCTION, *_links(), *_experiments(), *_profiles()]) + "\n"


def _links() -> list[str]:
    definitions = link_schema()["$defs"]
    shared = model_schema(LinkFamilyConfig)["properties"]
    blocks = ["## Links", _LINKS, _table({**LINK_FILE, **shared})]
    for family in FAMILIES:
        own = {key: schema for key, schema in definitions[family]["properties"].items() if key not in shared}
        blocks += [
            f"### family: {family}",
            definitions[family]["description"],
            _table(own, definitions[family]["required"]),
        ]
    parts = (_section(name, definitions) for name in _PARTS)
    return [*blocks, *chain.from_iterable(parts)]


def _experiments() -> list[str]:
    definitions = experiment_schema()["$defs"]
    experiment = definitions["ExperimentFile"]
    from_profile = {*PROFILES["tiny"]} - {"threads", "named_lengths"}
    stages = model_schema(TrainingSettings)
    shared = stages["properties"]
    blocks = [
        "## Experiments",
        _EXPERIMENTS,
        _table({**EXPERIMENT_FILE, **experiment["properties"]}, experiment["else"]["required"], from_profile),
    ]
    for name in ("Data", "Splits", "SyntheticCorpus", "Variant", "Series", "AllocationSettings"):
        blocks += _section(name, definitions)
    blocks += ["## Stages", _STAGES, _table(shared, [], stages["required"])]
    for name in ("AlignmentSettings", "FinetuningSettings", "LoraSettings"):
        blocks += _section(name, definitions, shared)
    return blocks


def _profiles() -> list[str]:
    rows = [f"| `{key}` | {' | '.join(_value(key, p) for p in PROFILES.values())} |" for key in _profile_keys()]
    head = f"| key | {' | '.join(PROFILES)} |\n| --- |{' --- |' * len(PROFILES)}"
    return ["## Profiles", _PROFILES, "\n".join([head, *rows])]


def _profile_keys() -> list[str]:
    return list(dict.fromkeys(key for profile in PROFILES.values() for key in _flat(profile)))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted keys; those of an empty table are left out."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def _value(key: str, profile: Mapping[str, Any]) -> str:
    value = _flat(profile).get(key)
    return "" if value is None else f"`{_yaml(value)}`"


def _section(name: str, definitions: Mapping[str, Schema], without: Iterable[str] = ()) -> list[str]:
    """Heading, description and table of a definition, without keys that stand elsewhere."""
    schema = definitions[name]
    own = {key: value for key, value in schema["properties"].items() if key not in without}
    from_profile = own if name == "SyntheticCorpus" else ()
    table = _table(own, schema.get("required", []), [key for key in from_profile if "default" not in own[key]])
    return [f"### {_SECTIONS[name]}", schema["description"], table]


def _table(keys: Mapping[str, Schema], required: Iterable[str] = (), from_profile: Iterable[str] = ()) -> str:
    rows = [_HEAD]
    for key, schema in keys.items():
        if key in required:
            default = "must be given"
        elif key in from_profile:
            default = "the profile's"
        else:
            default = _default(schema)
        cells = (f"`{key}`", _type(schema), default, schema["description"])
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    return (
        "those below" if isinstance(schema["default"], dict) and schema["default"] else f"`{_yaml(schema['default'])}`"
    )


def _yaml(value: Any) -> str:
    """A value as it stands in a YAML file."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) and value else json.dumps(value)


def _type(schema: Schema) -> str:
    """The type of a value in plain words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "$ref" in schema or "allOf" in schema:
        name = (schema.get("$ref") or schema["allOf"][0]["$ref"]).rpartition("/")[2]
        return f"[keys](#{_anchor(_SECTIONS[name])})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return _compound(schema)


def _compound(schema: Schema) -> str:
    match schema.get("type"):
        case "array":
            least, most = schema.get("minItems"), schema.get("maxItems")
            count = f"{most} of " if most is not None and least == most else ""
            return f"list of {count}{_type(schema['items'])}" if schema["items"] else "list"
        case "object":
            values = schema.get("additionalProperties")
            return f"name → {_type(values)}" if isinstance(values, dict) else "mapping"
        case "integer" | "number" as kind:
            return " and ".join([kind, *_bounds(schema)]).replace(" and ", " ", 1)
        case "string":
            return "path" if schema.get("format") == "path" else "text"
        case kind:
            return {"boolean": "true or false", "null": "null"}.get(str(kind), "any")


def _bounds(schema: Schema) -> list[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [f"{sign} {schema[bound]:g}" for bound, sign in signs.items() if bound in schema]


def _anchor(heading: str) -> str:
    """The anchor that Markdown gives a heading."""
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


_INTRODUCTION = """\
Every key of link files, experiment files, training stages and profiles. This page is generated: `make reference`
writes it from the docstrings of the fields in `tokcom_phy/radio/*_config.py`, `tokcom_phy/experiments/schema.py` and
`dataset.py`, and `tokcom_phy/training/settings.py`. The same command writes the JSON Schemas in `schemas/`. An editor
with the YAML language server completes and checks keys by the schema that the second line of a file names, as in every
file of `links/`, `experiments/` and `examples/`:

    # yaml-language-server: $schema=../schemas/experiment.schema.json

An installed package holds the schemas too; this prints their folder:

    python -c "from tokcom_phy.utils.files import builtin_folder; print(builtin_folder('schemas'))"

An unknown key is an error that names the nearest."""

_LINKS = """\
A link file names a `family` and the keys that differ from the family's defaults, or the link that it `extends` and
the keys that differ from that one. These keys are for every family; a family of one's own (`_target_`) adds the keys of
its config, see [conventions](conventions.md). `tokcom links show NAME --set KEY=VALUE` changes one."""

_EXPERIMENTS = """\
An experiment file is laid over the defaults of its profile, and over the experiment that it `extends`. `--set
KEY.KEY=VALUE` changes one key for one run."""

_STAGES = """\
Keys of both stages of an experiment, `stage1` (alignment) and `stage2` (fine-tuning). A variant may give some of
its own."""

_PROFILES = """\
The defaults that an experiment starts from: `profile: tiny` or `profile: paper`, or `--profile` of a command.
Keys without a row have the defaults above. `named_lengths` are the token lengths that an experiment may call by
name."""


if __name__ == "__main__":
    for name, text in files().items():
        path = Path(__file__).resolve().parents[2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
