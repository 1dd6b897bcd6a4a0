"""Jobs that need all launched processes: one fails in all of them, one in none, one in the process that is named."""

import sys
from pathlib import Path

import torch
from torch import distributed

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.executors import distributed as executor
from tokcom_phy.sweep.messages import Outcome, Start
from tokcom_phy.sweep.scheduler import run_jobs
from tokcom_phy.sweep.worker import Worker
from tokcom_phy.training.distributed import process_index
from tokcom_phy.utils.errors import UserError


class SummingWorker(Worker):
    """A worker whose jobs add up over all processes."""

    def run(self, job: Job, resources: object, on_progress: object) -> tuple[()]:
        if job.subject == "everywhere":
            raise UserError("mend it")
        if job.subject == "alone" and process_index() == int(sys.argv[2]):
            raise RuntimeError("broken")
        total = torch.ones(1)
        distributed.all_reduce(total)
        assert total.item() == 2
        return ()


def tell(outcome: Outcome) -> None:
    print(outcome.job.subject, [failure.why for failure in outcome.failures])


if __name__ == "__main__":
    executor.FAILURE_TIMEOUT_S = 1.0
    executor.Worker = SummingWorker  # type: ignore[misc]
    folder = Path(sys.argv[1])
    if executor.is_rank_0():
        experiment = load_experiment("quickstart")
        link = next(iter(experiment.resolved().links.values()))
        jobs = [Job("align", subject, 0, link) for subject in ("everywhere", "nowhere", "alone")]
        start = Start(experiment, folder, folder, None, folder)
        with executor.shutdown(), executor.DistributedExecutor(start) as pool:
            run_jobs(jobs, set(), pool, lambda report: None, tell)
    else:
        executor.worker_loop()
