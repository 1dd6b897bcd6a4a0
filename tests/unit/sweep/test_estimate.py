"""How long jobs take together that wait for each other."""

import pytest

from tokcom_phy.experiments.loading import load_experiment
from tokcom_phy.experiments.plan import Job
from tokcom_phy.sweep.estimate import makespan

LINK = load_experiment("quickstart").resolved().links["awgn"]


def test_jobs_wait_for_those_that_they_need_and_for_a_worker():
    first = Job("align", "a", 0, LINK)
    second = Job("finetune", "a", 0, LINK, needs=(first.name,))
    other = Job("finetune", "b", 0, LINK)
    jobs = [first, second, other]
    seconds = {first.name: 10.0, second.name: 5.0, other.name: 3.0}
    assert makespan(jobs, seconds, 1) == 18.0
    assert makespan(jobs, seconds, 2) == 15.0
    assert makespan(jobs, seconds, 9) == 15.0


@pytest.mark.parametrize(
    ("experiment", "workers", "gain"), [("tsne", 2, 1.0), ("fig3", 2, 2.0), ("quickstart", 4, 4.0)]
)
def test_one_training_is_not_done_sooner_by_two_workers(experiment, workers, gain):
    jobs = load_experiment(experiment, "tiny").resolved().jobs
    seconds = {job.name: 1.0 for job in jobs}
    assert len(jobs) / makespan(jobs, seconds, workers) == pytest.approx(gain, rel=0.15)
