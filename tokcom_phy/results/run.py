"""A run, opened."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tokcom_phy.results.points import read_points
from tokcom_phy.results.tables import accuracy_curves
from tokcom_phy.utils.errors import UserError


class Run:
    """A run directory as a figure sees it.

    Attributes
    ----------
    config : dict
        ``config.yaml``.
    results : DataFrame
        ``results.csv``, see docs/conventions.md for its columns.
    curves : DataFrame
        Accuracy per variant, link and SNR over all seeds, see `accuracy_curves`.
    differences : DataFrame
        ``differences.csv``: paired differences of accuracy.
    """

    def __init__(self, run_dir: Path):
        if not (run_dir / "config.yaml").is_file():
            raise UserError(f"{run_dir} is no run directory: it has no config.yaml; give the --out of a tokcom run")
        if not (run_dir / "differences.csv").is_file():
            raise UserError(f"{run_dir} has no results yet: run tokcom run with --out {run_dir} to its end")
        self.path = run_dir
        self.config = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
        self.results = pd.read_parquet(run_dir / "results.parquet")
        self.points = read_points(run_dir)
        self.curves = accuracy_curves(self.points)
        self.differences = pd.read_csv(run_dir / "differences.csv")

    def curves_of(self, needs: str) -> pd.DataFrame:
        """As `curves`, on the questions that need ``"Audio"``, ``"Visual"`` or ``"Audio-Visual"`` alone."""
        questions = json.loads((self.path / "questions.json").read_text(encoding="utf-8"))
        return accuracy_curves(self.points, np.array([q["type"].split("/")[0] == needs for q in questions]))

    def setting(self, link: str, key: str) -> Any:
        """One setting of a link of the experiment, with all defaults resolved."""
        return json.loads((self.path / "links.json").read_text(encoding="utf-8"))[link][key]

    def losses(self, checkpoint: str, seed: int) -> list[float]:
        """Training loss of every step of a variant, or of ``stage1-ALIGNMENT``; empty if it was not trained."""
        file = self.path / "checkpoints" / checkpoint / f"seed-{seed}" / "losses.json"
        return json.loads(file.read_text()) if file.is_file() else []
