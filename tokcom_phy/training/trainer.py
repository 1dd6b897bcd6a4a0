"""Training of a module, on transformers' Trainer."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations import TensorBoardCallback

from tokcom_phy.model.transmission import LinkUse
from tokcom_phy.radio import Link
from tokcom_phy.training.batches import EpochSampler
from tokcom_phy.training.checkpoints import ChecksumWriter, last_checkpoint, without_frozen_weights
from tokcom_phy.training.distributed import num_processes, process_index
from tokcom_phy.training.interrupts import StopAfterStep, signals_after_step
from tokcom_phy.training.settings import TrainingSettings
from tokcom_phy.utils.errors import UserError, one_line

OnProgress = Callable[[int, int, float | None], None]
"""Called with (steps done, steps in all, last loss that was logged or None)."""

TENSORBOARD = "tensorboard"


class LinkSampler:
    """A new realisation of the link, and a random SNR if it is a range, for every training sample.

    Parameters
    ----------
    link : Link
    snr_db : float or (low, high)
        Fixed, or uniform per example in a range [dB].
    seed : int
    """

    def __init__(self, link: Link, snr_db: float | tuple[float, float], seed: int):
        self.link = link
        self.snr_db = snr_db
        self.seed = seed

    def at(self, sample_indices: Sequence[int]) -> LinkUse:
        """The link use of some training samples, numbered as by `tokcom_phy.training.batches.EpochSampler`."""
        snr_db: float | torch.Tensor
        if isinstance(self.snr_db, tuple):
            draws = [np.random.default_rng((self.seed, index)).uniform(*self.snr_db) for index in sample_indices]
            snr_db = torch.tensor(draws, dtype=torch.float32)
        else:
            snr_db = self.snr_db
        return LinkUse(self.link, snr_db, self.seed, sample_indices)


@dataclass(frozen=True)
class TrainingLogs:
    """Where a training writes its checkpoints and logs.

    Attributes
    ----------
    name : name of the training in logs
    checkpoints : folder of the Trainer's checkpoints; the caller deletes it once the result is saved
    tensorboard : folder of TensorBoard's files
    """

    name: str
    checkpoints: Path
    tensorboard: Path


class _ProgressReport(TrainerCallback):
    def __init__(self, on_progress: OnProgress, stop: StopAfterStep):
        self.on_progress = on_progress
        self.stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.stop.signal is None:  # else the listener may be gone
            logged = state.log_history[-1].get("loss") if state.log_history else None
            self.on_progress(state.global_step, state.max_steps, logged)


class _DivergenceGuard(TrainerCallback):
    """Ends a training whose loss does not stay finite."""

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        loss = state.log_history[-1].get("loss", 0.0)
        if not math.isfinite(loss):
            raise UserError(f"training diverged: the loss is {loss} at step {state.global_step}; lower learning_rate")


def train(
    module: nn.Module,
    items: Sequence,
    collate: Callable[[Sequence, slice], dict],
    settings: TrainingSettings,
    seed: int,
    on_progress: OnProgress | None = None,
    logs: TrainingLogs | None = None,
) -> list[float]:
    """Train what requires a gradient in ``module`` with the Trainer's optimisers and schedules.

    An interrupt (SIGINT) or a request to terminate (SIGTERM) takes effect after the current step, once that step is
    saved; a second one takes effect at once.

    Parameters
    ----------
    module : nn.Module
        Its forward takes what ``collate`` returns and the ``sample_indices`` (`LinkSampler.at`), and returns
        ``{"loss": scalar}``, a mean over examples.
    items : the data
    collate : callable
        Makes a batch of a part (a slice) of the items of a step.
    settings : TrainingSettings
    seed : int
        Seeds the order of the data and dropout.
    on_progress : callable, optional
    logs : TrainingLogs, optional
        Without it nothing is written. With it, an interrupted training resumes from its last complete checkpoint and
        gives the results of an uninterrupted one.

    Returns
    -------
    list of float
        The loss of every step.

    Raises
    ------
    UserError
        If there are fewer items than a batch takes, a batch does not split evenly over the processes, optimiser or
        schedule cannot be made, or the loss does not stay finite.
    """
    settings.check_data(len(items), num_processes())
    parts = num_processes() * settings.accumulation
    sampler = EpochSampler(len(items), settings.steps, settings.batch, seed)

    def part_of_step(sample_indices: list[int]) -> dict:
        first = sample_indices[0] % settings.batch
        step = [items[i] for i in sampler.step(sample_indices[0])]
        return {**collate(step, slice(first, first + len(sample_indices))), "sample_indices": sample_indices}

    stop = StopAfterStep()
    alone = num_processes() == 1
    with (
        _folder(logs) as folder,
        without_frozen_weights(module),
        signals_after_step(stop, wanted=logs is not None and alone),
    ):
        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch // parts,
            gradient_accumulation_steps=settings.accumulation,
            train_sampling_strategy="sequential",
            learning_rate=settings.learning_rate,
            optim=settings.optimizer,
            adam_beta1=settings.adam_beta1,
            adam_beta2=settings.adam_beta2,
            adam_epsilon=settings.adam_epsilon,
            lr_scheduler_type=settings.lr_scheduler_type,
            lr_scheduler_kwargs=settings.scheduler_arguments(),
            warmup_steps=settings.warmup_steps,
            max_grad_norm=settings.max_grad_norm,
            weight_decay=settings.weight_decay,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="steps" if logs else "no",
            save_steps=settings.checkpoint_steps,
            save_total_limit=2,
            report_to=[tracker for tracker in settings.report_to if tracker != TENSORBOARD] if logs else "none",
            run_name=logs.name if logs else None,
            disable_tqdm=True,
            remove_unused_columns=False,
            ddp_find_unused_parameters=True,
            dataloader_pin_memory=torch.cuda.is_available(),
            use_cpu=not torch.cuda.is_available(),
            seed=seed,
        )
        arguments._n_gpu = min(arguments.n_gpu, 1)  # else DataParallel, which cannot split sample_indices
        trainer = Trainer(model=module, args=arguments, train_dataset=sampler, data_collator=part_of_step)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_DivergenceGuard())
        trainer.add_callback(stop)
        trainer.add_callback(ChecksumWriter())
        if on_progress:
            trainer.add_callback(_ProgressReport(on_progress, stop))
        if logs and TENSORBOARD in settings.report_to:
            trainer.add_callback(_tensorboard(logs.tensorboard))
        _make_optimizer(trainer, settings)
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


@contextmanager
def _folder(logs: TrainingLogs | None) -> Iterator[Path]:
    if logs:
        yield logs.checkpoints
        return
    with tempfile.TemporaryDirectory(prefix="tokcom-") as scratch:
        yield Path(scratch)


def _make_optimizer(trainer: Trainer, settings: TrainingSettings) -> None:
    """Build optimiser and schedule before training, so that wrong settings end in one line."""
    try:
        trainer.create_optimizer_and_scheduler(settings.steps)
    except Exception as error:  # any error of the optimiser's library
        raise UserError(
            f"optimizer '{settings.optimizer}' with lr_scheduler_type '{settings.lr_scheduler_type}' cannot be made "
            f"({one_line(error)})"
        ) from error


def _tensorboard(folder: Path) -> TensorBoardCallback:
    from torch.utils.tensorboard import SummaryWriter  # an extra

    return TensorBoardCallback(SummaryWriter(str(folder)) if process_index() == 0 else None)
