"""What a job leaves in the run directory: a trained system, whole or not at all, and points."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from tokcom_phy.experiments.run_dir import UNFINISHED
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.training.distributed import process_index
from tokcom_phy.utils.files import TEMPORARY, cannot_write, write_atomically


def unfinished(folder: Path) -> Path:
    """Where the checkpoints of a training are kept that will end in ``folder``."""
    return folder.with_name(f"{TEMPORARY}{folder.name}{UNFINISHED}")


def save_training(
    system: TokenCommSystem, losses: list[float], folder: Path, features: Mapping[str, Tensor] | None = None
) -> None:
    """Save a trained system, its losses and features, from rank 0; then remove the checkpoints of its training.

    The folder appears in one step, or not at all.

    Parameters
    ----------
    system : TokenCommSystem
    losses : list of float
        Loss of every step [nat].
    folder : Path
    features : name → float32 tensor, optional

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    if process_index() > 0:
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{folder.name}.", dir=folder.parent) as scratch:
            half = Path(scratch) / folder.name
            system.save_pretrained(half)
            (half / "losses.json").write_text(json.dumps([round(loss, 6) for loss in losses]) + "\n")
            if features:
                with write_atomically(half / "features.safetensors") as temporary:
                    save_file(dict(features), temporary)
            if not folder.is_dir():
                half.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    shutil.rmtree(unfinished(folder), ignore_errors=True)
