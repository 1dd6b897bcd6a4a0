"""Tables of block error rate against SNR over AWGN, one for each code: shipped, or measured on first use."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from tokcom_phy.radio.bler_measurement import measure_bler
from tokcom_phy.radio.blockcode import ITERATIONS, BlockCode
from tokcom_phy.radio.engine import engine
from tokcom_phy.radio.redundancy import redundancy_versions
from tokcom_phy.radio.scheme import CRC_BITS
from tokcom_phy.radio.sionna import default_device
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import cache_folder, write_atomically

Share = Annotated[float, Field(gt=0, lt=1)]
_COLUMN = Field(min_length=2)
_SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "bler"


class CodeKey(NamedTuple):
    """What a code's error rate depends on: information bits without the CRC's, symbols, and bits per QAM symbol."""

    num_info_bits: int
    num_symbols: int
    bits_per_symbol: int

    def file_name(self, rounds: int = 1) -> str:
        """Name of the file with the table of this code, after rounds of incremental redundancy."""
        name = f"{self.num_info_bits}-bits-{self.num_symbols}-symbols-{2**self.bits_per_symbol}-qam"
        return f"{name}.json" if rounds == 1 else f"{name}-{rounds}-rounds.json"


class TableFile(BaseModel):
    """The content of a table file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    num_info_bits: int
    num_symbols: int
    bits_per_symbol: int
    crc_bits: int
    rounds: int = 1
    """Redundancy versions that were sent and decoded together, in their order."""

    iterations: int
    """Of belief propagation."""

    channel: Literal["awgn"]
    method: str
    blocks: int
    """Noise directions that were tried, see `tokcom_phy.radio.bler_measurement`."""

    codec: str
    """Whose encoder and decoder were measured."""

    snr_db: list[FiniteFloat] = _COLUMN
    """Es/N0 [dB], rising."""

    bler: list[Share] = _COLUMN
    """Not rising."""

    std_error: list[FiniteFloat] = _COLUMN

    def fits(self, key: CodeKey, rounds: int) -> bool:
        own = (self.num_info_bits, self.num_symbols, self.bits_per_symbol, self.crc_bits, self.rounds, self.iterations)
        return own == (*key, CRC_BITS, rounds, ITERATIONS)


@dataclass(frozen=True)
class BlerTable:
    """Block error rate against SNR: the log-odds are linear in decibels between points and beyond the last ones.

    Attributes
    ----------
    snr_db : float64 [points], rising
    log_odds : float64 [points]
        log(BLER / (1 − BLER)).
    """

    snr_db: Tensor
    log_odds: Tensor

    def bler(self, snr_db: Tensor) -> Tensor:
        """Block error rate at effective SNRs [dB], float32 of their shape; one where the SNR is −∞ and zero at ∞."""
        grid = self.snr_db.to(snr_db.device)
        odds = self.log_odds.to(snr_db.device)
        right = torch.searchsorted(grid, snr_db.double().contiguous()).clamp(1, len(grid) - 1)
        slope = (odds[right] - odds[right - 1]) / (grid[right] - grid[right - 1])
        return torch.sigmoid(odds[right] + slope * (snr_db.double() - grid[right])).float()

    def snr_db_at(self, bler: float) -> float:
        """SNR at a block error rate within the table [dB]."""
        return float(np.interp(-np.log(bler / (1 - bler)), -self.log_odds.numpy(), self.snr_db.numpy()))


@lru_cache(maxsize=256)
def bler_table(key: CodeKey, rounds: int = 1) -> BlerTable:
    """The table of a code: the shipped one, that of the cache folder, or one that is measured now, which takes minutes.

    Parameters
    ----------
    key : CodeKey
        Of the first round.
    rounds : int
        Rounds of incremental redundancy, all at the same SNR.

    Raises
    ------
    UserError
        If a table file is damaged or belongs to another code, or a new one cannot be measured or written.
    """
    name = key.file_name(rounds)
    for path in (_SHIPPED / name, cache_folder() / "bler" / name):
        if path.exists():
            return read_table(path, key, rounds)
    write_table(path, key, rounds)
    return read_table(path, key, rounds)


def read_table(path: Path, key: CodeKey, rounds: int = 1) -> BlerTable:
    """Read the table of a code, after rounds of incremental redundancy, from a file.

    Raises
    ------
    UserError
        If the file is damaged or belongs to another code.
    """
    try:
        table = TableFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"BLER table {path} is damaged: delete it, and it is measured anew") from error
    if not table.fits(key, rounds):
        raise UserError(
            f"BLER table {path} is of another code ({table.num_info_bits} bits, {table.num_symbols} symbols, "
            f"{2**table.bits_per_symbol}-QAM, rounds {table.rounds}, {table.iterations} iterations): delete it, and it "
            "is measured anew"
        )
    snr_db, bler = np.asarray(table.snr_db), np.asarray(table.bler)
    lengths = {len(snr_db), len(bler), len(table.std_error)}
    if len(lengths) > 1 or (np.diff(snr_db) <= 0).any() or (np.diff(bler) > 0).any() or bler[0] == bler[-1]:
        raise UserError(f"BLER table {path} is damaged: delete it, and it is measured anew")
    return BlerTable(torch.from_numpy(snr_db), torch.from_numpy(np.log(bler / (1 - bler))))


def write_table(path: Path, key: CodeKey, rounds: int = 1) -> None:
    """Measure the table of a code, with a progress bar on standard error, and write it.

    Raises
    ------
    UserError
        If the file cannot be written, or the engine has no redundancy versions.
    """
    if rounds > 1 and engine() == "tensorflow":
        raise UserError(
            f"no BLER table {path.name}, and Sionna 1 cannot measure redundancy versions: use combining chase, or "
            "Sionna 2"
        )
    console = Console(stderr=True)
    what = f"{key.num_info_bits} bits in {rounds * key.num_symbols} symbols"
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with write_atomically(path) as temporary, bar as progress:  # a folder that is not writable shows before the minutes
        task = progress.add_task(f"measuring BLER of {what}", total=1.0)
        snr_db, bler, error, blocks = measure_bler(
            BlockCode(*key, default_device()),
            redundancy_versions(rounds),
            lambda share: progress.update(task, completed=share),
        )
        table = TableFile(
            **key._asdict(),
            crc_bits=CRC_BITS,
            rounds=rounds,
            iterations=ITERATIONS,
            channel="awgn",
            method="noise thresholds by direction, tokcom_phy.radio.bler_measurement",
            blocks=blocks,
            codec=f"Sionna on {engine()}",
            snr_db=snr_db.tolist(),
            bler=[float(f"{value:.4g}") for value in bler],
            std_error=[float(f"{value:.2g}") for value in error],
        )
        temporary.write_text(table.model_dump_json(indent=None) + "\n", encoding="utf-8")
