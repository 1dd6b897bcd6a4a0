"""Two processes that train together have the losses of one that trains alone."""

import json

import pytest
import torch
import training_case
from two_processes import run_on_two

from tokcom_phy.model.losses import contrastive_loss
from tokcom_phy.training.distributed import gather_rows, num_processes


@pytest.mark.long
def test_two_processes_have_the_losses_of_one(foundation_folder, tmp_path):
    """Both stages with all their parts: negatives of all processes, questions and answers of unequal lengths, dropout,
    SNRs drawn from a range, fading, and transceivers that some steps leave unused."""
    alone = training_case.train_both_stages(foundation_folder, tmp_path)
    for done in run_on_two(training_case.__file__, foundation_folder, tmp_path):
        assert done.returncode == 0, done.stderr
    for process in range(2):
        losses = json.loads((tmp_path / f"losses-{process}.json").read_text())
        assert losses["stage 1"] == pytest.approx(alone["stage 1"], rel=1e-5)
        assert losses["stage 2"] == pytest.approx(alone["stage 2"], rel=1e-5)


def test_contrast_of_the_parts_is_that_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    features, texts = torch.randn(2, 8, 5, generator=generator)
    parts = [contrastive_loss(features[i : i + 4], texts, first=i) for i in (0, 4)]
    torch.testing.assert_close(sum(parts) / 2, contrastive_loss(features, texts))


def test_one_process_gathers_nothing():
    rows = torch.ones(2, 3)
    assert num_processes() == 1
    assert gather_rows(rows) is rows
