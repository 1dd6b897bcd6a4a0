"""Settings of the two training stages."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from tokcom_phy.model.losses import Pooling
from tokcom_phy.utils.bounds import Snr, Within
from tokcom_phy.utils.errors import UserError, nearest
from tokcom_phy.utils.settings import Strict


def _snr_range(snr_db: float | tuple[float, float]) -> float | tuple[float, float]:
    for snr in snr_db if isinstance(snr_db, tuple) else (snr_db,):
        Snr.check(snr)
    if isinstance(snr_db, tuple) and snr_db[0] > snr_db[1]:
        raise ValueError(f"range {snr_db[0]:g} to {snr_db[1]:g} dB runs backwards: give the lower SNR first")
    return snr_db


def _installed(tracker: str) -> str:
    if find_spec(tracker) is None:
        raise ValueError(f"{tracker} is not installed: pip install {tracker}")
    return tracker


def _optimizer(name: str) -> str:
    if name != OPTIMIZER:
        from transformers.training_args import OptimizerNames  # slow to import

        known = [optimizer.value for optimizer in OptimizerNames]
        if name not in known:
            raise ValueError(f"unknown optimizer '{name}': {nearest(name, known)}")
    return name


def _scheduler(name: str) -> str:
    if name != SCHEDULER:
        from transformers.trainer_utils import SchedulerType  # slow to import

        known = [kind.value for kind in SchedulerType if kind.value not in NEED_EVALUATION]
        if name not in known:
            raise ValueError(f"unknown lr_scheduler_type '{name}': {nearest(name, known)}")
    return name


OPTIMIZER, SCHEDULER = "adamw_torch_fused", "cosine_with_min_lr"
"""The paper's: AdamW, and a cosine schedule down to a final learning rate."""

NEED_EVALUATION = ("reduce_lr_on_plateau", "greedy")
"""Schedules that follow an evaluation loss, which no stage computes."""

FINAL_RATE = {"cosine_with_min_lr": "min_lr", "cosine_warmup_with_min_lr": "min_lr", "polynomial": "lr_end"}
"""Schedules that end at a given learning rate, and what they call it."""

SnrRange = Annotated[FiniteFloat | tuple[FiniteFloat, FiniteFloat], AfterValidator(_snr_range)]
Steps = Annotated[PositiveInt, Within(1, 10**9, "no training has more steps")]
Examples = Annotated[PositiveInt, Within(1, 10**6, "no memory holds the examples of a larger step")]
Rate = Annotated[float, Within(0, 100, "a larger step or decay leads nowhere")]
Tracker = Annotated[Literal["tensorboard", "trackio", "wandb"], AfterValidator(_installed)]


class TrainingSettings(Strict):
    """One stage of training."""

    link: str = "awgn"
    """Name or path of the link that is trained through."""
    snr_db: SnrRange = 10.0
    """Training SNR [dB]. A pair is a range from which it is drawn uniformly, per example."""
    steps: Steps
    """Optimiser steps."""
    batch: Examples
    """Examples in an optimiser step, over all processes."""
    accumulation: Examples = 1
    """Number of equal parts in which a step's examples are computed one after the other, to save memory. The
    contrastive loss (11) has the negatives of its own part only."""
    optimizer: Annotated[str, AfterValidator(_optimizer)] = OPTIMIZER
    """Optimiser, by its name in transformers (``optim`` of TrainingArguments), such as adafactor or sgd."""
    learning_rate: Annotated[Rate, Field(gt=0)]
    """Highest learning rate of the schedule."""
    final_learning_rate: Rate = 1e-6
    """Learning rate at the last step, for cosine_with_min_lr, cosine_warmup_with_min_lr and polynomial."""
    lr_scheduler_type: Annotated[str, AfterValidator(_scheduler)] = SCHEDULER
    """Learning rate schedule, by its name in transformers, such as linear or constant_with_warmup."""
    lr_scheduler_kwargs: dict[str, float | int | str] = {}  # noqa: RUF012  # pydantic copies it
    """Further arguments of the schedule, such as ``{num_cycles: 2}`` for cosine_with_restarts."""
    warmup_steps: Annotated[NonNegativeInt, Within(0, 10**9, "no training has more steps")] = 0
    """Optimiser steps in which the learning rate rises from 0, for schedules that warm up."""
    weight_decay: Rate = 0.0
    """Decoupled weight decay, of optimisers that have one."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the mean gradient, of optimisers of Adam's kind."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the mean squared gradient, of optimisers of Adam's kind."""
    adam_epsilon: Annotated[Rate, Field(gt=0)] = 1e-8
    """Added to the root of the mean squared gradient, of optimisers of Adam's kind."""
    max_grad_norm: Annotated[float, Within(0, 1e9, "0 clips nothing")] = 1.0
    """Norm to which the gradient is clipped; 0 clips nothing."""
    checkpoint_steps: Steps = 100
    """Optimiser steps between checkpoints. A training that was killed resumes from the last; one that was interrupted
    saves its step first."""
    report_to: tuple[Tracker, ...] = ()
    """Trackers to which the loss of every step is reported while it trains: tensorboard, trackio or wandb."""

    def scheduler_arguments(self) -> dict[str, float | int | str]:
        """The schedule's arguments, its final learning rate among them."""
        final = FINAL_RATE.get(self.lr_scheduler_type)
        return {**({final: self.final_learning_rate} if final else {}), **self.lr_scheduler_kwargs}

    @model_validator(mode="after")
    def _equal_parts(self) -> "TrainingSettings":
        if self.batch % self.accumulation:
            raise ValueError(f"batch {self.batch} does not split into {self.accumulation} equal parts (accumulation)")
        return self

    def check_data(self, num_items: int, num_processes: int = 1) -> None:
        """Check that there is data for a batch, and that it splits evenly over the processes.

        Raises
        ------
        UserError
        """
        if num_items < self.batch:
            raise UserError(f"{num_items} training items do not fill a batch of {self.batch}: lower batch or add data")
        parts = num_processes * self.accumulation
        if self.batch % parts:
            raise UserError(
                f"a batch of {self.batch} does not split evenly over {num_processes} processes with accumulation "
                f"{self.accumulation}: make batch a multiple of {parts}"
            )


class AlignmentSettings(TrainingSettings):
    """Stage 1, cross-modal alignment."""

    temperature: Annotated[float, Within(1e-4, 1e4, "similarities over it vanish or overflow")] = 0.07
    """τ of the contrastive loss (11)."""
    pooling: Pooling = "mean"
    """How tokens become one feature (10): their mean, or the first token (cls)."""
    learn_text: bool = False
    """Whether the contrastive loss trains the text receiver too. The paper detaches the text feature."""
    checkpoint: Path | None = None
    """Folder of a saved or imported system whose transceivers are taken as they are, in place of training with the
    contrastive loss."""


class LoraSettings(Strict):
    """The low-rank adapter of the foundation model, equations (13), (15) and (16); keys of PEFT's LoraConfig."""

    r: Annotated[PositiveInt, Within(1, 65536, "no matrix of a language model has a higher rank")] = 4
    """Rank of the adapter's matrices."""
    alpha: Annotated[PositiveInt | PositiveFloat, Within(0, 1e6, "a larger scale leads nowhere")] = 16
    """Scale of the adapter: its product is multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of the adapter's input while training."""
    targets: tuple[str, ...] | None = None
    """Names of the modules that are adapted. By default q_proj and v_proj, as in the paper, or what PEFT adapts in a
    model that has none of that name."""


class FinetuningSettings(TrainingSettings):
    """Stage 2, task fine-tuning, equations (17) and (18)."""

    lora: LoraSettings = LoraSettings()
    """The adapter of the foundation model."""
    gradient_checkpointing: bool = False
    """Whether the foundation model's layers are computed again in the backward pass instead of being kept in memory;
    changes no result."""


Alignment = Literal["contrastive", "reconstruction", "none"]
"""What stage 1 trains: contrast and reconstruction, the text reconstruction (9) alone, or no stage 1 at all."""
