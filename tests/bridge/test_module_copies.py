"""Copies of wrapped blocks, and blocks in the workers of a data loader."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorflow_blocks import Filter, dense, saturate
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tokcom_phy.bridge import TensorFlowModule
from tokcom_phy.utils.errors import UserError


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
@pytest.mark.parametrize("make", [lambda: dense(3, 2), Filter, lambda: saturate], ids=["keras", "module", "function"])
def test_copies_are_equal_and_independent(duplicate, make):
    module = TensorFlowModule(make())
    x = torch.randn(4, 3)
    expected = module(x)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.0)
    twin = duplicate(module)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    twin(x)
    assert torch.equal(module(x), expected)


class Received(Dataset):
    """Items that a TensorFlow block computes."""

    def __init__(self, module: nn.Module):
        self.module = module

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        x = torch.full((3,), float(index), requires_grad=True)
        result = self.module(x[None])[0]
        return torch.autograd.grad(result.sum(), x)[0] + result.detach()


def test_data_loader_workers_that_start_afresh_compute_the_same():
    items = Received(TensorFlowModule(dense(3, 3)))
    loaded = torch.cat(list(DataLoader(items, batch_size=4, num_workers=1, multiprocessing_context="spawn")))
    torch.testing.assert_close(loaded, torch.stack([items[i] for i in range(8)]))


def test_data_loader_worker_that_was_forked_from_a_running_tensorflow_says_so():
    items = Received(TensorFlowModule(dense(3, 3)))
    with pytest.raises(UserError, match=r'multiprocessing_context="spawn"'):
        list(DataLoader(items, num_workers=1, multiprocessing_context="fork"))


def test_data_loader_workers_forked_before_tensorflow_runs_compute_the_same():
    code = (
        "import sys; sys.path.append('../unit'); import torch; from torch.utils.data import DataLoader; "
        "from test_module_copies import *; "
        "print(torch.cat(list(DataLoader(Received(TensorFlowModule(saturate)), num_workers=2, "
        "multiprocessing_context='fork')))[:, 0].tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True, cwd=Path(__file__).parent
    )
    x = torch.arange(8.0)
    torch.testing.assert_close(torch.tensor(eval(run.stdout)), x.tanh() + x**3 + 1 - x.tanh() ** 2 + 3 * x**2)
