import pytest
import torch
from torch import nn

from tokcom_phy.data.formats import Caption
from tokcom_phy.errors import UserError
from tokcom_phy.training.batches import Items
from tokcom_phy.training.settings import FinetuningSettings
from tokcom_phy.training.trainer import train


class Line(nn.Module):
    """Fits y = 3 x by one weight; ``broken`` makes its loss NaN."""

    def __init__(self, broken: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.broken = broken

    def forward(self, x):
        loss = (self.weight * x - 3 * x).square().mean()
        return {"loss": loss * float("nan") if self.broken else loss}


def collate(captions):
    return {"x": torch.tensor([[float(c.text)] for c in captions])}


ITEMS = Items([Caption(f"v{i}", str(i / 8)) for i in range(1, 17)])


def settings(**changes):
    return FinetuningSettings(**{"steps": 60, "batch": 8, "learning_rate": 0.2, "final_learning_rate": 0.01, **changes})


def test_every_step_has_its_loss_and_training_converges():
    line = Line()
    told = []
    losses = train(line, ITEMS, collate, settings(), 0, lambda done, of: told.append((done, of)))
    assert len(losses) == 60
    assert told == [(i, 60) for i in range(1, 61)]
    assert line.weight.item() == pytest.approx(3.0, abs=0.05)


def test_same_seed_same_losses_other_seed_other_order():
    runs = [train(Line(), ITEMS, collate, settings(), seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_too_few_items_for_a_batch_are_refused():
    with pytest.raises(UserError, match="16 training items do not fill a batch of 17"):
        train(Line(), ITEMS, collate, settings(batch=17), 0)


def test_a_diverged_training_is_refused_not_kept():
    with pytest.raises(UserError, match="diverged: the loss is nan at step 1"):
        train(Line(broken=True), ITEMS, collate, settings(steps=2), 0)
