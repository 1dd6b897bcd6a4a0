"""Variants and links of an experiment with every default and reference worked out: the values that jobs carry."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tokcom_phy.experiments.grid import Cell
from tokcom_phy.experiments.run_dir import checkpoint_folder
from tokcom_phy.model.components import Components
from tokcom_phy.model.system_config import TEXT, Delivery
from tokcom_phy.radio import Link, build_link
from tokcom_phy.radio.link_budget import mean_snr_db, swept_snr_db, user_budget
from tokcom_phy.radio.link_config import LinkConfig
from tokcom_phy.training.settings import Alignment, AlignmentSettings, FinetuningSettings
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.instantiate import TARGET

MAX_SNR_DB = 100
"""Beyond, there is nothing but noise, or none [dB]."""


@dataclass(frozen=True)
class ResolvedLink:
    """A link under its name in the experiment, with all its settings.

    Attributes
    ----------
    name : str
        The experiment's name for it: a built-in's name, a path, or a key under ``links:``; with the cell of a grid.
    config : LinkConfig
    base : str
        The name without the cell.
    cell : key → value
        Where it stands in the experiment's grid; empty where there is none.
    """

    name: str
    config: LinkConfig
    base: str = ""
    cell: Cell = field(default_factory=dict)

    def settings(self) -> dict[str, object]:
        """All settings as JSON values, what a run keeps in ``links.json``."""
        return self.config.model_dump(mode="json")

    def load(self) -> Link:
        """The link itself."""
        return build_link(self.name, self.config)

    def user_snr_db(self, user: str, snr_db: float) -> float:
        """SNR of a user where the link has one [dB]: offset from it by the link's settings, or by its budget."""
        uplink = self.config.uplink
        if uplink.budget is not None and not uplink.true_path_gains:
            return snr_db + user_budget(uplink, user).snr_db - mean_snr_db(uplink)
        offsets: Mapping[str, float] = getattr(uplink, "snr_offset_db", {})
        return snr_db + offsets.get(user, 0.0)

    def snrs_db(self, axis: str, values: Sequence[float]) -> tuple[float, ...]:
        """SNRs [dB] at some values along an axis: SNRs, or a key of the link budget that is set to each of them.

        Without values, the SNR of the budget as it is.

        Raises
        ------
        UserError
            If the link has no budget, its budget leads to no SNR, or users have values of their own.
        """
        if axis == "snr_db" and values:
            return tuple(values)
        uplink = self.config.uplink
        if uplink.budget is None:
            mend = f"{axis} needs a link budget" if values else "no snr_db, and no budget that says it"
            raise UserError(f"link '{self.name}': {mend}: give snr_db, or the link a budget: {{distance_m: 100}}")
        gain = self.load().mean_path_gain_db() if uplink.true_path_gains else None
        try:
            found = tuple(round(snr, 3) for snr in swept_snr_db(uplink, axis, values, gain))
        except UserError as error:
            raise UserError(f"link '{self.name}': {error}") from error
        if beyond := [snr for snr in found if abs(snr) > MAX_SNR_DB]:
            raise UserError(f"link '{self.name}': its budget leads to an SNR of {beyond[0]:g} dB: change its powers")
        if len(set(found)) < len(found):
            raise UserError(f"link '{self.name}': two values of {axis} lead to the same SNR: leave one out")
        return found


@dataclass(frozen=True)
class ResolvedVariant:
    """One system under test.

    Attributes
    ----------
    name : str
    alignment : what stage 1 trains
    modalities : modality → s_m of what the model reads, in declared order; empty for a blind system
    lengths : modality → s_m of all modalities of the experiment, which stage 1 aligns
    question : 'reliable' or 'on-air'
    alignment_run : name of the stage 1 that it starts from; None where there is none
    stage1, stage2 : settings of the two stages
    stage1_link, stage2_link : links that the stages train through
    components : own parts in place of the paper's
    checkpoint : where a system that was trained before lies; None for one that the run trains
    base, cell : its name without the grid, and where it stands there; an empty cell where there is no grid
    """

    name: str
    alignment: Alignment
    modalities: Mapping[str, int]
    lengths: Mapping[str, int]
    question: Delivery
    alignment_run: str | None
    stage1: AlignmentSettings
    stage2: FinetuningSettings
    stage1_link: ResolvedLink
    stage2_link: ResolvedLink
    components: Components
    checkpoint: Path | None
    base: str
    cell: Cell

    @property
    def blind(self) -> bool:
        """Whether it gets no modality but text: the control that reads the question alone."""
        return not self.modalities

    @property
    def compression(self) -> str:
        """How its tokens are compressed, equation (3): one name for all modalities, or that of each."""
        each = {modality: self.components.compression(modality) for modality in self.modalities}
        names = sorted(set(each.values()))
        return names[0] if len(names) == 1 else ", ".join(f"{modality}: {how}" for modality, how in each.items())

    @property
    def needs_media(self) -> bool:
        """Whether any of its stages needs clips."""
        return self.alignment == "contrastive" or not self.blind

    @property
    def users(self) -> tuple[str, ...]:
        """Who sends when it answers a question."""
        return (*self.modalities, *((TEXT,) if self.question == "on-air" else ()))

    def system_folder(self, run_dir: Path, seed: int) -> Path:
        """Where its trained system lies: in the run, or where ``checkpoint`` says."""
        if self.checkpoint is None:
            return checkpoint_folder(run_dir, self.name, seed)
        of_seed = self.checkpoint / f"seed-{seed}"
        return of_seed if of_seed.is_dir() else self.checkpoint

    @property
    def alignment_lengths(self) -> Mapping[str, int]:
        """modality → s_m of what stage 1 trains on, besides the text."""
        return self.lengths if self.alignment == "contrastive" else {}


def alignment_run_name(
    alignment: Alignment,
    lengths: Mapping[str, int],
    settings: AlignmentSettings,
    default_lengths: Mapping[str, int],
    default_settings: BaseModel,
    components: Components,
    default_components: Components,
) -> str:
    """Name of a stage 1: what it trains, and what differs from the experiment's defaults.

    Variants with equal names share it.
    """
    name: str = alignment
    name += "".join(f"-{m}{s}" for m, s in lengths.items() if s != default_lengths[m])
    defaults = default_settings.model_dump()
    for key, value in settings.model_dump().items():
        if value != defaults[key]:
            parts = value if isinstance(value, tuple) else [Path(value).stem if key == "link" else value]
            text = _digest(value) if isinstance(value, dict) else "to".join(map(str, parts)).replace("/", "_")
            name += f"-{key}-{text}"
    for key, component in components.named().items():
        if component != default_components.named().get(key):
            name += f"-{key}-{component[TARGET]}-{_digest(component)}"
    for modality in lengths:
        how = components.compression(modality)
        if how != default_components.compression(modality):
            name += f"-{modality}-{how}"
    return name


def _digest(settings: Mapping[str, Any]) -> str:
    """Six characters that tell settings apart in a folder's name."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:6]
