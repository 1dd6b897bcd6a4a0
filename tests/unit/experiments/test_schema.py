import re

import pytest
import yaml

from tokcom_phy.experiments.loading import as_yaml, load_experiment
from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import builtin_folder, builtin_names


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
    assert experiment.lengths == {"audio": 8, "video": 32}


def test_overrides_reach_into_lists():
    before = load_experiment("quickstart").evaluate
    series = load_experiment("quickstart", overrides=["evaluate.0.snr_db=[3]", "evaluate.0.links.1=rician"]).evaluate
    assert series[0].snr_db == (3.0,)
    assert series[0].links == ("awgn", "rician", "ofdm-tdl-c")
    assert series[0].variants == before[0].variants
    assert series[1:] == before[1:]


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
        ("stage2.snr_db=[0, .inf]", "stage2.snr_db.1: Input should be a finite number"),
        ("stage2.snr_db=loud", "stage2.snr_db: Input should be a valid number"),
        ("variants.aligned=3", "variants.aligned: this is no table of keys"),
        ("evaluate=[{variants: [alined], links: [awgn], snr_db: [0]}]", "unknown variant 'alined': did you mean 'al"),
        ("evaluate=[{variants: [aligned], links: [awgn], snr_db: [.nan]}]", "snr_db"),
        ("variants.aligned.modalities=[vidoe]", "unknown modality 'vidoe': did you mean 'video'"),
        ("figures=[accuracy]", "unknown plot 'accuracy'"),
        ("stage2.batch=0", "greater than 0"),
        ("no-equals-sign", "KEY=VALUE"),
        ("evaluate.7.links=[awgn]", "--set evaluate.7.links=[awgn]: the list has no such item, they are"),
        ("evaluate.first.links=[awgn]", "--set evaluate.first.links"),
        ("evaluate.first=1", "--set evaluate.first=1: the list has no such item, they are numbered from 0"),
        ("profile=paper", "--set profile: a profile is more than its name: give --profile NAME instead"),
        ("profile=tinny", "--set profile: a profile is more than its name: give --profile NAME instead"),
        ("evaluate={links: [awgn]}", "--set evaluate="),
        ("data.splits.test=tset", "splits.test: the synthetic corpus has no split 'tset': choose train, val, test"),
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


def test_a_dataset_of_ones_own_may_name_its_splits():
    overrides = ["data.root=/data", "data.splits.test=train_fake"]
    assert load_experiment("quickstart", overrides=overrides).data.splits.test == "train_fake"


@pytest.mark.parametrize("text", ["- a list", "{unclosed", "variants: 3"])
def test_a_file_that_is_no_experiment_is_one_clear_line(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_experiment(str(path))
    assert "\n" not in str(caught.value)


def test_plan_holds_every_point_once_and_needs_come_first():
    experiment = load_experiment("on-air", overrides=["seeds=[0,1]"])
    jobs = experiment.resolved().jobs
    place = {job.name: i for i, job in enumerate(jobs)}
    assert len(place) == len(jobs)
    assert all(place[need] < place[job.name] for job in jobs for need in job.needs)
    points = [(j.subject, j.link.name, snr, j.seed) for j in jobs if j.stage == "evaluate" for snr in j.snr_db]
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
        ("seeds=[-1]", "not within 0 to 524287"),
        ("seeds=[524288]", "each stage of a run draws its realisations from seeds 524288 further on"),
        ("threads=2147483648", "threads: 2147483648 is not within 1 to 1024"),
        ("stage1.snr_db=[-400, 0]", "not within -100 to 100"),
        ("evaluate.0.snr_db=[1e9]", "not within -100 to 100"),
        ("seeds=[1, 0, 1]", "seeds: one is named twice"),
        ("stage2.snr_db=[20,0]", "range 20 to 0 dB runs backwards"),
        ("name=../../elsewhere", "name '../../elsewhere'"),
        ("evaluate=[{variants: [aligned], links: [awgn], snr_db: [1, 1.0000001]}]", "less than a millionth apart"),
    ],
)
def test_what_would_spoil_a_run_directory_is_refused(override, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_experiment("quickstart", overrides=[override])


@pytest.mark.parametrize(
    "text", ["profile: [x]", "profile: 3", "extends: 3", "extends: SELF", "extends: 2026-01-01", "data: [1]"]
)
def test_odd_values_at_the_top_are_one_clear_line(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text.replace("SELF", str(path)))
    with pytest.raises(UserError) as caught:
        load_experiment(str(path))
    assert "\n" not in str(caught.value)


SWEEP = """\
name: sweep
title: Sweep
variants:
  aligned: {}
  same: {modalities: [audio]}
  hot: {stage1: {temperature: 0.13}}
  faded: {stage1: {link: rayleigh, snr_db: [-10, 20]}, stage2: {link: fast, snr_db: 0}}
  short: {lengths: {audio: short}}
links:
  fast: {extends: ofdm-tdl-c, speed: 30}
evaluate:
  - {variants: [aligned, same, hot, faded, short], links: [awgn, fast], snr_db: [0]}
"""


@pytest.fixture
def sweep(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return str(path)


def test_variants_train_as_they_say_and_share_stage_1_only_where_it_is_the_same(sweep):
    experiment = load_experiment(sweep)
    variants = experiment.resolved().variants
    assert variants["hot"].stage1.temperature == 0.13
    assert variants["aligned"].stage1.temperature == 0.07
    assert variants["faded"].stage2.link == variants["faded"].stage2_link.name == "fast"
    assert variants["faded"].stage2.steps == experiment.stage2.steps
    align = [job for job in experiment.resolved().jobs if job.stage == "align"]
    assert {job.subject for job in align} == {
        "contrastive",
        "contrastive-temperature-0.13",
        "contrastive-link-rayleigh-snr_db--10.0to20.0",
        "contrastive-audio8",
    }
    imported = load_experiment(sweep, overrides=["variants.same.stage1={checkpoint: there/it/is}"])
    assert imported.resolved().variants["same"].alignment_run == "contrastive-checkpoint-there_it_is"  # one folder
    nested = load_experiment(sweep, overrides=["variants.same.stage1={lr_scheduler_kwargs: {num_cycles: 2}}"])
    named = str(nested.resolved().variants["same"].alignment_run)
    assert re.fullmatch("contrastive-lr_scheduler_kwargs-[0-9a-f]{6}", named)  # fit for a folder on any system
    needs = {job.subject: job.needs for job in experiment.resolved().jobs if job.stage == "finetune"}
    assert needs["aligned"] == needs["same"]


def test_a_link_of_its_own_is_the_file_with_the_keys_changed(sweep):
    experiment = load_experiment(sweep)
    link = experiment.resolved().links["fast"]
    config = link.config
    assert (config.speed, config.channel) == (30.0, "TDL-C")
    assert link.load().config == config
    assert experiment.resolved().evaluated_links == ["awgn", "fast"]
    assert list(experiment.resolved().links) == ["awgn", "fast", "rayleigh"]


def test_named_lengths_follow_the_profile(sweep):
    assert load_experiment(sweep).resolved().variants["short"].lengths == {"audio": 8, "video": 32}
    paper = load_experiment(sweep, profile="paper", overrides=["data.root=/data"])
    assert paper.resolved().variants["short"].lengths == {"audio": 16, "video": 64}


@pytest.mark.parametrize("name", builtin_names("experiments"))
def test_built_in_experiments_are_ready_for_the_papers_profile(name):
    experiment = load_experiment(name, profile="paper", overrides=["data.root=/data"])
    assert all(experiment.resolved().variants[variant].stage1.batch == 32 for variant in experiment.variants)
    assert experiment.resolved().jobs


def test_sections_of_a_profile_hold_for_it_alone(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(SWEEP + "profiles:\n  tiny: {lengths: {audio: 9}}\n  paper: {seeds: [7]}\n")
    tiny = load_experiment(str(path))
    paper = load_experiment(str(path), profile="paper", overrides=["data.root=/data"])
    assert (tiny.lengths["audio"], tiny.seeds) == (9, (0,))
    assert (paper.lengths["audio"], paper.seeds) == (64, (7,))
    path.write_text(SWEEP + "profiles:\n  papper: {seeds: [7]}\n")
    with pytest.raises(UserError, match="profiles: give settings for one profile under its name: tiny, paper"):
        load_experiment(str(path))


@pytest.mark.parametrize("name", ["fig2a", "fig2b", "fig3"])
def test_the_papers_figures_have_the_papers_lengths(name):
    experiment = load_experiment(name, profile="paper", overrides=["data.root=/data"])
    swept = {"fig2a": ["audio"], "fig2b": ["video"], "fig3": ["audio", "video"]}[name]
    for modality in swept:
        assert experiment.resolved().lengths[modality] == [16, 32, 64, 128]


@pytest.mark.parametrize("name", sorted({*builtin_names("experiments")} - {"fig2a", "fig2b", "tsne"}))
def test_every_accuracy_stands_beside_the_blind_control(name):
    experiment = load_experiment(name, overrides=["data.root=/data"])
    for series in experiment.evaluate:
        for link in series.links:
            assert any(
                experiment.resolved().variants[variant].blind
                for other in experiment.evaluate
                if link in other.links and set(series.snr_db) <= set(other.snr_db)
                for variant in other.variants
            ), link


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "variants.hot.stage1.temprature=1",
            "variants.hot.stage1: unknown key 'temprature': did you mean 'temperature'",
        ),
        ("variants.hot.stage1.temperature=-1", "variants.hot.stage1: temperature"),
        ("variants.faded.stage2.link=fist", "unknown link 'fist': did you mean 'fast'"),
        ("links.fast.sped=3", "links.fast: unknown key 'sped', did you mean 'speed'"),
        ("links.fast.extends=ofdm-tdl-cc", "links.fast: unknown link 'ofdm-tdl-cc'"),
        ("links={awgn: {extends: rayleigh}}", "links.awgn: this is a built-in link"),
        ("links.slow={speed: 3}", "links.slow: name the link that it changes"),
        ("links={../fast: {extends: awgn}}", "name '../fast'"),
        ("links.fast.snr_offset_db={vidoe: -3}", "did you mean 'video'"),
        (
            "variants.short.lengths.audio=shrot",
            "variants.short.lengths.audio: unknown length 'shrot': did you mean 'short",
        ),
    ],
)
def test_faults_in_what_an_experiment_changes_are_named(sweep, override, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_experiment(sweep, overrides=[override])
    assert "\n" not in str(caught.value)
