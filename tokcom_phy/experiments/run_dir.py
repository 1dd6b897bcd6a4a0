"""How a run directory is laid out: names and places of what is in it."""

from pathlib import Path

from tokcom_phy.utils.files import is_marked

CONFIG = "config.yaml"
"""The experiment's settings."""

PROVENANCE = "provenance.json"
"""Versions, seeds, revision and command; the mark of a run directory."""

LINKS = "links.json"
"""name → all settings of each link."""

QUESTIONS = "questions.json"
"""What is asked, in the order of the points' marks."""

DATA = "data.json"
"""Digests of the code that made the synthetic corpus and the features."""

TABLES = ("results.parquet", "results.csv", "curves.csv", "differences.csv")

FOLDERS = ("points", "checkpoints", "figures", "logs")

WRITTEN = (CONFIG, PROVENANCE, LINKS, QUESTIONS, DATA, *TABLES, *FOLDERS, "report.html")
"""All that a run writes; a fresh run deletes this and nothing else."""

UNFINISHED = ".unfinished"
"""Ends the name of a folder of checkpoints from which a killed training goes on."""


def is_run_dir(folder: Path) -> bool:
    """Whether a run was begun in a folder."""
    return is_marked(folder / PROVENANCE, '{"command":"tokcom')


def point_name(variant: str, link: str, snr_db: float, seed: int) -> str:
    """File name, without its ending, of a point."""
    return f"{variant}__{Path(link).stem}__{snr_db:+g}dB__seed{seed}"


def point_file(run_dir: Path, name: str) -> Path:
    """Where a point is kept."""
    return run_dir / "points" / f"{name}.json"


def alignment_folder(run_dir: Path, alignment: str, seed: int) -> Path:
    """Where stage 1 leaves its transceivers."""
    return run_dir / "checkpoints" / f"stage1-{alignment}" / f"seed-{seed}"


def checkpoint_folder(run_dir: Path, variant: str, seed: int) -> Path:
    """Where stage 2 leaves a variant's system."""
    return run_dir / "checkpoints" / variant / f"seed-{seed}"
