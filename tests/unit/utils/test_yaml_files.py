"""YAML as it is written by hand: what a reader would not see is refused, in one short line, at once."""

import time
from pathlib import Path

import pytest

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.overrides import parse_overrides
from tokcom_phy.radio import load_link
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.yaml_files import MAX_BYTES, parse_yaml, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(100))

FAULTS = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' is there twice"),
    "an inner key twice": ("a: {b: 1, b: 1}", "key 'b' is there twice"),
    "aliases that multiply": (LAUGHS, "more than 20000 values"),
    "aliases one in another": (CHAIN, "nested more than 50 deep"),
    "an alias of itself": ("a: &a [*a]", "an alias of what it stands in"),
    "lists in lists": ("a: " + "[" * 500 + "]" * 500, "nested more than 50 deep"),
    "lists without an end": ("[" * 100_000, "nested more than 50 deep"),
    "tables without an end": ("{a: " * 100_000, "nested more than 50 deep"),
    "items of items": ("- " * 100_000, "nested more than 50 deep"),
    "keys of keys": ("? " * 100_000, "nested more than 50 deep"),
    "many items": ("- x\n" * 200_000, "more than 20000 values"),
    "no time": ("b: 1\na: !!timestamp x", "line 2: 'x' is no timestamp"),
    "no truth": ("a: !!bool x", "line 1: 'x' is no bool"),
    "no set": ("a: !!set [1]", "a tag does not fit the list or table that follows it"),
    "a long number": ("a: " + "1" * 5000, "1' is no int"),
    "an object": ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    "half a character": ('a: ["\\ud800"]', "half of a surrogate pair is no text"),
    "an escape": ("a: \x1b[31m", "not valid YAML"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_yaml_that_is_refused(fault: str, tmp_path: Path) -> None:
    text, message = FAULTS[fault]
    path = tmp_path / "file.yaml"
    path.write_text(text)
    for read in (read_yaml, load_link, lambda path: load_experiment(str(path))):
        start = time.process_time()
        with pytest.raises(UserError) as raised:
            read(path)
        assert message in str(raised.value)
        assert str(path) in str(raised.value)
        assert len(str(raised.value)) < len(str(path)) + 300
        assert str(raised.value).isprintable()
        assert time.process_time() - start < 5


def test_overrides_are_read_alike() -> None:
    with pytest.raises(UserError, match="--set a is not valid YAML: line 1: key 'b' is there twice"):
        parse_overrides(["a={b: 1, b: 2}"], "a=1")
    with pytest.raises(UserError, match="nested more than 50 deep"):
        parse_overrides(["a=" + "[" * 60 + "]" * 60], "a=1")


def test_files_too_large_or_no_text(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("# " + "x" * MAX_BYTES)
    with pytest.raises(UserError, match="larger than 1 MB"):
        read_yaml(path)
    path.write_bytes(b"a: \xff")
    with pytest.raises(UserError, match="not text in UTF-8"):
        read_yaml(path)


def test_plain_data_and_aliases_of_it() -> None:
    text = "a: &a {b: 1.5, c: null}\nd: {<<: *a, c: true}\ne: 2020-01-01\nf: [*a, x]\n"
    inner = {"b": 1.5, "c": None}
    assert parse_yaml(text, "") == {"a": inner, "d": {"b": 1.5, "c": True}, "e": "2020-01-01", "f": [inner, "x"]}


def test_what_is_done_to_one_reading_leaves_the_next_alone() -> None:
    text = "a: [1, {b: 2}]"
    parse_yaml(text, "")["a"][1]["b"] = 3
    assert parse_yaml(text, "") == {"a": [1, {"b": 2}]}


def test_an_error_quotes_little_of_a_long_value() -> None:
    for mistake in (lambda: load_link("awgn", fading="x" * 10_000), lambda: load_link("awgn", users=[["y"] * 10_000])):
        with pytest.raises(UserError) as raised:
            mistake()
        assert len(str(raised.value)) < 400
    with pytest.raises(UserError) as raised:
        load_experiment("quickstart", overrides=["receiver_width=" + "x" * 10_000])
    assert len(str(raised.value)) < 400


def test_a_grid_of_more_combinations_than_can_be_listed() -> None:
    axes = ", ".join(f"k{i}: [{', '.join(map(str, range(10)))}]" for i in range(12))
    with pytest.raises(UserError, match="grid: more than 10000 combinations"):
        load_experiment("quickstart", overrides=[f"grid={{{axes}}}"])


@pytest.mark.parametrize("override", ["name=" + "n" * 101, "variants={" + "é" * 51 + ": {}}", "name=a/b", "name=a\\b"])
def test_names_that_make_no_files(override: str) -> None:
    with pytest.raises(UserError, match=r"longer than 100 bytes|use letters"):
        load_experiment("quickstart", overrides=[override])


def test_a_link_file_with_a_long_name(tmp_path: Path) -> None:
    path = tmp_path / ("l" * 101 + ".yaml")
    path.write_text("extends: awgn\n")
    with pytest.raises(UserError, match="longer than 100 bytes: points are named by it"):
        load_experiment("quickstart", overrides=[f"stage2.link={path}"])
