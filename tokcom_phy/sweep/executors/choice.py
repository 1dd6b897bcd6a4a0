"""Which executor a command asks for."""

from collections.abc import Callable
from functools import partial

from tokcom_phy.sweep.executors.distributed import DistributedExecutor, launched
from tokcom_phy.sweep.executors.local import LocalExecutor
from tokcom_phy.sweep.messages import Start
from tokcom_phy.sweep.scheduler import Executor
from tokcom_phy.utils.errors import UserError

OpenExecutor = Callable[[Start], Executor]


def choose_executor(
    num_processes: int, workers: int | None, ray: str | None, gpus_per_task: float | None
) -> OpenExecutor:
    """What opens the executor of a run.

    Parameters
    ----------
    num_processes : local worker processes
    workers : workers that were asked for; by default a Ray cluster has as many as it has room for
    ray : address of a Ray cluster, None for local processes
    gpus_per_task : GPUs of a Ray worker

    Raises
    ------
    UserError
        If the options do not go together, Ray is not installed, or its cluster does not answer.
    """
    if launched():
        if ray is not None:
            raise UserError("--ray runs jobs beside each other, accelerate launch trains one on all processes: use one")
        return DistributedExecutor
    if ray is None:
        if gpus_per_task is not None:
            raise UserError("--gpus-per-task is for a Ray cluster: name one by --ray ADDRESS")
        return partial(LocalExecutor, workers=num_processes)
    if gpus_per_task and gpus_per_task > 1 and gpus_per_task % 1:
        raise UserError(f"--gpus-per-task {gpus_per_task:g}: give a whole number, or a fraction of one GPU")
    try:
        # Ray is an extra, and takes a second to import.
        from tokcom_phy.sweep.executors.ray import RayExecutor, join
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UserError("Ray is not installed: pip install 'tokcom-phy[ray]'") from error
    join(ray)
    return partial(RayExecutor, workers=workers, gpus_per_task=gpus_per_task)
