"""Components by import path: what is built, and the line that each mistake ends in."""

import sys
from fractions import Fraction
from hashlib import sha256

import packaging
import pytest

from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.instantiate import folder_on_path, import_target, instantiate, source_of

MODULE = """
from fractions import Fraction

class Layer:
    def __init__(self, width, depth=1, inner=None):
        self.width, self.depth, self.inner = width, depth, inner

    class Inner:
        pass

def make_layer(width, **options):
    return Layer(width, **options)

def failing(width):
    raise ValueError("width is\\ntoo odd")

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("tokcom_phy.utils.instantiate._FOLDERS", [])
    (tmp_path / "own_layers.py").write_text(MODULE)
    folder_on_path(tmp_path)
    yield tmp_path / "own_layers.py"
    sys.modules.pop("own_layers", None)


def test_arguments_come_from_the_file_first_then_from_the_caller_where_they_are_named(module):
    layer = instantiate({"_target_": "own_layers.Layer", "depth": 2}, "receiver", None, width=8, modality="audio")
    assert (layer.width, layer.depth) == (8, 2)
    assert instantiate({"_target_": "own_layers.Layer", "width": 4}, "receiver", None, width=8).width == 4
    assert instantiate({"_target_": "own_layers.make_layer", "width": 1, "depth": 3}, "receiver", None).depth == 3


def test_a_partial_waits_for_its_other_arguments(module):
    component = {"_target_": "own_layers.make_layer", "_partial_": True, "depth": 2}
    layer = instantiate(component, "receiver", None, modality="audio")(8)
    assert (layer.width, layer.depth) == (8, 2)


def test_components_nest_and_reach_into_packages_and_classes(module):
    component = {"_target_": "own_layers.Layer", "inner": [{"_target_": "fractions.Fraction", "numerator": 3}]}
    assert instantiate(component, "receiver", None, width=8).inner == [Fraction(3)]
    assert import_target("own_layers.Layer.Inner", "receiver").__qualname__ == "Layer.Inner"
    assert import_target("importlib.metadata.version", "receiver").__name__ == "version"


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("own_layers.Layer", "receiver: expected a mapping with _target_, got 'own_layers.Layer': write"),
        ({"depth": 2}, "receiver: expected a mapping with _target_"),
        ({"_target_": "Layer"}, "receiver: 'Layer' is no import path: write MODULE.NAME"),
        ({"_target_": 3}, "receiver: 3 is no import path"),
        (
            {"_target_": "own_layer.Layer"},
            "receiver: no module 'own_layer' for 'own_layer.Layer': did you mean 'own_layers'",
        ),
        ({"_target_": "qqqqqqqq.Layer"}, "receiver: no module 'qqqqqqqq' for 'qqqqqqqq.Layer': put its file beside"),
        (
            {"_target_": "own_layers.Layr"},
            "receiver: 'own_layers' has no 'Layr' for 'own_layers.Layr': did you mean 'Layer'",
        ),
        (
            {"_target_": "importlib.metadat.version"},
            "receiver: 'importlib' has no 'metadat' for 'importlib.metadat.version'",
        ),
        (
            {"_target_": "own_layers.Layer.Iner"},
            "'own_layers.Layer' has no 'Iner' for 'own_layers.Layer.Iner': did you mean",
        ),
        ({"_target_": "own_layers.number"}, "receiver: 'own_layers.number' is neither a class nor a function"),
        ({"_target_": "importlib.metadata"}, "receiver: 'importlib.metadata' is a module"),
        (
            {"_target_": "own_layers.Layer", "dpth": 2},
            "'own_layers.Layer' takes no argument 'dpth': did you mean 'depth' or 'width'?",
        ),
        ({"_target_": "own_layers.Layer", "_args_": 2}, "'own_layers.Layer' takes no argument '_args_'"),
        ({"_target_": "own_layers.failing", "width": 2}, "cannot be built (ValueError: width is too odd)"),
        ({"_target_": "own_layers.failing"}, "receiver: 'own_layers.failing' needs 'width': give it beside _target_"),
        (
            {"_target_": "fractions.Fraction", "numerator": 3},
            "receiver: 'fractions.Fraction' gives a fractions.Fraction, expected a str",
        ),
        (
            {"_target_": "own_layers.Layer", "width": 1, "inner": {"_target_": "own_layers.Layr"}},
            "receiver.inner: 'own_layers' has no 'Layr'",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_key_and_path(module, component, message):
    with pytest.raises(UserError) as caught:
        instantiate(component, "receiver", str)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_dependency", "fails (ModuleNotFoundError: No module named 'no_such_dependency')"),
        ("1 / 0", "fails (ZeroDivisionError: division by zero)"),
        ("raise SystemExit(1)", "fails (SystemExit: 1)"),
        ("def f(:", "fails (SyntaxError: "),
    ],
)
def test_a_module_that_fails_to_import_is_one_line(module, source, message):
    module.with_name("broken_layers.py").write_text(source)
    with pytest.raises(UserError, match="selector: importing 'broken_layers' for") as caught:
        import_target("broken_layers.Layer", "selector")
    assert message in str(caught.value)


def test_two_folders_may_hold_modules_of_one_name(module, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "own_layers.py").write_text("number = 4\ndef name():\n    return 'other'")
    assert not hasattr(import_target("own_layers.make_layer", "receiver"), "other")
    folder_on_path(other)
    assert import_target("own_layers.name", "receiver")() == "other"
    folder_on_path(tmp_path)
    assert import_target("own_layers.Layer", "receiver").__name__ == "Layer"


def test_an_installed_module_is_not_shadowed(module):
    module.with_name("fractions.py").write_text("Fraction = None")
    assert import_target("fractions.Fraction", "receiver") is Fraction


def test_source_names_module_version_and_hash(module):
    found = source_of({"_target_": "own_layers.make_layer"}, "receiver")
    assert found == {"module": "own_layers", "version": None, "sha256": sha256(module.read_bytes()).hexdigest()}
    found = source_of({"_target_": "packaging.version.Version"}, "receiver")
    assert (found["module"], found["version"]) == ("packaging.version", packaging.__version__)
