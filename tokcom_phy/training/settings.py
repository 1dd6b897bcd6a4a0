"""What a training stage is told: data through which link, at what SNR, for how long."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

from tokcom_phy.model.losses import Pooling
from tokcom_phy.utils.errors import UserError


def _ascending(snr_db: float | tuple[float, float]) -> float | tuple[float, float]:
    if isinstance(snr_db, tuple) and snr_db[0] > snr_db[1]:
        raise ValueError(f"range {snr_db[0]:g} to {snr_db[1]:g} dB runs backwards: give the lower SNR first")
    return snr_db


def _installed(tracker: str) -> str:
    if find_spec(tracker) is None:
        raise ValueError(f"{tracker} is not installed: pip install {tracker}")
    return tracker


SnrRange = Annotated[FiniteFloat | tuple[FiniteFloat, FiniteFloat], AfterValidator(_ascending)]
Tracker = Annotated[Literal["tensorboard", "trackio", "wandb"], AfterValidator(_installed)]


class TrainingSettings(BaseModel):
    """One stage of training.

    Attributes
    ----------
    link : name or path of the link that is trained through
    snr_db : training SNR [dB]; a pair draws it uniformly per example
    steps, batch : optimiser steps, and examples in each, on however many processes
    accumulation : in how many parts, one after the other, a step's examples are computed; the contrastive loss (11)
        sees the negatives of its part
    learning_rate, final_learning_rate : the cosine schedule's ends
    weight_decay : AdamW's
    checkpoint_steps : a killed training continues from the last multiple of so many steps
    report_to : where the loss of every step is drawn while it trains
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    link: str = "awgn"
    snr_db: SnrRange = 10.0
    steps: PositiveInt
    batch: PositiveInt
    accumulation: PositiveInt = 1
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    checkpoint_steps: PositiveInt = 100
    report_to: tuple[Tracker, ...] = ()

    @model_validator(mode="after")
    def _equal_parts(self) -> "TrainingSettings":
        if self.batch % self.accumulation:
            raise ValueError(f"batch {self.batch} does not split into {self.accumulation} equal parts (accumulation)")
        return self

    def check_data(self, num_items: int, num_processes: int = 1) -> None:
        """See that there is data for a batch, and that it splits evenly over the processes that train together.

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
    """Stage 1, cross-modal alignment.

    Attributes
    ----------
    temperature : τ of the contrastive loss (11)
    pooling : how tokens become one feature (10)
    learn_text : whether the contrastive loss also trains the text receiver; the paper detaches the text feature
    checkpoint : folder of a saved or imported system whose transceivers are taken as they are, in place of training
        with the contrastive loss
    """

    temperature: Annotated[float, Field(gt=0)] = 0.07
    pooling: Pooling = "mean"
    learn_text: bool = False
    checkpoint: Path | None = None


class FinetuningSettings(TrainingSettings):
    """Stage 2, task fine-tuning, equations (17) and (18).

    Attributes
    ----------
    gradient_checkpointing : whether the foundation model's layers are computed again in the backward pass instead of
        being kept in memory; changes no result
    """

    gradient_checkpointing: bool = False


Alignment = Literal["contrastive", "reconstruction", "none"]
"""What stage 1 trains: contrast and reconstruction, the text reconstruction (9) alone, or no stage 1 at all."""
