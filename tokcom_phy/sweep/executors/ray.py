"""Jobs on actors of a Ray cluster: the same jobs as on local processes, on many machines.

All machines see the run directory and the dataset at the same path, on a file system that they share. Workers write
points and checkpoints there themselves: only jobs, progress and outcomes travel through Ray.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import RayError

from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.messages import Outcome, Report, Start
from tokcom_phy.sweep.scheduler import POLL_TIMEOUT_S, Executor
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.utils.errors import UserError, one_line, reason

CONNECT_TIMEOUT_S = 10.0
"""How long the head of a cluster has to answer [s]."""

_TOKEN = (
    "if it asks for a token (RAY_AUTH_MODE=token), give this machine the same one, in ~/.ray/auth_token or "
    "RAY_AUTH_TOKEN"
)

_SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch, on all systems, that makes its servers listen on loopback alone if it is 0. A loopback address that
Ray 2.60 is given is replaced by another one."""

_OBJECT_STORE = 100 * 2**20  # [bytes]


def join(address: str) -> None:
    """Connect this process to a Ray cluster.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` of its head, or ``auto``: the cluster that this machine is part of or that ``RAY_ADDRESS`` names,
        else one that is started here, listens on loopback alone and ends with this process.

    Raises
    ------
    UserError
        If there is no such cluster.
    """
    if address.startswith("ray://"):
        raise UserError(f"--ray {address}: run on a machine of the cluster, and give HOST:PORT of its head, or auto")
    if ray.is_initialized():
        return
    if address != "auto":
        _check_head(address)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address != "auto":
            raise UserError(f"no Ray cluster at {address}: {one_line(error)}; {_TOKEN}") from error
        if os.environ.setdefault(_SEVERAL_MACHINES, "0") == "0":
            ray_constants.ENABLE_RAY_CLUSTER = False  # as Ray reads the variable when it is imported
        ray.init("local", include_dashboard=False, object_store_memory=_OBJECT_STORE, **quiet)


def _check_head(address: str) -> None:
    """Connect to the head; Ray itself would take minutes to fail."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster at {address}: {one_line(error)}; give HOST:PORT of its head, or auto"
        ) from error


class RayExecutor(Executor):
    """Workers on a Ray cluster.

    Parameters
    ----------
    start : Start
    workers : int, optional
        By default as many as the present nodes have room for; more of them wait for further nodes.
    gpus_per_task : float, optional
        GPUs of each worker, whole ones or a fraction of one; by default 1 where the cluster has GPUs.
    """

    def __init__(self, start: Start, workers: int | None = None, gpus_per_task: float | None = None):
        cpus = start.experiment.threads or 1
        if gpus_per_task is None:
            gpus_per_task = 1 if ray.cluster_resources().get("GPU") else 0
        room = _room({"CPU": cpus, "GPU": gpus_per_task})
        if not (workers or room):
            raise UserError(f"no node of the cluster has room for {cpus} CPUs and {gpus_per_task:g} GPUs")
        remote = ray.remote(Actor).options(num_cpus=cpus, num_gpus=gpus_per_task, max_restarts=0)
        self.actors = [_Slot(lambda: remote.remote(start)) for _ in range(workers or room)]

    def free(self) -> int:
        return sum(actor.free for actor in self.actors)

    def submit(self, job: Job) -> None:
        next(actor for actor in self.actors if actor.free).begin(job)

    def events(self) -> list[Report | Outcome]:
        awaited = [actor for actor in self.actors if not actor.free]
        if not awaited:
            time.sleep(POLL_TIMEOUT_S)
            return []
        answered, _ = ray.wait([actor.answer for actor in awaited], timeout=POLL_TIMEOUT_S)
        return [event for actor in awaited if actor.answer in answered for event in actor.read()]

    def close(self) -> None:
        for actor in self.actors:
            actor.end()


class Actor:
    """A worker on some node; a new process."""

    def __init__(self, start: Start):
        self.worker = Worker(start)

    def ready(self) -> None:
        """Returns once the actor has been placed on a node."""

    def execute(self, job: Job) -> Iterator[Report | Outcome]:
        """Execute a job; yields its reports, and its outcome last."""
        events: SimpleQueue[Report | Outcome] = SimpleQueue()
        Thread(target=lambda: events.put(self.worker.execute(job, events.put)), daemon=True).start()
        while not isinstance(event := events.get(), Outcome):
            yield event
        yield event


class _Slot:
    """An actor, replaced by another when it dies."""

    def __init__(self, new: Callable[[], Any]):
        self.new = new
        self.open()

    @property
    def free(self) -> bool:
        return self.answer is None

    def open(self) -> None:
        self.job: Job | None = None
        self.actor = self.new()
        self.answer = self.actor.ready.remote()

    def begin(self, job: Job) -> None:
        self.job, self.since = job, time.monotonic()
        self.answer = self.actor.execute.options(num_returns="streaming").remote(job)

    def read(self) -> list[Report | Outcome]:
        try:
            event = ray.get(next(self.answer) if self.job else self.answer)
        except RayError as error:
            return self.replace(reason(error))
        if event is None or isinstance(event, Outcome):
            self.job = self.answer = None
        return [] if event is None else [event]

    def replace(self, death: str) -> list[Report | Outcome]:
        """Start another actor in place of the dead one."""
        job = self.job
        self.end()
        self.open()
        return [Outcome(job, time.monotonic() - self.since, death=death)] if job else []

    def end(self) -> None:
        ray.kill(self.actor)


def _room(needs: dict[str, float]) -> int:
    """How many workers with these needs the nodes that are there have room for."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(
        int(min(node.get(resource, 0) // amount for resource, amount in needs.items() if amount)) for node in nodes
    )
