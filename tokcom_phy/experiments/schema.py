"""What an experiment's YAML file may say: every key, checked before anything is computed."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tokcom_phy.allocation.settings import AllocationSettings
from tokcom_phy.experiments.dataset import Data
from tokcom_phy.experiments.grid import Cell, cell_name, cells, nested
from tokcom_phy.experiments.plan import MAJORITY, Job, Visits, plan
from tokcom_phy.experiments.resolve import ResolvedLink, ResolvedVariant, alignment_run_name
from tokcom_phy.experiments.series import ResolvedSeries, Series, resolve_series
from tokcom_phy.experiments.series import visits as visits_of
from tokcom_phy.experiments.validation import check, merged
from tokcom_phy.model.components import Components
from tokcom_phy.model.encoders import check_source
from tokcom_phy.model.system_config import TEXT, Delivery
from tokcom_phy.radio.link_config import LinkConfig, inline_config, read_config
from tokcom_phy.training.metrics import ANSWER_LOSS
from tokcom_phy.training.settings import Alignment, AlignmentSettings, FinetuningSettings
from tokcom_phy.utils.bounds import RunSeed, Within
from tokcom_phy.utils.errors import UserError, nearest, quoted
from tokcom_phy.utils.files import builtin_names, find
from tokcom_phy.utils.instantiate import TARGET
from tokcom_phy.utils.settings import Strict

MAX_NAME = 100
"""Length of a name [bytes]: files of 255 at most are named by two of them."""

_PARTS = ("transmitter", "receiver", "selector")

MAX_CELLS = 10_000
"""Combinations of a grid."""

Tokens = Annotated[PositiveInt, Within(1, 65536, "no encoder has more tokens")]


class Variant(Strict):
    """One system under test."""

    alignment: Alignment = "contrastive"
    """What stage 1 trains: 'contrastive' (contrast and text reconstruction), 'reconstruction' (text alone), 'none'."""
    modalities: tuple[str, ...] | None = None
    """Non-text modalities that reach the model; all of the experiment's by default, none for a blind system."""
    lengths: dict[str, Tokens] = Field(default_factory=dict)
    """modality → s_m, tokens that are sent, where it differs from the experiment's."""
    question: Delivery = "reliable"
    """Whether the question arrives safely ('reliable') or is sent over the link ('on-air')."""
    stage1: dict[str, Any] = Field(default_factory=dict)
    """Settings of stage 1 where they differ from the experiment's, such as ``{temperature: 0.03}``."""
    stage2: dict[str, Any] = Field(default_factory=dict)
    """Settings of stage 2 where they differ from the experiment's."""
    transmitter: dict[str, Any] | None = None
    """Transmitter where it differs from the experiment's; ``{}`` is the paper's."""
    receiver: dict[str, Any] | None = None
    """Receiver where it differs from the experiment's; ``{}`` is the paper's."""
    selector: dict[str, Any] | str | None = None
    """Compression of tokens (3) where it differs from the experiment's; ``slide`` or ``{}`` is the paper's."""
    checkpoint: Path | None = None
    """A system that was trained before, to evaluate as it is: ``checkpoints/VARIANT`` of a run, with a folder for each
    seed, or the folder of one system for all seeds."""


@dataclass(frozen=True)
class ResolvedExperiment:
    """All that follows from an experiment's settings, worked out once.

    Attributes
    ----------
    series : what is evaluated, every cell of the grid included
    variants : name → variant, in declared order
    links : name → link; those that are evaluated first, in declared order, then those that are only trained through
    visits : variant → link → SNRs [dB] of its evaluations; the majority control goes wherever a variant goes
    jobs : what is to be done, in order
    """

    series: tuple[ResolvedSeries, ...]
    variants: Mapping[str, ResolvedVariant]
    links: Mapping[str, ResolvedLink]
    visits: Visits
    jobs: tuple[Job, ...]

    @property
    def evaluated_links(self) -> list[str]:
        """Links that are evaluated, in declared order."""
        return list(self.visits.get(MAJORITY, {}))

    @property
    def needs_media(self) -> bool:
        """Whether any variant gets audio, video or the like; a question-only experiment needs no clip."""
        return any(variant.needs_media for variant in self.variants.values())

    @property
    def lengths(self) -> dict[str, list[int]]:
        """modality → every s_m that some variant needs, ascending."""
        return {
            modality: sorted({variant.lengths[modality] for variant in self.variants.values()})
            for modality in next(iter(self.variants.values())).lengths
        }


class Experiment(Strict):
    """An experiment: its YAML file over its profile's defaults."""

    name: str
    """What it is called; its run directory is ``runs/NAME`` by default."""
    title: str
    """The line that its figures carry."""
    profile: str
    """Defaults to start from: 'tiny' or 'paper'."""
    seeds: Annotated[tuple[Annotated[int, RunSeed], ...], Field(min_length=1)] = (0,)
    """Each trains and evaluates everything anew."""
    foundation: str
    """Language model: a hub name, a folder, a GGUF file, or a model that the package ships."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the foundation model's frozen weights and of what it computes; all that is trained, and the radio, is
    float32."""
    encoders: dict[str, str | dict[str, Any]]
    """modality → encoder: a hub name, a folder, a model that the package ships, ``{features: DIR}`` for arrays, or
    ``{_target_: module.Class, …}`` for one's own; null leaves a modality of the profile out."""
    lengths: dict[str, Tokens]
    """modality → s_m, tokens that are sent, equation (3): a number, or a length that the profile names, as 'short'."""
    receiver_width: Annotated[PositiveInt, Within(1, 65536, "no language model is wider")]
    """Hidden width of the receivers (8)."""
    transmitter: dict[str, Any] | None = None
    """Own transmitters (4), ``{_target_: module.Class, argument: value}`` for all modalities or under the name of
    each; such a file runs code."""
    receiver: dict[str, Any] | None = None
    """Own receivers (8), likewise."""
    selector: dict[str, Any] | str | None = None
    """Compression of tokens (3): ``slide``, evenly spread ones; ``mean-pool`` or ``max-pool`` over windows; or an own
    selector, likewise. For all modalities or under the name of each."""
    metrics: tuple[str | dict[str, Any], ...] = ()
    """Scores of every answer beside exact match: ``answer_loss``, the mean negative log-likelihood of the right answer
    [nat]; names of torchmetrics' text metrics, as rouge_l; or functions of questions and answers by import path."""
    keep_features: Annotated[NonNegativeInt, Within(0, 10**6, "they are kept in memory")] = 0
    """Captions whose pooled features (10) stage 1 keeps from before and after its training, for pictures."""
    links: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Links of this experiment alone: name → the link it extends, and keys that differ."""
    threads: Annotated[PositiveInt, Within(1, 1024, "no machine has more cores to a worker")] | None = None
    """CPU threads of a worker; results are bit-identical for equal threads."""
    evaluation_batch: Annotated[PositiveInt, Within(1, 10**5, "no memory holds more answers at once")] = 100
    """Questions answered at once."""
    data: Data
    """Where the clips and annotations come from."""
    stage1: AlignmentSettings
    """Cross-modal alignment."""
    stage2: FinetuningSettings
    """Task fine-tuning."""
    variants: Annotated[dict[str, Variant], Field(min_length=1)]
    """The systems under test, by name."""
    evaluate: tuple[Series, ...] = ()
    """Which variants are evaluated over which links at which SNRs, transmit powers or distances."""
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Keys whose values are swept in every combination: of the evaluated links, such as ``{speed: [1, 30, 120]}``, or
    of stages, such as ``{stage2.snr_db: [0, 10]}``. Every link, or variant, of a series is evaluated in each cell."""
    allocation: AllocationSettings | None = None
    """Bandwidth, power and tokens to be allocated by a loss surface that is fitted to the evaluated points; then the
    allocations are simulated. See docs/allocation.md."""
    figures: tuple[str, ...] = ()
    """Figures to draw: names of files in plots/, or paths."""

    @model_validator(mode="before")
    @classmethod
    def _without_null_encoders(cls, values: Any) -> Any:
        """Leave out modalities whose encoder is null, and their lengths."""
        if not isinstance(values, dict) or not isinstance(values.get("encoders"), dict):
            return values
        absent = {modality for modality, encoder in values["encoders"].items() if encoder is None}
        parts = {key: part for key in ("encoders", "lengths") if isinstance(part := values.get(key), dict)}
        kept = {key: {m: v for m, v in part.items() if m not in absent} for key, part in parts.items()}
        return {**values, **kept}

    @model_validator(mode="after")
    def _encoders_are_named(self) -> "Experiment":
        for modality, source in self.encoders.items():
            try:
                check_source(modality, source)
            except UserError as error:
                raise ValueError(f"encoders.{modality}: {error}") from error
        return self

    @model_validator(mode="after")
    def _names_make_files(self) -> "Experiment":
        for name in (self.name, *self.variants, *self.links):
            if not re.fullmatch(r"(?!stage1-)\w[\w.-]*", name):
                raise ValueError(
                    f"name {quoted(name)}: use letters, digits, '-', '_' and '.', and do not begin with 'stage1-'"
                )
            if len(name.encode()) > MAX_NAME:
                raise ValueError(f"name '{name[:20]}…' is longer than {MAX_NAME} bytes: files are named by it")
        if math.prod(len(values) for values in self.grid.values()) > MAX_CELLS:
            raise ValueError(f"grid: more than {MAX_CELLS} combinations: leave some values out")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is named twice")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> "Experiment":
        if set(self.lengths) != set(self.encoders):
            raise ValueError(
                f"lengths name {sorted(self.lengths)}, encoders name {sorted(self.encoders)}: name the same"
            )
        if MAJORITY in self.variants:
            raise ValueError(f"variant name '{MAJORITY}' is the majority control's: choose another")
        for name, variant in self.variants.items():
            for modality in (*(variant.modalities or ()), *variant.lengths):
                if modality not in self.encoders:
                    raise ValueError(
                        f"variants.{name}: unknown modality '{modality}': {nearest(modality, self.encoders)}"
                    )
        for series in self.evaluate:
            for name in series.variants:
                if name not in self.variants:
                    raise ValueError(f"evaluate: unknown variant '{name}': {nearest(name, self.variants)}")
        for figure in self.figures:
            find("plots", figure)
        return self

    @model_validator(mode="after")
    def _own_links_extend_others(self) -> "Experiment":
        for name, inline in self.links.items():
            if name in builtin_names("links"):
                raise ValueError(f"links.{name}: this is a built-in link: choose another name")
            if not {"extends", "family", TARGET} & set(inline):
                raise ValueError(f"links.{name}: name the link that it changes, such as extends: awgn")
        return self

    @model_validator(mode="after")
    def _allocation_fits(self) -> "Experiment":
        if self.allocation is None:
            return self
        if ANSWER_LOSS not in self.metrics:
            raise ValueError(f"allocation needs the loss of every answer: give metrics: [{ANSWER_LOSS}]")
        for user in self.allocation.lengths:
            if user not in self.encoders:
                raise ValueError(f"allocation.lengths: unknown user '{user}': {nearest(user, self.encoders)}")
        return self

    def allocation_link(self, **budget: Any) -> dict[str, Any]:
        """Settings of the link of ``allocation`` with its link budget, some keys of which are changed."""
        assert self.allocation is not None
        name = self.allocation.link
        whole = {**self.allocation.budget.model_dump(exclude_unset=True), **budget}
        return merged(self.links.get(name, {"extends": name}), {"budget": whole})

    def resolved(self) -> ResolvedExperiment:
        """All that follows from these settings: variants, links and jobs, worked out at the first call.

        Raises
        ------
        UserError
            For a link that does not exist or does not fit, and settings of a variant that do not fit.
        """
        return self._resolved

    @cached_property
    def _resolved(self) -> ResolvedExperiment:
        link_cells, variant_cells = cells(self.grid, of_stages=False), cells(self.grid, of_stages=True)
        bases = {cell_name(name, cell): (name, cell) for name in self.variants for cell in variant_cells}
        stages = {name: self._stages(*base) for name, base in bases.items()}
        evaluated = {
            cell_name(link, cell): (link, cell) for one in self.evaluate for link in one.links for cell in link_cells
        }
        trained: dict[str, tuple[str, Cell]] = {
            stage.link: (stage.link, {}) for pair in stages.values() for stage in pair
        }
        links = self._links({**trained, **evaluated}, [*evaluated, *trained])
        series = tuple(resolve_series(one, links, link_cells, variant_cells) for one in self.evaluate)
        visits = visits_of(series)
        variants = {name: self._variant(name, *bases[name], *stages[name], links) for name in bases}
        for stem in (Path(name).stem for name in [*links, *variants]):
            if len(stem.encode()) > MAX_NAME:
                raise UserError(
                    f"name '{stem[:20]}…' is longer than {MAX_NAME} bytes: points are named by it, shorten it"
                )
        jobs = plan(variants.values(), links, visits, self.seeds)
        return ResolvedExperiment(series, variants, links, visits, jobs)

    def _links(self, bases: Mapping[str, tuple[str, Cell]], names: list[str]) -> dict[str, ResolvedLink]:
        """Links by name, each of a base and a cell; links of the experiment that are not used are checked too."""
        for name in self.links:
            self._link_config(name, {})
        if self.allocation is not None:
            own_bands = dict.fromkeys(self.allocation.lengths, 1e6)
            inline_config("allocation.link", self.allocation_link(bandwidth_hz=own_bands))
        links = {
            name: ResolvedLink(name, self._link_config(*bases[name]), *bases[name]) for name in dict.fromkeys(names)
        }
        if len({Path(name).stem for name in [*links, *self.links]}) < len({*links, *self.links}):
            raise UserError(f"links {', '.join(sorted({*links, *self.links}))} share a file name: rename one")
        for name in links:
            if len((stem := Path(name).stem).encode()) > MAX_NAME:
                raise UserError(
                    f"name '{stem[:20]}…' is longer than {MAX_NAME} bytes: points are named by it, rename it"
                )
        return links

    def _link_config(self, name: str, cell: Cell) -> LinkConfig:
        if name in self.links:
            return inline_config(f"links.{name}", merged(self.links[name], nested(cell)))
        if Path(name).suffix != ".yaml" and name not in builtin_names("links"):
            raise UserError(f"unknown link '{name}': {nearest(name, [*self.links, *builtin_names('links')])}")
        return read_config(name, nested(cell))[1]

    def _stages(self, name: str, cell: Cell) -> tuple[AlignmentSettings, FinetuningSettings]:
        variant, changes = self.variants[name], {"stage1": {}, "stage2": {}, **nested(cell)}
        stage1 = merged(merged(self.stage1.model_dump(), variant.stage1), changes["stage1"])
        stage2 = merged(merged(self.stage2.model_dump(), variant.stage2), changes["stage2"])
        return (
            check(AlignmentSettings, stage1, f"variants.{name}.stage1"),
            check(FinetuningSettings, stage2, f"variants.{name}.stage2"),
        )

    def _variant(
        self,
        name: str,
        base: str,
        cell: Cell,
        stage1: AlignmentSettings,
        stage2: FinetuningSettings,
        links: Mapping[str, ResolvedLink],
    ) -> ResolvedVariant:
        variant = self.variants[base]
        lengths = {**self.lengths, **variant.lengths}
        chosen = self.encoders if variant.modalities is None else variant.modalities
        aligned = variant.alignment != "none" and variant.checkpoint is None
        defaults, components = self._components(base)
        return ResolvedVariant(
            name=name,
            alignment=variant.alignment,
            modalities={modality: length for modality, length in lengths.items() if modality in chosen},
            lengths=lengths,
            question=variant.question,
            alignment_run=alignment_run_name(
                variant.alignment, lengths, stage1, self.lengths, self.stage1, components, defaults
            )
            if aligned
            else None,
            stage1=stage1,
            stage2=stage2,
            stage1_link=links[stage1.link],
            stage2_link=links[stage2.link],
            components=components,
            checkpoint=variant.checkpoint,
            base=base,
            cell=cell,
        )

    def _components(self, name: str) -> tuple[Components, Components]:
        """The experiment's own parts, and those of a variant."""
        defaults = {part: getattr(self, part) for part in _PARTS}
        variant = {part: own for part in _PARTS if (own := getattr(self.variants[name], part)) is not None}
        try:
            found = [Components(**{p: c or None for p, c in parts.items()}) for parts in (defaults, defaults | variant)]
            for components in found:
                components.check_modalities(self.encoders, TEXT)
        except UserError as error:
            raise UserError(f"variants.{name}: {error}") from error
        return found[0], found[1]
