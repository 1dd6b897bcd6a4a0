"""Sweeps that are killed, lose a worker, or find no room: what is there stays, what is missing is named."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.endtoend.commands import kill_tokcom, results_of, start_tokcom
from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.run_dir import UNFINISHED
from tokcom_phy.sweep.messages import Report, Start
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.utils.files import TEMPORARY


def finished_files(run_dir: Path) -> dict[Path, tuple[int, int]]:
    """Points and trainings that are there, and what would change if one were made again."""
    files = [*run_dir.glob("points/[!.]*.json"), *run_dir.glob("checkpoints/[!.]*/[!.]*/losses.json")]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def half_written(run_dir: Path) -> list[Path]:
    return [path for path in run_dir.rglob(f"{TEMPORARY}*") if not path.name.endswith(UNFINISHED)]


def assert_kept(before: dict[Path, tuple[int, int]], run_dir: Path) -> None:
    after = finished_files(run_dir)
    assert {path: after.get(path) for path in before} == before


@pytest.mark.long
def test_killed_twice_and_bereft_of_a_worker_it_ends_in_the_same_results(finished_run, experiment):
    """Amid a training, then amid an evaluation; one worker instead of two, so that results do not depend on that
    either. Its other trainings are taken from the finished run."""
    run_dir = finished_run.parent / "killed"
    shutil.copytree(finished_run, run_dir)
    shutil.rmtree(run_dir / "checkpoints" / "aligned")
    shutil.rmtree(run_dir / "points")
    kept = len(finished_files(run_dir))
    command = ("run", experiment, "--out", run_dir, "--workers", "1")

    def amid_stage_2() -> bool:
        return any(run_dir.glob("checkpoints/aligned/.*.unfinished/checkpoint-*/trainer_state.json"))

    killed = kill_tokcom(*command, when=amid_stage_2)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (run_dir / "checkpoints" / "aligned" / "seed-0").exists()
    before = finished_files(run_dir)
    assert len(before) == kept

    def amid_evaluation() -> bool:
        return len(finished_files(run_dir)) >= kept + 2  # the training and a point

    killed = kill_tokcom(*command, when=amid_evaluation)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert_kept(before, run_dir)
    before = finished_files(run_dir)

    process = start_tokcom(*command)
    while len(finished_files(run_dir)) <= len(before):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    (worker,) = (p for p in psutil.Process(process.pid).children() if "spawn_main" in " ".join(p.cmdline()))
    worker.kill()
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert_kept(before, run_dir)
    assert half_written(run_dir) == []
    assert results_of(run_dir) == results_of(finished_run)


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments_it_ends_in_the_same_results(finished_run, experiment, tmp_path):
    """From the first import to the last figure, media and features included; what comes through is compared, and a new
    run begun."""
    run_dir = tmp_path / "runs" / "micro"
    command = ("run", experiment, "--out", run_dir, "--workers", "2")
    started = time.monotonic()
    assert kill_tokcom(*command, when=lambda: False).returncode == 0
    duration = time.monotonic() - started
    shutil.rmtree(run_dir.parent)

    seed = random.randrange(2**32)
    print(f"moments of seed {seed}")
    moments = random.Random(seed)
    kills, before = 0, {}
    while True:
        end = time.monotonic() + (moments.uniform(0, duration) if kills < 20 else math.inf)
        done = kill_tokcom(*command, when=lambda end=end: time.monotonic() > end)
        assert_kept(before, run_dir)
        if done.returncode == -signal.SIGKILL:
            kills += 1
            before = finished_files(run_dir)
            continue
        assert done.returncode == 0, done.stderr
        assert half_written(run_dir) == []
        assert results_of(run_dir) == results_of(finished_run)
        if kills == 20:
            return
        shutil.rmtree(run_dir)
        before = {}


def test_a_point_that_fails_leaves_the_others_of_its_job_alone(finished_run, experiment):
    run_dir = finished_run.parent / "failing"
    shutil.copytree(finished_run, run_dir)
    settings = load_experiment(str(experiment))
    (root,) = (finished_run.parent / "data").glob("synthetic-*")
    worker = Worker(Start(settings, run_dir.resolve(), root.resolve(), (root / "features").resolve(), Path.cwd()))
    (job,) = (job for job in settings.resolved().jobs if job.name == "evaluate aligned awgn seed 0")
    blocked, free = (run_dir / "points" / f"{name}.json" for name in job.outputs)
    blocked.unlink()
    free.unlink()
    blocked.mkdir()  # where a file cannot come
    reports: list[Report] = []
    (failure,) = worker.execute(job, reports.append).failures
    assert failure.what == "aligned__awgn__+0dB__seed0"
    assert failure.why.endswith("Is a directory; move that folder away")
    assert free.read_bytes() == (finished_run / "points" / free.name).read_bytes()
    assert [report.done for report in reports] == [0, 1]
    assert reports[1].accuracy == json.loads(free.read_text())["correct"].count("1") / 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.long
def test_a_full_disk_stops_what_finds_no_room_and_nothing_else(finished_run, tokcom, experiment, small_disk):
    run_dir = small_disk / "micro"
    shutil.copytree(finished_run, run_dir)
    lost = run_dir / "points" / "blind__awgn__+20dB__seed0.json"
    lost.unlink()
    shutil.rmtree(run_dir / "checkpoints" / "aligned-on-air")
    (run_dir / "points" / "aligned-on-air__awgn__+0dB__seed0.json").unlink()
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    os.symlink(finished_run.parent / "data", small_disk / "data")
    command = ("run", experiment, "--out", run_dir, "--workers", "1")
    done = tokcom(*command)
    assert done.returncode == 2, done.stdout
    assert len(done.stderr.strip().splitlines()) == 1
    missing = done.stdout.split("What is missing")[1]
    for name in (lost.stem, "finetune aligned-on-air seed 0", "aligned-on-air__awgn__+0dB__seed0"):
        assert name in missing
    assert "aligned-on-air__awgn__+20dB" not in done.stdout
    assert "4 missing of" in done.stderr
    assert "Error:" not in done.stdout  # no library's own words
    assert "No space left" in done.stderr
    assert half_written(run_dir) == []
    assert not lost.exists()
    (small_disk / "filler").unlink()
    done = tokcom(*command)
    assert done.returncode == 0, done.stderr
    assert results_of(run_dir) == results_of(finished_run)
