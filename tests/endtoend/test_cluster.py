"""The same sweep on a real Ray cluster of two nodes, which loses a worker and then a node."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.endtoend.commands import results_of, start_tokcom

pytestmark = pytest.mark.slow

SMALL = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A head node and another, of one CPU each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray_cluster = pytest.importorskip("ray.cluster_utils")
    cluster = ray_cluster.Cluster(initialize_head=True, head_node_args=SMALL)
    cluster.add_node(num_cpus=1, object_store_memory=SMALL["object_store_memory"])
    yield cluster
    cluster.shutdown()


def actors() -> list[psutil.Process]:
    """Workers that have a job, the longest first."""
    found = [p for p in psutil.process_iter(["cmdline"]) if "ray::Actor.execute" in " ".join(p.info["cmdline"] or [])]
    return sorted(found, key=lambda process: process.create_time())


def of_ray(pid: int | None) -> bool:
    """Whether a process is Ray's."""
    with suppress(psutil.NoSuchProcess):
        return pid is not None and "ray" in " ".join(psutil.Process(pid).cmdline())
    return False


def wait_for(what: Callable[[], bool], sweep) -> None:
    while not what():
        assert sweep.poll() is None, sweep.communicate()
        time.sleep(0.05)


def points(run_dir: Path) -> int:
    return len(list(run_dir.glob("points/[!.]*.json")))


def test_a_sweep_that_loses_a_worker_and_then_a_node_equals_the_serial_one(cluster, finished_run, experiment, tokcom):
    long = ("run", experiment, "--set", "seeds=[0,1,2,3,4,5]")
    serial, run_dir = (finished_run.parent / name for name in ("serial", "cluster"))
    done = tokcom(*long, "--out", serial, "--workers", "1")
    assert done.returncode == 0, done.stderr
    sweep = start_tokcom(*long, "--out", run_dir, "--ray", cluster.address)
    wait_for(lambda: len(actors()) == 2, sweep)
    actors()[0].kill()
    wait_for(lambda: points(run_dir) >= 2 and len(actors()) == 2, sweep)
    other = next(node for node in cluster.list_all_nodes() if not node.head)
    lost = psutil.Process(other.all_processes["raylet"][0].process.pid).children()
    cluster.remove_node(other, allow_graceful=False)
    psutil.wait_procs(lost, timeout=30)
    assert points(run_dir) < points(serial)
    _, stderr = sweep.communicate()
    assert sweep.returncode == 0, stderr
    assert results_of(run_dir) == results_of(serial)


def test_auto_starts_a_cluster_that_ends_with_the_run(finished_run, experiment, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    run_dir = finished_run.parent / "auto"
    sweep = start_tokcom("run", experiment, "--out", run_dir, "--ray", "auto", "--workers", "1")
    wait_for(lambda: len(actors()) == 1, sweep)
    (worker,) = actors()
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and of_ray(c.pid)}
    assert listening
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    _, stderr = sweep.communicate()
    assert sweep.returncode == 0, stderr
    assert results_of(run_dir) == results_of(finished_run)
    psutil.wait_procs([worker], timeout=30)
    assert not worker.is_running()
