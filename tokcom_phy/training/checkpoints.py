"""Checkpoints of a training in progress: digests of their files tell complete ones from damaged ones."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from accelerate import PartialState
from torch import nn
from transformers import TrainerCallback

from tokcom_phy.training.distributed import num_processes, process_index
from tokcom_phy.utils.files import write_atomically

MANIFEST = "files.json"


class ChecksumWriter(TrainerCallback):
    """Writes the digests of a checkpoint's files beside them, once all processes have written theirs."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if num_processes() > 1:
            PartialState().wait_for_everyone()
        if process_index() == 0:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            content = {"processes": num_processes(), "files": _digests(folder)}
            with write_atomically(folder / MANIFEST) as path:
                path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def last_checkpoint(folder: Path) -> str | None:
    """The last complete checkpoint that was written by as many processes as there are now."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        try:
            content = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
            if content == {"processes": num_processes(), "files": _digests(checkpoint)}:
                return str(checkpoint)
        except (OSError, ValueError):
            continue
    return None


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        str(path.relative_to(folder)): blake2b(path.read_bytes(), digest_size=16).hexdigest()
        for path in files
        if not path.name.startswith(".")
    }


@contextmanager
def without_frozen_weights(module: nn.Module) -> Iterator[None]:
    """Keep frozen weights, gigabytes of them, out of checkpoints, and do not expect them on resuming."""
    frozen = {name for name, p in module.named_parameters(remove_duplicate=False) if not p.requires_grad}

    def drop_frozen(_: nn.Module, state: dict[str, Any], prefix: str, metadata: object) -> None:
        for name in frozen & state.keys():
            del state[name]

    def expect_no_frozen(_: nn.Module, incompatible: Any) -> None:
        incompatible.missing_keys[:] = [name for name in incompatible.missing_keys if name not in frozen]

    hooks = (
        module.register_state_dict_post_hook(drop_frozen),
        module.register_load_state_dict_post_hook(expect_no_frozen),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
