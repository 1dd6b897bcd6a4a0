"""Link files: what one says, over what it extends, under what is overridden."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from tokcom_phy.radio.digital_config import DigitalConfig
from tokcom_phy.radio.flat_config import FlatConfig
from tokcom_phy.radio.link_config import FAMILIES, LinkConfig, read_config
from tokcom_phy.radio.ofdm_config import OfdmConfig, SceneConfig


def write(folder: Path, **files: str) -> Path:
    """Write link files and return the path of the last one."""
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(text)
    return path


def below(config: LinkConfig) -> FlatConfig | OfdmConfig:
    assert isinstance(config, DigitalConfig)
    assert isinstance(config.over, FlatConfig | OfdmConfig)
    return config.over


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    path = write(tmp_path, fast="# TDL-C on a train\nextends: ofdm-tdl-c\nspeed: 80.0\npilot_symbols: [1, 5, 9, 13]\n")
    name, config = read_config(path, {"speed": 90})
    base = read_config("ofdm-tdl-c", {})[1]
    assert name == "fast"
    changed = {"description": "TDL-C on a train", "speed": 90.0, "pilot_symbols": [1, 5, 9, 13]}
    assert config.model_dump() == {**base.model_dump(), **changed}


def test_extension_goes_over_several_files_and_paths_follow_each_file(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    write(inner, base="# Recorded\nfamily: ofdm\nchannel: file\nresponses: data/h.npy\n")
    middle = write(tmp_path, middle="extends: inner/base.yaml\nnum_rx_ant: 4\n")
    _, config = read_config(write(tmp_path, top=f"extends: {middle.name}\nspeed: 3.0\n"), {})
    assert isinstance(config, OfdmConfig)
    assert config.responses == inner / "data" / "h.npy"
    assert (config.num_rx_ant, config.speed, config.description) == (4, 3.0, "Recorded")


def test_the_link_below_a_digital_one_can_be_changed(tmp_path: Path) -> None:
    base = read_config("ofdm-tdl-c", {})[1]
    config = read_config("digital-ofdm-tdl-c", {"bits": 1, "over": {"speed": 30.0}})[1]
    assert below(config) == base.model_copy(update={"speed": 30.0})
    mine = write(
        tmp_path,
        radio="extends: rayleigh\ncoherence: 16\n",
        mine="family: digital\nover: {extends: radio.yaml, num_rx_ant: 2}\n",
        most="extends: mine.yaml\nover: {output: unbiased}\n",
    )
    rayleigh = read_config("rayleigh", {})[1]
    changed = {"coherence": 16, "num_rx_ant": 2, "output": "unbiased"}
    assert below(read_config(mine, {})[1]) == rayleigh.model_copy(update=changed)


@pytest.mark.parametrize("model", [*FAMILIES.values(), SceneConfig])
def test_every_key_is_documented_where_it_is_declared(model: type[BaseModel]) -> None:
    bare = [key for key, field in model.model_fields.items() if not field.description]
    assert not bare


def test_another_link_below_replaces_the_first_one() -> None:
    awgn = read_config("awgn", {})[1]
    for over in ("awgn", {"extends": "awgn"}):
        assert below(read_config("digital-ofdm-tdl-c", {"over": over})[1]) == awgn
    whole = below(read_config("digital-ofdm-tdl-c", {"over": {"family": "flat", "coherence": 7}})[1])
    assert whole == FlatConfig(family="flat", coherence=7)
