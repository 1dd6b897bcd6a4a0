"""What a pretraining in progress keeps on disk, so that the same call continues it after a kill, bit for bit."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tokcom_phy.utils.files import write_atomically
from tokcom_phy.utils.source_digest import source_digest

PROGRESS = "progress.safetensors"
"""File beside the model that is being made; it is removed when the model is there."""


def save_progress(out: Path, step: int, made_by: str, modules: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write weights and the optimiser's state after ``step`` steps of the training that ``made_by`` names.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    tensors = {f"model.{name}": value.detach() for name, value in modules.named_parameters()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    with write_atomically(out / PROGRESS) as path:
        save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"step": str(step), "made_by": made_by})


@torch.no_grad()
def load_progress(out: Path, made_by: str, modules: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Continue from what `save_progress` wrote; returns the steps that are done.

    Nothing is loaded, and 0 returned, where there is no such file or another training wrote it.
    """
    try:
        with safe_open(out / PROGRESS, "pt") as file:
            about = file.metadata() or {}
            if about.get("made_by") != made_by:
                return 0
            names = list(file.keys())
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError):
        return 0
    for name, parameter in modules.named_parameters():
        parameter.copy_(tensors[f"model.{name}"])
    content = optimizer.state_dict()
    content["state"] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, key = rest.partition(".")
            content["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(content)
    return int(about["step"])


def forget_progress(out: Path) -> None:
    """Remove what `save_progress` wrote."""
    (out / PROGRESS).unlink(missing_ok=True)


def training_name(**settings: object) -> str:
    """One line that tells a training from others: its settings and the digest of the code that it runs."""
    return json.dumps(
        settings | {"code": source_digest("tokcom_phy.synthetic", "tokcom_phy.pretraining")}, sort_keys=True
    )
