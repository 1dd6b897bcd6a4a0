"""What a worker process does with a job."""

import errno
import logging
import os
import platform
import shutil
import time
import traceback
import warnings
from functools import cached_property

import torch
from safetensors import SafetensorError

from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.run_dir import point_file
from tokcom_phy.results.points import Point, write_point
from tokcom_phy.sweep.messages import Failure, OnProgress, Outcome, Report, Start, missing
from tokcom_phy.sweep.resources import Resources
from tokcom_phy.sweep.stages import evaluator, run_alignment, run_finetuning
from tokcom_phy.utils.errors import UserError, one_line
from tokcom_phy.utils.files import cannot_write
from tokcom_phy.utils.processes import peak_memory

DISK_FULL_BYTES = 2**20
"""A training that cannot write on a disk with less free space than this has failed for want of space [bytes]."""


class Worker:
    """Executes the jobs of one run in this process.

    Parameters
    ----------
    start : Start
    """

    def __init__(self, start: Start):
        self.start = start

    def execute(self, job: Job, on_progress: OnProgress) -> Outcome:
        """Execute one job; an error becomes the failure of all that the job should have left behind."""
        started = time.monotonic()
        try:
            resources = self.resources
            started = time.monotonic()
            failures = self.run(job, resources, on_progress)
        except Exception as error:
            failures = missing(job, one_line(error), traceback.format_exc())
        return Outcome(job, time.monotonic() - started, failures, "", *peak_memory())

    @cached_property
    def resources(self) -> Resources:
        """Models, data and links of the run; the process is prepared for its first job.

        Raises
        ------
        UserError
            If there is no such run directory on this machine.
        """
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        warnings.filterwarnings("ignore")
        logging.getLogger("transformers").setLevel(logging.ERROR)
        if self.start.folder.is_dir():
            os.chdir(self.start.folder)
        if not self.start.run_dir.is_dir():
            raise UserError(
                f"{platform.node()} does not see {self.start.run_dir}: run where all machines share the file system, "
                "or name such a folder by --out"
            )
        if self.start.experiment.threads:
            torch.set_num_threads(self.start.experiment.threads)
        return Resources(self.start)

    def run(self, job: Job, resources: Resources, on_progress: OnProgress) -> tuple[Failure, ...]:
        """Run one job; returns which of its points failed. An error elsewhere is raised."""
        if job.stage == "evaluate":
            return self._evaluate(job, resources, on_progress)
        stage = run_alignment if job.stage == "align" else run_finetuning
        try:
            stage(job, resources, self.start.run_dir, lambda done, _, loss: on_progress(Report(job, done, loss=loss)))
        except (RuntimeError, SafetensorError) as error:  # how torch and safetensors say that they cannot write
            if shutil.disk_usage(self.start.run_dir).free > DISK_FULL_BYTES:
                raise
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise cannot_write(self.start.run_dir / "checkpoints", full) from error
        return ()

    def _evaluate(self, job: Job, resources: Resources, on_progress: OnProgress) -> tuple[Failure, ...]:
        """Evaluate at every SNR that has no point yet; a point that fails leaves the others alone."""
        run_dir, failures = self.start.run_dir, []
        with evaluator(job, resources, run_dir) as evaluate:
            for done, (name, snr_db) in enumerate(zip(job.outputs, job.snr_db, strict=True), start=1):
                accuracy = None
                if not point_file(run_dir, name).is_file():
                    try:
                        evaluation = evaluate(snr_db)
                        write_point(run_dir, Point.of(job, snr_db, evaluation))
                        accuracy = sum(evaluation.correct) / len(evaluation.correct)
                    except Exception as error:
                        failures.append(Failure(name, one_line(error), traceback.format_exc()))
                on_progress(Report(job, done - len(failures), accuracy))
        return tuple(failures)
