"""Stage 1, cross-modal alignment: the transceivers are trained on captioned clips, equations (9) and (11)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from tokcom_phy.data.formats import Caption
from tokcom_phy.model.losses import Pooling, contrastive_loss, pool, reconstruction_loss
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.system_config import TEXT
from tokcom_phy.model.text import TextBatch
from tokcom_phy.model.transmission import LinkUse
from tokcom_phy.training.batches import Batcher
from tokcom_phy.training.distributed import gather_rows, process_index
from tokcom_phy.training.settings import Alignment, AlignmentSettings
from tokcom_phy.training.trainer import LinkSampler, OnProgress, TrainingLogs, train


class AlignmentStep(nn.Module):
    """The loss of one stage-1 step: text reconstruction (9), and contrast (11) of every other modality with the text.

    Parameters
    ----------
    system : TokenCommSystem
    sampler : LinkSampler
    settings : AlignmentSettings
    alignment : 'contrastive' or 'reconstruction'
        Both losses, or the reconstruction loss alone.
    """

    def __init__(
        self, system: TokenCommSystem, sampler: LinkSampler, settings: AlignmentSettings, alignment: Alignment
    ):
        super().__init__()
        self.system = system
        self.sampler = sampler
        self.settings = settings
        self.alignment = alignment

    def forward(
        self, features: Mapping[str, Tensor], text: TextBatch, weight: float, sample_indices: Sequence[int]
    ) -> dict[str, Tensor]:
        if self.alignment == "reconstruction":
            features = {}
        transmission = self.system.transmit(features, text, self.sampler.at(sample_indices))
        received = self.system.receive(transmission)
        mask = transmission.masks[TEXT]
        loss = weight * reconstruction_loss(received[TEXT], transmission.sent[TEXT], mask)
        text_feature = pool(received[TEXT], mask, self.settings.pooling)
        if not self.settings.learn_text:
            text_feature = text_feature.detach()
        if features:
            text_feature, first = gather_rows(text_feature), process_index() * len(sample_indices)
        for modality in features:
            feature = pool(received[modality], how=self.settings.pooling)
            loss = loss + contrastive_loss(feature, text_feature, self.settings.temperature, first)
        return {"loss": loss}


@torch.no_grad()
def pooled_features(
    system: TokenCommSystem, captions: Mapping[str, Any], use: LinkUse, pooling: Pooling
) -> dict[str, Tensor]:
    """Features a_m (10) of captioned clips after the receivers, of the text too.

    Parameters
    ----------
    system : TokenCommSystem
    captions : as `Batcher.captions` gives them, b of them
    use : LinkUse
        With b indices.
    pooling : 'mean' or 'cls'

    Returns
    -------
    modality → float32 [b, d_T], on the CPU
    """
    batch = send_to_device(captions, next(system.parameters()).device)
    transmission = system.transmit(batch["features"], batch["text"], use)
    received = system.receive(transmission)
    masks = {TEXT: transmission.masks[TEXT]}
    return {modality: pool(tokens, masks.get(modality), pooling).cpu() for modality, tokens in received.items()}


def align(
    system: TokenCommSystem,
    captions: Sequence[Caption],
    batcher: Batcher,
    sampler: LinkSampler,
    settings: AlignmentSettings,
    alignment: Alignment,
    seed: int,
    on_progress: OnProgress | None = None,
    logs: TrainingLogs | None = None,
) -> list[float]:
    """Train F_m and G_m in place on captioned clips; the foundation model stays frozen.

    Returns
    -------
    list of float
        The loss of every step.
    """
    step = AlignmentStep(system, sampler, settings, alignment)
    return train(step, captions, batcher.captions, settings, seed, on_progress, logs)
