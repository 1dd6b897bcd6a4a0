"""One training run through a link, on transformers' Trainer."""

import math
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from tokcom_phy.errors import UserError
from tokcom_phy.radio import Link
from tokcom_phy.system import Radio
from tokcom_phy.training.batches import Items
from tokcom_phy.training.settings import TrainingSettings

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


class TrainingRadio:
    """A fresh realisation of the link for every example of every step.

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
        self.used = 0

    def next(self, batch: int) -> Radio:
        """The radio of the next ``batch`` examples."""
        first = self.used
        self.used += batch
        snr_db: float | torch.Tensor
        if isinstance(self.snr_db, tuple):
            draws = np.random.default_rng((self.seed, first)).uniform(*self.snr_db, size=batch)
            snr_db = torch.as_tensor(draws, dtype=torch.float32)
        else:
            snr_db = self.snr_db
        return Radio(self.link, snr_db, self.seed, range(first, first + batch))


class _Report(TrainerCallback):
    def __init__(self, progress: Progress | None):
        self.progress = progress
        self.losses: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.progress:
            self.progress(state.global_step, state.max_steps)


def train(
    module: nn.Module,
    items: Items,
    collate: Callable[[Sequence], dict],
    settings: TrainingSettings,
    seed: int,
    progress: Progress | None = None,
) -> list[float]:
    """Train what requires a gradient in ``module`` with AdamW and a cosine schedule.

    Parameters
    ----------
    module : nn.Module
        Its forward takes what ``collate`` returns and gives ``{"loss": scalar}``.
    items, collate : the data and what makes a batch of it
    settings : TrainingSettings
    seed : int
        Seeds the order of the data and dropout.
    progress : callable, optional

    Returns
    -------
    list of float
        The loss of every step.

    Raises
    ------
    UserError
        If there are fewer items than a batch takes, or the loss does not stay finite.
    """
    if len(items) < settings.batch:
        raise UserError(f"{len(items)} training items do not fill a batch of {settings.batch}: lower batch or add data")
    report = _Report(progress)
    with tempfile.TemporaryDirectory(prefix="tokcom-") as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr": settings.final_learning_rate},
            weight_decay=settings.weight_decay,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_drop_last=True,
            dataloader_pin_memory=torch.cuda.is_available(),
            seed=seed,
        )
        trainer = Trainer(model=module, args=arguments, train_dataset=items, data_collator=collate, callbacks=[report])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    for step, loss in enumerate(report.losses, start=1):
        if not math.isfinite(loss):
            raise UserError(f"training diverged: the loss is {loss} at step {step}; lower learning_rate")
    return report.losses
