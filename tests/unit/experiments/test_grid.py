"""A grid of settings becomes links and variants, a cell each."""

import pytest

from tokcom_phy.experiments.grid import cell_name, cells, nested
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.utils.errors import UserError

GRID = "grid={speed: [1, 30], delay_spread: [3e-8, 3e-7], stage2.snr_db: [0, [-5, 10]]}"
SERIES = "evaluate=[{variants: [aligned, blind], links: [ofdm-tdl-c], snr_db: [0, 10]}]"


def test_every_combination_is_a_link_or_a_variant():
    resolved = load_experiment("quickstart", overrides=[GRID, SERIES]).resolved()
    evaluated = resolved.evaluated_links
    assert len(evaluated) == 4
    settings = [(resolved.links[name].config.speed, resolved.links[name].config.delay_spread) for name in evaluated]
    assert settings == [(1.0, 3e-8), (1.0, 3e-7), (30.0, 3e-8), (30.0, 3e-7)]
    assert [dict(resolved.links[name].cell) for name in evaluated][3] == {"speed": 30, "delay_spread": 3e-7}
    aligned = [variant for variant in resolved.variants.values() if variant.base == "aligned"]
    assert [variant.stage2.snr_db for variant in aligned] == [0.0, (-5.0, 10.0)]
    points = [job for job in resolved.jobs if job.stage == "evaluate" and job.variant in aligned]
    assert sum(len(job.outputs) for job in points) == 2 * 4 * 2
    assert len({name for job in points for name in job.outputs}) == 16


def test_stages_that_are_equal_are_trained_once():
    resolved = load_experiment("quickstart", overrides=["grid={stage2.snr_db: [0, 10]}"]).resolved()
    aligned = [variant for variant in resolved.variants.values() if variant.base == "aligned"]
    assert [variant.alignment_run for variant in aligned] == ["contrastive", "contrastive"]


def test_links_below_a_digital_one_are_reached_by_their_path():
    settings = [SERIES.replace("ofdm-tdl-c", "digital-ofdm-tdl-c"), "grid={over.speed: [3, 60]}"]
    resolved = load_experiment("quickstart", overrides=settings).resolved()
    assert [resolved.links[name].config.over.speed for name in resolved.evaluated_links] == [3.0, 60.0]


def test_an_experiment_without_a_grid_keeps_its_names():
    assert cells({}, of_stages=False) == [{}]
    assert cell_name("links/mine.yaml", {}) == "links/mine.yaml"
    assert cell_name("links/mine.yaml", {"speed": 30}) == "mine-speed30"
    assert nested({"over.speed": 3, "bits": 2}) == {"over": {"speed": 3}, "bits": 2}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("{sped: [1, 2]}", "unknown key 'sped'"),
        ("{speed: []}", "grid.speed"),
        ("{speed: [fast]}", "speed"),
        ("{stage2.stepps: [1]}", "unknown key 'stepps'"),
        ("{stage3.steps: [1]}", "unknown key 'stage3'"),
    ],
)
def test_keys_and_values_that_do_not_fit_are_named(grid, message):
    with pytest.raises(UserError, match=message) as caught:
        load_experiment("quickstart", overrides=[f"grid={grid}", SERIES])
    assert "\n" not in str(caught.value)
