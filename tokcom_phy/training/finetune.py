"""Stage 2, task fine-tuning: F_m, G_m and LoRA learn to answer questions over the link, equations (17) and (18)."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from tokcom_phy.data.formats import Question
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.text import TextBatch
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.distributed import dropout_of_whole_batch
from tokcom_phy.training.settings import FinetuningSettings
from tokcom_phy.training.trainer import LinkSampler, OnProgress, TrainingLogs, train


class FinetuningStep(nn.Module):
    """The loss of one stage-2 step: the task loss (14), over the link."""

    def __init__(self, system: TokenCommSystem, sampler: LinkSampler):
        super().__init__()
        self.system = system
        self.sampler = sampler

    def forward(
        self,
        features: Mapping[str, Tensor],
        question: TextBatch,
        answer: TextBatch,
        weight: float,
        sample_indices: Sequence[int],
    ) -> dict[str, Tensor]:
        return {"loss": weight * self.system(features, question, answer, self.sampler.at(sample_indices))}


def finetune(
    system: TokenCommSystem,
    questions: Sequence[Question],
    batcher: Batcher,
    sampler: LinkSampler,
    settings: FinetuningSettings,
    seed: int,
    on_progress: OnProgress | None = None,
    logs: TrainingLogs | None = None,
) -> list[float]:
    """Train F_m, G_m and the LoRA adapter together, in place, on questions and answers, equations (17) and (18).

    Returns
    -------
    list of float
        The loss of every step.
    """
    step = FinetuningStep(system, sampler)
    with system.foundation.checkpointing(settings.gradient_checkpointing), dropout_of_whole_batch(system.foundation):
        return train(step, questions, batcher.questions, settings, seed, on_progress, logs)
