"""Own parts in an experiment's YAML: who has which, which stage 1 is shared, and how mistakes are reported."""

import shutil

import pytest

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.sweep.preflight import check_experiment, stored_lengths
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import builtin_folder
from tokcom_phy.utils.instantiate import TARGET

EXAMPLES = builtin_folder("links").parent / "examples"


@pytest.fixture
def folder(tmp_path):
    for name in ("transformer_receiver", "token_selector"):
        shutil.copy(EXAMPLES / f"{name}.py", tmp_path / f"{name}.py")
        shutil.copy(EXAMPLES / f"{name}.yaml", tmp_path / f"{name}.yaml")
    return tmp_path


@pytest.mark.parametrize("name", ["transformer_receiver", "token_selector"])
def test_examples_are_short_and_pass_the_preflight_check(folder, name):
    for file, most in ((f"{name}.py", 40), (f"{name}.yaml", 15)):
        assert len((EXAMPLES / file).read_text().splitlines()) <= most
    check_experiment(load_experiment(str(folder / f"{name}.yaml")))


def test_a_variant_has_its_own_part_and_its_own_stage_1(folder):
    variants = load_experiment(str(folder / "transformer_receiver.yaml")).resolved().variants
    assert variants["transformer"].components.receiver[TARGET] == "transformer_receiver.TransformerReceiver"
    assert not variants["linear"].components
    assert variants["transformer"].alignment_run != variants["linear"].alignment_run


def test_an_experiments_part_is_every_variants_until_one_asks_for_the_papers(folder):
    part = "{_target_: transformer_receiver.TransformerReceiver, depth: 1}"
    overrides = [f"receiver={part}", "variants.unaligned.receiver={}"]
    variants = load_experiment(str(folder / "transformer_receiver.yaml"), overrides=overrides).resolved().variants
    assert variants["linear"].components.receiver["depth"] == 1
    assert variants["transformer"].components.receiver["depth"] == 2
    assert not variants["unaligned"].components


def test_all_tokens_are_prepared_for_an_own_selector(folder):
    assert stored_lengths(load_experiment(str(folder / "token_selector.yaml"))) == {
        "audio": {"slide": [8, 65]},
        "video": {"slide": [8, 121]},
    }
    assert stored_lengths(load_experiment("quickstart")) == {
        "audio": {"slide": [32]},
        "video": {"slide": [32]},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "receiver={_target_: transformer_receiver.Transformer}",
            "'transformer_receiver' has no 'Transformer'",
        ),
        ("receiver={depth: 2}", "receiver: got {'depth': 2}: write {_target_"),
        (
            "selector={sound: {_target_: token_selector.ScoreSelector}}",
            "selector.sound: no modality 'sound'",
        ),
        ("metrics=[blue]", "unknown metric 'blue': did you mean 'bleu'"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_made(folder, override, message):
    def load_and_check():
        check_experiment(load_experiment(str(folder / "transformer_receiver.yaml"), overrides=[override]))

    with pytest.raises(UserError) as caught:
        load_and_check()
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
