"""Stage 2, task fine-tuning: F_m, G_m and LoRA learn to answer questions over the link, equations (17) and (18)."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from tokcom_phy.data.formats import Question
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.distributed import dropout_of_whole_batch
from tokcom_phy.training.settings import FinetuningSettings
from tokcom_phy.training.trainer import Journal, Progress, TrainingRadio, train


class FinetuningStep(nn.Module):
    """The loss of one stage-2 step, the task loss (14) over the radio."""

    def __init__(self, system: TokenCommSystem, radio: TrainingRadio):
        super().__init__()
        self.system = system
        self.radio = radio

    def forward(
        self,
        features: Mapping[str, Tensor],
        question: tuple[Tensor, Tensor],
        answer: tuple[Tensor, Tensor],
        weight: float,
        places: Sequence[int],
    ) -> dict[str, Tensor]:
        return {"loss": weight * self.system(features, question, answer, self.radio.at(places))}


def finetune(
    system: TokenCommSystem,
    questions: Sequence[Question],
    batcher: Batcher,
    radio: TrainingRadio,
    settings: FinetuningSettings,
    seed: int,
    progress: Progress | None = None,
    journal: Journal | None = None,
) -> list[float]:
    """Train F_m, G_m and the LoRA adapter together, in place, on questions and answers, equations (17) and (18).

    Returns
    -------
    list of float
        The loss of every step.
    """
    step = FinetuningStep(system, radio)
    with system.foundation.checkpointing(settings.gradient_checkpointing), dropout_of_whole_batch(system.foundation):
        return train(step, questions, batcher.questions, settings, seed, progress, journal)
