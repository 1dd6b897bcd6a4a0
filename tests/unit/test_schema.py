import re

import pytest
import yaml

from tokcom_phy.errors import UserError
from tokcom_phy.experiments.plan import plan
from tokcom_phy.experiments.schema import MAJORITY, as_yaml, load_experiment
from tokcom_phy.files import builtin_folder, builtin_names


@pytest.mark.parametrize("name", builtin_names("experiments"))
def test_built_in_experiments_load_and_are_headed_by_their_command(name):
    experiment = load_experiment(name, overrides=["data.root=/data"] if name == "music-avqa-text" else None)
    assert experiment.name == name
    first = (builtin_folder("experiments") / f"{name}.yaml").read_text().splitlines()[0]
    assert re.fullmatch(rf"# .+   Run: tokcom run {name}", first)


def test_overrides_reach_nested_settings():
    experiment = load_experiment("quickstart", overrides=["stage2.steps=7", "seeds=[3,4]", "lengths.audio=8"])
    assert experiment.stage2.steps == 7
    assert experiment.seeds == (3, 4)
    assert experiment.lengths == {"audio": 8, "video": 16}


def test_a_resolved_experiment_loads_back_the_same(tmp_path):
    experiment = load_experiment("quickstart")
    path = tmp_path / "again.yaml"
    path.write_text(as_yaml(experiment))
    assert load_experiment(str(path)) == experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage2.stepps=7", "unknown key 'stage2.stepps': did you mean 'steps'"),
        ("sedes=[1]", "unknown key 'sedes': did you mean 'seeds'"),
        ("variants.aligned.alignmnt=none", "did you mean 'alignment'"),
        ("stage1.link=awng", "unknown link 'awng': did you mean 'awgn'"),
        ("stage1.snr_db=.nan", "stage1.snr_db"),
        ("stage2.snr_db=.inf", "stage2.snr_db"),
        ("evaluate=[{variants: [alined], links: [awgn], snr_db: [0]}]", "unknown variant 'alined': did you mean 'al"),
        ("evaluate=[{variants: [aligned], links: [awgn], snr_db: [.nan]}]", "snr_db"),
        ("variants.aligned.modalities=[vidoe]", "unknown modality 'vidoe': did you mean 'video'"),
        ("figures=[accuracy]", "unknown plot 'accuracy'"),
        ("stage2.batch=0", "greater than 0"),
        ("no-equals-sign", "KEY=VALUE"),
    ],
)
def test_faults_are_named_in_one_line_with_the_mend(override, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_experiment("quickstart", overrides=[override])
    assert "\n" not in str(caught.value)


def test_unknown_experiment_and_profile_suggest_the_nearest():
    with pytest.raises(UserError, match="did you mean 'quickstart"):
        load_experiment("quikstart")
    with pytest.raises(UserError, match="did you mean 'tiny'"):
        load_experiment("quickstart", profile="tinny")


def test_paper_profile_asks_for_its_datasets():
    with pytest.raises(UserError, match=r"data\.root"):
        load_experiment("quickstart", profile="paper")
    assert load_experiment("quickstart", profile="paper", overrides=["data.root=/data"]).stage1.batch == 32


@pytest.mark.parametrize("text", ["- a list", "{unclosed", "variants: 3"])
def test_a_file_that_is_no_experiment_is_one_clear_line(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_experiment(str(path))
    assert "\n" not in str(caught.value)


def test_plan_holds_every_point_once_and_needs_come_first():
    experiment = load_experiment("quickstart", overrides=["seeds=[0,1]"])
    jobs = plan(experiment)
    place = {job.name: i for i, job in enumerate(jobs)}
    assert len(place) == len(jobs)
    assert all(place[need] < place[job.name] for job in jobs for need in job.needs)
    points = [(j.subject, j.link, snr, j.seed) for j in jobs if j.stage == "evaluate" for snr in j.snr_db]
    wanted = {
        (variant, link, snr, seed)
        for series in experiment.evaluate
        for variant in (*series.variants, MAJORITY)
        for link in series.links
        for snr in series.snr_db
        for seed in experiment.seeds
    }
    assert sorted(points) == sorted(wanted)
    stage1 = {(j.subject, j.seed) for j in jobs if j.stage == "align"}
    assert stage1 == {(a, s) for a in ("contrastive", "reconstruction") for s in (0, 1)}


def test_config_yaml_is_plain_yaml():
    assert yaml.safe_load(as_yaml(load_experiment("quickstart")))["profile"] == "tiny"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=[-1]", "greater than or equal to 0"),
        ("stage2.snr_db=[20,0]", "range 20 to 0 dB runs backwards"),
        ("name=../../elsewhere", "name '../../elsewhere'"),
        ("evaluate=[{variants: [aligned], links: [awgn], snr_db: [1, 1.0000001]}]", "less than a millionth apart"),
    ],
)
def test_what_would_spoil_a_run_directory_is_refused(override, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_experiment("quickstart", overrides=[override])


@pytest.mark.parametrize("text", ["profile: [x]", "profile: 3", "extends: 3", "extends: SELF", "extends: 2026-01-01"])
def test_odd_values_at_the_top_are_one_clear_line(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text.replace("SELF", str(path)))
    with pytest.raises(UserError) as caught:
        load_experiment(str(path))
    assert "\n" not in str(caught.value)
