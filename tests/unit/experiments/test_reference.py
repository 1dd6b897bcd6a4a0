"""The reference page and the JSON Schemas say what the models say, and YAML files comply with them."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from tokcom_phy.allocation.settings import AllocationSettings
from tokcom_phy.experiments.dataset import Data, Splits, SyntheticCorpus
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.profiles import PROFILES
from tokcom_phy.experiments.reference import files
from tokcom_phy.experiments.schema import Experiment, Series, Variant
from tokcom_phy.radio.link_budget_config import LinkBudgetConfig
from tokcom_phy.radio.link_config import FAMILIES
from tokcom_phy.radio.ofdm_config import SceneConfig
from tokcom_phy.training.settings import AlignmentSettings, FinetuningSettings, LoraSettings

ROOT = Path(__file__).resolve().parents[3]
MODELS = [
    *FAMILIES.values(),
    *(SceneConfig, Experiment, Data, Splits, SyntheticCorpus, Variant, Series),
    *(AlignmentSettings, FinetuningSettings, LoraSettings, LinkBudgetConfig, AllocationSettings),
]
YAML_FILES = [
    *(pytest.param("link", path, id=path.stem) for path in sorted((ROOT / "links").glob("*.yaml"))),
    *(
        pytest.param("experiment", path, id=path.stem)
        for folder in ("experiments", "examples")
        for path in sorted((ROOT / folder).glob("*.yaml"))
    ),
]


class _Yaml12(yaml.SafeLoader):
    """Numbers as editors read them: 3.5e9 is one in YAML 1.2, and text in the YAML 1.1 of PyYAML."""


_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _faults(kind, settings):
    schema = json.loads((ROOT / f"schemas/{kind}.schema.json").read_text("utf-8"))
    return list(Draft7Validator(schema).iter_errors(settings))


def _read(text):
    return yaml.load(text, _Yaml12)


@pytest.fixture(scope="module")
def generated():
    return files()


@pytest.mark.parametrize("name", ["docs/reference.md", "schemas/link.schema.json", "schemas/experiment.schema.json"])
def test_generated_files_are_up_to_date(generated, name):
    assert (ROOT / name).read_text("utf-8") == generated[name], f"{name} is out of date, renew it by: make reference"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_documented_and_on_the_page(generated, model):
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", generated["docs/reference.md"], re.M))
    for key, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{key} has no docstring"
        assert rows.get(key), key


def test_every_value_of_a_profile_is_on_the_page(generated):
    rows = re.findall(r"^\| `([\w.]+)` \| (\S*) \| (\S*) \|$", generated["docs/reference.md"], re.M)
    values = {key: (tiny.strip("`"), paper.strip("`")) for key, tiny, paper in rows}
    for column, profile in enumerate(PROFILES.values()):
        for key in ("foundation", "receiver_width", "stage2.steps", "named_lengths.long", "encoders.audio"):
            expected = profile
            for part in key.split("."):
                expected = expected[part]
            assert values[key][column] == str(expected)


@pytest.mark.parametrize(("kind", "path"), YAML_FILES)
def test_yaml_file_names_its_schema_and_complies(kind, path):
    text = path.read_text("utf-8")
    assert text.splitlines()[1] == f"# yaml-language-server: $schema=../schemas/{kind}.schema.json"
    assert (path.parent / text.splitlines()[1].partition("=")[2]).is_file()
    assert not _faults(kind, _read(text))


@pytest.mark.parametrize(("kind", "path"), YAML_FILES)
def test_a_wrong_key_anywhere_in_a_yaml_file_does_not_comply(kind, path):
    settings = _read(path.read_text("utf-8"))
    for table in _tables(settings):
        wrong = copy.deepcopy(settings)
        inner = wrong
        for step in table:
            inner = inner[step]
        inner["no_such_key"] = 1
        assert _faults(kind, wrong), f"{path.name} takes no_such_key in {'.'.join(map(str, table)) or 'the file'}"


def _tables(settings, at=()):
    """Paths of the tables of a file whose keys are fixed: no names of one's own, no arguments of one's own code."""
    if isinstance(settings, dict) and "_target_" not in settings:
        if at not in _NAMED and at[-1:] not in {("lengths",), ("snr_offset_db",), ("selector",), ("distance_m",)}:
            yield at
        for key, value in settings.items():
            yield from _tables(value, (*at, key))
    elif isinstance(settings, list):
        for number, value in enumerate(settings):
            yield from _tables(value, (*at, number))


_NAMED = {("links",), ("variants",), ("encoders",)}


@pytest.mark.parametrize(
    "text",
    [
        "{family: flat, fading: rayleigh, coherence: 0}",
        "{family: flat, channel: TDL-C}",
        "{family: fiber}",
        "{fading: rayleigh}",
        "{extends: awng}",
        "{extends: ofdm-tdl-c, loss_rate: 0.1}",
        "{extends: ofdm-tdl-c, scene: {name: munich, base_station: [0, 0], facing: [0, 0, 0]}}",
        "{extends: digital-awgn, over: {speeed: 3}}",
        "{family: digital, over: {family: flat, speed: 3}}",
        "{_target_: PhaseJumps}",
    ],
)
def test_a_wrong_link_does_not_comply(text):
    assert _faults("link", _read(text))


@pytest.mark.parametrize(
    "text",
    [
        "{extends: mine.yaml, speed: 3}",
        "{_target_: phase_jumps.PhaseJumps, std_deg: 30}",
        "{family: digital, over: awgn}",
        "{family: digital, over: {extends: ofdm-tdl-c, speed: 30}}",
        "{extends: digital-ofdm-tdl-c, over: {speed: 30}}",
        "{family: erasure, mean_burst: null}",
    ],
)
def test_a_right_link_complies(text):
    assert not _faults("link", _read(text))


@pytest.mark.parametrize(
    ("text", "complies"),
    [
        ("extends: quickstart", True),
        ("{extends: quickstart, stage1: {steps: 3}, named_lengths: {few: 2}, lengths: {audio: few}}", True),
        ("{extends: quickstart, profiles: {paper: {data: {synthetic: null}, stage2: {lora: {r: 8}}}}}", True),
        ("{extends: quickstart, encoders: {video: null, radar: {features: radar}}}", True),
        ("{extends: quickstart, variants: {a: {stage2: {lora: {rank: 8}}}}}", False),
        ("{extends: quickstart, profiles: {paper: {stage2: {lora: {rank: 8}}}}}", False),
        ("{extends: quickstart, profiles: {large: {}}}", False),
        ("{extends: quickstart, links: {fast: {extends: ofdm-tdl-c, speeed: 30}}}", False),
        ("{extends: quickstart, evaluate: [{variants: [a], snr_db: [0]}]}", False),
        ("{name: mine, variants: {a: {}}}", False),
    ],
)
def test_experiments_comply_or_not(text, complies):
    assert bool(_faults("experiment", _read(text))) is not complies


def test_resolved_settings_of_a_run_comply():
    assert not _faults("experiment", json.loads(load_experiment("quickstart").model_dump_json()))
