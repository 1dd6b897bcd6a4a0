"""What an experiment may say of its data: which clips, captions and questions."""

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import PositiveInt, model_validator

from tokcom_phy.synthetic import CODE
from tokcom_phy.utils.bounds import Seed, Within
from tokcom_phy.utils.settings import Strict

SYNTHETIC_SPLITS = ("train", "val", "test")
"""Splits that `tokcom_phy.synthetic.corpus.synthesize` writes, of captions and of questions."""

Items = Annotated[PositiveInt, Within(1, 10**7, "clips and annotations are made and kept one by one")]


class SyntheticCorpus(Strict):
    """Size and seed of the synthetic corpus; `tokcom_phy.synthetic.corpus.synthesize` makes it."""

    captions: Items
    """Captioned clips, for stage 1."""
    train_clips: Items
    """Clips that stage 2 asks about."""
    test_clips: Items
    """Clips that the evaluation asks about."""
    train_questions: Items
    """Questions of stage 2."""
    test_questions: Items
    """Questions of the evaluation."""
    seed: Annotated[int, Seed] = 0
    """Seed of scenes, captions and questions."""

    def folder(self, run_dir: Path) -> Path:
        """Where runs beside this one keep the corpus: another one for other settings, and for other code."""
        return run_dir.parent / "data" / f"synthetic-{self._digest}-{CODE[:8]}"

    def outdated_folders(self, run_dir: Path) -> list[Path]:
        """Where runs beside this one keep what other code made by the same settings."""
        others = (run_dir.parent / "data").glob(f"synthetic-{self._digest}*")
        return sorted(set(others) - {self.folder(run_dir)})

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


class Splits(Strict):
    """Names of the annotation files that are used, SPLIT of ``desc_SPLIT.json`` and ``avqa-SPLIT.json``."""

    captions: str = "train"
    """Captions of stage 1."""
    train: str = "train"
    """Questions of stage 2, on which the majority control is fitted too."""
    test: str = "test"
    """Questions of the evaluation."""


class Data(Strict):
    """Where the clips and annotations come from."""

    root: Path | None = None
    """Folder that holds VALOR/ and MUSIC-AVQA/; without it the synthetic corpus is made."""
    synthetic: SyntheticCorpus | None = None
    """The synthetic corpus, used when there is no root."""
    splits: Splits = Splits()
    """Which of the annotation files train and test."""
    fps: Annotated[float, Within(1e-3, 1e3, "videos have fewer frames a second")] | None = None
    """Rate [1/s] at which frames are taken, 0.6 in the paper's code; evenly by default."""
    audio_windows: Annotated[PositiveInt, Within(1, 1000, "a clip is cut into so many parts")] = 1
    """Equal parts into which a clip's sound is cut, each encoded by an AST; one window is the beginning of the clip."""

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if self.root is None and self.synthetic is None:
            raise ValueError("no dataset: name the folder with VALOR/ and MUSIC-AVQA/ by --set data.root=DIR")
        return self

    @model_validator(mode="after")
    def _synthetic_splits(self) -> "Data":
        for key, split in self.splits if self.root is None else ():
            if split not in SYNTHETIC_SPLITS:
                raise ValueError(
                    f"splits.{key}: the synthetic corpus has no split '{split}': choose {', '.join(SYNTHETIC_SPLITS)}, "
                    "or name a dataset by --set data.root=DIR"
                )
        return self
