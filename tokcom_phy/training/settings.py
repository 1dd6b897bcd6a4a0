"""What a training stage is told: data through which link, at what SNR, for how long."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt

from tokcom_phy.losses import Pooling


def _ascending(snr_db: float | tuple[float, float]) -> float | tuple[float, float]:
    if isinstance(snr_db, tuple) and snr_db[0] > snr_db[1]:
        raise ValueError(f"range {snr_db[0]:g} to {snr_db[1]:g} dB runs backwards: give the lower SNR first")
    return snr_db


SnrRange = Annotated[FiniteFloat | tuple[FiniteFloat, FiniteFloat], AfterValidator(_ascending)]


class TrainingSettings(BaseModel):
    """One stage of training.

    Attributes
    ----------
    link : name or path of the link that is trained through
    snr_db : training SNR [dB]; a pair draws it uniformly per example
    steps, batch : optimiser steps, and examples in each
    learning_rate, final_learning_rate : the cosine schedule's ends
    weight_decay : AdamW's
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    link: str = "awgn"
    snr_db: SnrRange = 10.0
    steps: PositiveInt
    batch: PositiveInt
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


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
    """Stage 2, task fine-tuning, equations (17) and (18)."""


Alignment = Literal["contrastive", "reconstruction", "none"]
"""What stage 1 trains: contrast and reconstruction, the text reconstruction (9) alone, or no stage 1 at all."""
