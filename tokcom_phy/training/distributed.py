"""Data-parallel training: several processes train one system, each on an equal part of every batch.

``accelerate launch`` starts them; the Trainer wraps the module in DistributedDataParallel, which averages gradients
over the processes. The functions here make that average the gradient of the whole batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather, reduce
from torch import Tensor, nn

PROCESS_GROUP_TIMEOUT_S = 24 * 3600
"""How long a process waits for the others, one of which may be preparing data [s]."""


def num_processes() -> int:
    """How many processes train together, 1 unless several were launched; the first call forms the process group."""
    return _state().num_processes


def process_index() -> int:
    """The rank of this process."""
    return _state().process_index


def _state() -> PartialState:
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(seconds=PROCESS_GROUP_TIMEOUT_S))


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, [b, …] → [processes · b, …]; gradients return to the process of each row."""
    if num_processes() == 1:
        return rows
    return _GatherRows.apply(rows)


class _GatherRows(torch.autograd.Function):
    """The differentiable gather of `gather_rows`; PyTorch's own is private and was renamed between releases."""

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        return gather(rows.contiguous())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return reduce(gradient.contiguous(), "sum").unflatten(0, (num_processes(), -1))[process_index()]


@contextmanager
def dropout_of_whole_batch(module: nn.Module) -> Iterator[None]:
    """Apply to each process's part of the batch the dropout mask that a single process would apply to it.

    All processes draw the mask of the whole batch from the same random state and keep their own rows.
    """
    processes, index = num_processes(), process_index()

    def widen(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (part,) = inputs
        whole = part.new_zeros(processes, *part.shape)
        whole[index] = part
        return whole.flatten(0, 1)

    def narrow(_: nn.Module, inputs: tuple[Tensor], whole: Tensor) -> Tensor:
        return whole.unflatten(0, (processes, -1))[index]

    hooks = []
    if processes > 1:
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                hooks += [part.register_forward_pre_hook(widen), part.register_forward_hook(narrow)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
