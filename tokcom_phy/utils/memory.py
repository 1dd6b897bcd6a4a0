"""Memory that something is about to take, against what is free."""

from pathlib import Path

import psutil
import torch
from rich.filesize import decimal

from tokcom_phy.utils.errors import UserError

_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
"""What a container may take, and has taken."""


def check_memory(what: str, needed: int, device: str, mend: str) -> None:
    """Check that there is memory for something before it is made.

    Parameters
    ----------
    what : str
        Subject of the message, such as ``link 'mine' draws 32 examples``.
    needed : int
        Estimate of the peak [bytes].
    device : str
        Torch device that holds it.
    mend : str
        What to lower.

    Raises
    ------
    UserError
        If less is free.
    """
    if needed < 2**28:
        return
    free = free_memory(device)
    if needed > free:
        raise UserError(f"{what}: this takes about {decimal(needed)} of memory, {decimal(free)} are free: {mend}")


def free_memory(device: str = "cpu") -> int:
    """Memory that this process may still take on a device [bytes]."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    try:
        return max(min(free, int(_LIMIT.read_text()) - int(_USED.read_text())), 0)
    except (OSError, ValueError):  # no container, or one without a limit
        return free
