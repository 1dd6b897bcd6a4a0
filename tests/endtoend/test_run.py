import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.endtoend.commands import results_of
from tokcom_phy import Run
from tokcom_phy.results.tables import COLUMNS


@pytest.fixture(scope="module")
def copied_run(finished_run) -> Path:
    """A copy of the finished run to write into, beside it, where its data are."""
    return Path(shutil.copytree(finished_run, finished_run.parent / "copied"))


def test_run_directory_holds_what_the_conventions_say(finished_run):
    for name in ("config.yaml", "provenance.json", "questions.json", "results.csv", "results.parquet"):
        assert (finished_run / name).is_file(), name
    assert (finished_run / "figures" / "accuracy_vs_snr.png").stat().st_size > 10_000
    assert (finished_run / "figures" / "accuracy_vs_snr.pdf").is_file()
    for variant in ("aligned", "blind", "aligned-on-air"):
        assert (finished_run / "checkpoints" / variant / "seed-0" / "transceivers.safetensors").is_file()
        assert (finished_run / "checkpoints" / variant / "seed-0" / "adapter" / "adapter_config.json").is_file()
    assert yaml.safe_load((finished_run / "config.yaml").read_text())["stage2"]["steps"] == 3
    assert {"command", "versions", "seeds", "git_revision"} <= json.loads(
        (finished_run / "provenance.json").read_text()
    ).keys()


def test_results_have_the_columns_controls_and_intervals(finished_run):
    table = pd.read_csv(finished_run / "results.csv")
    assert list(table.columns) == COLUMNS
    pd.testing.assert_frame_equal(table, pd.read_parquet(finished_run / "results.parquet"), check_dtype=False)
    accuracy = table[(table["metric"] == "accuracy") & (table["question_type"] == "all")]
    keys = set(map(tuple, accuracy[["variant", "link", "snr_db"]].to_numpy().tolist()))
    reliable = {(v, link, s) for v in ("aligned", "blind") for link in ("awgn", "ofdm-tdl-c") for s in (0.0, 20.0)}
    on_air = {("aligned-on-air", "awgn", s) for s in (0.0, 20.0)}
    assert reliable | on_air <= keys
    assert {v for v, _, _ in keys} == {"aligned", "blind", "aligned-on-air", "hot", "majority"}
    assert (accuracy["ci_low"] < accuracy["ci_high"]).all()
    assert ((accuracy["ci_low"] <= accuracy["value"]) & (accuracy["value"] <= accuracy["ci_high"])).all()
    assert (accuracy["n"] == 40).all()
    types = set(table.loc[table["metric"] == "accuracy", "question_type"])
    assert len(types - {"all"}) >= 5
    nmse = table[
        (table["metric"] == "token_nmse_db_audio") & (table["link"] == "awgn") & (table["variant"] == "aligned")
    ]
    assert nmse.set_index("snr_db")["value"].to_dict() == pytest.approx({0.0: -3.01, 20.0: -20.04}, abs=0.2)


def test_links_and_trainings_of_an_experiments_own_do_what_they_say(finished_run):
    table = pd.read_csv(finished_run / "results.csv")
    nmse = table[(table["link"] == "video-far") & table["metric"].str.startswith("token_nmse_db")]
    found = nmse.set_index("metric")["value"].to_dict()
    assert found == pytest.approx(
        {"token_nmse_db_audio": -20.04, "token_nmse_db_video": -3.01}, abs=0.2
    )  # of MMSE estimates, 1 / (1 + SNR)
    losses = {
        name: json.loads((finished_run / "checkpoints" / name / "seed-0" / "losses.json").read_text())
        for name in ("stage1-contrastive", "stage1-contrastive-temperature-0.5")
    }
    usual, hot = losses.values()
    assert usual[0] != hot[0]  # the same batch, weights and radio


def test_costs_curves_and_differences_are_kept(finished_run):
    table = pd.read_csv(finished_run / "results.csv")
    costs = table[(table["variant"] == "aligned") & (table["link"] == "awgn")].set_index("metric")["value"]
    assert costs["channel_uses"] == 2 * 32 * 128 / 2
    assert table.loc[(table["variant"] == "blind") & (table["metric"] == "energy_mj"), "value"].eq(0).all()
    on_air = table[(table["variant"] == "aligned-on-air") & (table["metric"] == "channel_uses")]["value"].item()
    assert on_air > costs["channel_uses"]
    curves = pd.read_csv(finished_run / "curves.csv")
    assert set(curves["question_type"]) >= {"all", "Audio-Visual/Location"}
    differences = pd.read_csv(finished_run / "differences.csv")
    keys = set(map(tuple, differences[["variant", "link", "than_variant", "than_link"]].to_numpy().tolist()))
    assert ("aligned", "awgn", "blind", "awgn") in keys
    assert ("aligned", "awgn", "aligned", "ofdm-tdl-c") in keys
    value = {
        variant: curves.loc[
            (curves["variant"] == variant)
            & (curves["link"] == "awgn")
            & (curves["snr_db"] == 20)
            & (curves["question_type"] == "all"),
            "value",
        ].item()
        for variant in ("aligned", "blind")
    }
    pair = (differences["variant"] == "aligned") & (differences["than_variant"] == "blind")
    row = differences[pair & (differences["link"] == "awgn") & (differences["snr_db"] == 20)]
    assert row["value"].item() == pytest.approx(value["aligned"] - value["blind"])
    assert row["ci_low"].item() < row["value"].item() < row["ci_high"].item()


def test_a_second_run_repeats_nothing(copied_run, tokcom, experiment):
    before = {path: path.stat().st_mtime_ns for path in copied_run.rglob("*") if "points" in path.parts}
    again = tokcom("run", experiment, "--out", copied_run)
    assert again.returncode == 0, again.stderr
    after = {path: path.stat().st_mtime_ns for path in copied_run.rglob("*") if "points" in path.parts}
    assert before == after


def test_another_configuration_is_refused_and_named(copied_run, tokcom, experiment):
    before = results_of(copied_run)
    refused = tokcom("run", experiment, "--out", copied_run, "--set", "stage2.steps=4")
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "stage2.steps is 3 there and 4 now" in refused.stderr
    assert results_of(copied_run) == before


def test_plot_draws_again_and_refuses_what_is_no_run(copied_run, tokcom, tmp_path):
    figure = copied_run / "figures" / "accuracy_vs_snr.png"
    figure.unlink()
    assert tokcom("plot", copied_run).returncode == 0
    assert figure.is_file()
    refused = tokcom("plot", tmp_path)
    assert refused.returncode == 2
    assert "no config.yaml" in refused.stderr


def test_fresh_deletes_runs_only(tokcom, experiment, tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    (tmp_path / "thesis.tex").write_text("years of work")
    refused = tokcom("run", experiment, "--out", tmp_path, "--fresh")
    assert refused.returncode == 2
    assert "something else" in refused.stderr
    assert (tmp_path / "thesis.tex").is_file()


@pytest.mark.long
def test_a_trained_variant_is_evaluated_over_another_link_beside_its_own_points(finished_run, tokcom, tmp_path):
    out = finished_run.parent / "again"
    asked = ["--link", "ofdm-tdl-c", "--set", "speed=120", "--snr", "0", "--snr", "20", "--out", out, "--workers", "1"]
    done = tokcom("evaluate", f"{finished_run}:aligned", *asked)
    assert done.returncode == 0, done.stderr
    for name in ("aligned__awgn__+0dB__seed0.json", "blind__awgn__+20dB__seed0.json"):
        assert (out / "points" / name).read_bytes() == (finished_run / "points" / name).read_bytes()
    assert (out / "points" / "aligned__ofdm-tdl-c-speed-120__+20dB__seed0.json").is_file()
    assert not (out / "checkpoints").exists()
    assert (out / "questions.json").read_bytes() == (finished_run / "questions.json").read_bytes()
    differences = pd.read_csv(out / "differences.csv")
    pairs = differences[(differences["link"] == "awgn") & (differences["than_link"] == "ofdm-tdl-c-speed-120")]
    assert set(pairs["snr_db"]) == {0, 20}
    for wrong, message in {"aligend": "did you mean 'aligned'", "majority": "no variant 'majority'"}.items():
        refused = tokcom("evaluate", f"{finished_run}:{wrong}", "--link", "rayleigh")
        assert refused.returncode == 2
        assert message in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.long
def test_an_experiment_takes_a_trained_variant_and_sweeps_a_grid(finished_run, tokcom, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(
        "name: grid\ntitle: Grid\nprofile: tiny\n"
        "data:\n  synthetic: {captions: 24, train_clips: 24, test_clips: 12, train_questions: 48, "
        "test_questions: 40, seed: 5}\n"
        f"variants:\n  mine: {{checkpoint: {finished_run / 'checkpoints' / 'aligned'}}}\n"
        "evaluate:\n  - {variants: [mine], links: [ofdm-tdl-c], snr_db: [0]}\n"
        "grid: {speed: [1, 120], delay_spread: [3e-8, 3e-7]}\n"
    )
    out = finished_run.parent / "grid"
    done = tokcom("run", path, "--out", out, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert len(list((out / "points").glob("mine__*.json"))) == 4
    assert not (out / "checkpoints").exists()
    assert (out / "figures" / "grid.png").is_file()


@pytest.mark.slow
def test_two_launched_processes_train_what_one_does(finished_run, experiment, tmp_path):
    """The same losses in every stage, one run directory, and nothing left behind that was unfinished."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    run_dir = tmp_path / "runs" / "micro"
    command = [*launch, "-m", "tokcom_phy", "finetune", str(experiment), "--out", str(run_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = sorted(path.relative_to(run_dir) for path in run_dir.glob("checkpoints/*/seed-0/losses.json"))
    assert len(files) >= 4
    for file in files:
        alone, together = (json.loads((folder / file).read_text()) for folder in (finished_run, run_dir))
        assert together == pytest.approx(alone, rel=1e-3), file
    assert not list(run_dir.glob("checkpoints/*/.tokcom-*"))


def test_an_opened_run_holds_the_tables_and_its_systems_answer_as_they_did(finished_run):
    run = Run.open(finished_run)
    for name, table in {"results": run.results, "curves": run.curves, "differences": run.differences}.items():
        assert (finished_run / f"{name}.csv").read_text(encoding="utf-8") == table.to_csv(index=False)
    question = run.questions.iloc[0]
    given = run.answers(0).set_index(["variant", "link", "snr_db"])["answer"]
    for variant, link in (("aligned", "ofdm-tdl-c"), ("blind", "awgn"), ("aligned-on-air", "awgn")):
        text, transmission = run.system(variant).answer(question.question, question.video_id, link, snr_db=20.0)
        assert text == given[variant, link, 20.0]
        assert tuple(transmission.sent) == run.variants(name=variant)[0].users
