"""What an experiment is: the settings of its YAML file, checked before anything is computed."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from tokcom_phy.experiments.overrides import apply_overrides
from tokcom_phy.experiments.profiles import PROFILES
from tokcom_phy.model.system_config import Delivery
from tokcom_phy.radio import Link, build_link
from tokcom_phy.radio.link_config import LinkConfig, anchor_target, inline_config, read_config
from tokcom_phy.training.settings import Alignment, AlignmentSettings, FinetuningSettings
from tokcom_phy.utils.errors import UserError, nearest
from tokcom_phy.utils.files import builtin_names, find
from tokcom_phy.utils.instantiate import TARGET

Settings = TypeVar("Settings", bound=BaseModel)

MAJORITY = "majority"
"""Name of the control that answers each question template with its most frequent answer."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticCorpus(Strict):
    """Size and seed of the synthetic corpus; `tokcom_phy.synthetic.corpus.synthesize` makes it."""

    captions: PositiveInt
    train_clips: PositiveInt
    test_clips: PositiveInt
    train_questions: PositiveInt
    test_questions: PositiveInt
    seed: int = 0

    @property
    def digest(self) -> str:
        """Short name of this corpus, for its folder."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


class Splits(Strict):
    """Names of the annotation files that are used, SPLIT of ``desc_SPLIT.json`` and ``avqa-SPLIT.json``.

    Attributes
    ----------
    captions : captions of stage 1
    train : questions of stage 2, on which the majority control is fitted too
    test : questions of the evaluation
    """

    captions: str = "train"
    train: str = "train"
    test: str = "test"


class Data(Strict):
    """Where the clips and annotations come from.

    Attributes
    ----------
    root : folder that holds VALOR/ and MUSIC-AVQA/; without it the synthetic corpus is made
    synthetic : the synthetic corpus, used when there is no root
    splits : which of the annotation files train and test
    fps : rate [1/s] at which frames are taken, 0.6 in the paper's code; evenly by default
    """

    root: Path | None = None
    synthetic: SyntheticCorpus | None = None
    splits: Splits = Splits()
    fps: Annotated[FiniteFloat, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if self.root is None and self.synthetic is None:
            raise ValueError("no dataset: name the folder with VALOR/ and MUSIC-AVQA/ by --set data.root=DIR")
        return self


class Variant(Strict):
    """One system under test.

    Attributes
    ----------
    alignment : what stage 1 trains
    modalities : which non-text modalities reach the model; all of the experiment's by default, none for a blind system
    lengths : modality → s_m where it differs from the experiment's
    question : whether the question is sent reliably or over the air
    stage1, stage2 : settings of these stages where they differ from the experiment's, such as ``{temperature: 0.03}``
    """

    alignment: Alignment = "contrastive"
    modalities: tuple[str, ...] | None = None
    lengths: dict[str, PositiveInt] = {}
    question: Delivery = "reliable"
    stage1: dict[str, Any] = {}
    stage2: dict[str, Any] = {}


class Series(Strict):
    """Variants to be evaluated over links and SNRs [dB].

    The first variant is compared with each other one, question by question on the same realisations, and the first link
    with each other one.
    """

    variants: Annotated[tuple[str, ...], Field(min_length=1)]
    links: Annotated[tuple[str, ...], Field(min_length=1)]
    snr_db: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]


class Experiment(Strict):
    """An experiment, resolved: its YAML file over its profile's defaults.

    Attributes
    ----------
    name, title : what it is called, and the line that its figures carry
    profile : 'tiny' or 'paper'
    seeds : each trains and evaluates everything anew
    foundation, encoders : hub names, folders, or models that the package ships
    precision : of the foundation model's frozen weights and of what it computes; all that is trained, and the radio, is
        float32
    lengths : modality → s_m, tokens that are sent
    receiver_width : hidden width of the receivers (8)
    keep_features : captions whose pooled features (10) stage 1 keeps from before and after its training, for pictures
    links : links of this experiment alone: name → the link it extends, and keys that differ
    threads : CPU threads of a worker; results are bit-identical for equal threads
    evaluation_batch : questions answered at once
    """

    name: str
    title: str
    profile: str
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0,)
    foundation: str
    precision: Literal["fp32", "bf16"] = "fp32"
    encoders: dict[str, str]
    lengths: dict[str, PositiveInt]
    receiver_width: PositiveInt
    keep_features: NonNegativeInt = 0
    links: dict[str, dict[str, Any]] = {}
    threads: PositiveInt | None = None
    evaluation_batch: PositiveInt = 100
    data: Data
    stage1: AlignmentSettings
    stage2: FinetuningSettings
    variants: Annotated[dict[str, Variant], Field(min_length=1)]
    evaluate: tuple[Series, ...] = ()
    figures: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_make_files(self) -> "Experiment":
        for name in (self.name, *self.variants, *self.links):
            if not re.fullmatch(r"(?!stage1-)\w[\w.-]*", name):
                raise ValueError(
                    f"name '{name}': use letters, digits, '-', '_' and '.', and do not begin with 'stage1-'"
                )
        links = [*self.links, *(link for link in self.all_links() if link not in self.links)]
        if len({Path(link).stem for link in links}) < len(links):
            raise ValueError(f"links {', '.join(sorted(links))} share a file name: rename one")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is named twice")
        for series in self.evaluate:
            if len({f"{snr:+g}" for snr in series.snr_db}) < len(series.snr_db):
                raise ValueError("evaluate: an SNR is named twice, or two are less than a millionth apart")
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
    def _links_exist(self) -> "Experiment":
        for name, inline in self.links.items():
            if name in builtin_names("links"):
                raise ValueError(f"links.{name}: this is a built-in link: choose another name")
            if not {"extends", "family", TARGET} & set(inline):
                raise ValueError(f"links.{name}: name the link that it changes, such as extends: awgn")
            try:
                self.link_config(name)
            except UserError as error:
                raise ValueError(str(error)) from error
        for link in self.all_links():
            if link not in self.links and Path(link).suffix != ".yaml" and link not in builtin_names("links"):
                raise ValueError(f"unknown link '{link}': {nearest(link, [*self.links, *builtin_names('links')])}")
            if link not in self.links:
                find("links", link)
        return self

    def evaluated_links(self) -> list[str]:
        """Links that are evaluated, in declared order."""
        return list(dict.fromkeys(link for series in self.evaluate for link in series.links))

    def all_links(self) -> list[str]:
        """Links that are evaluated, then those that are only trained through."""
        trained = [
            stage.link
            for name in self.variants
            for stage in (self.alignment_settings(name), self.finetuning_settings(name))
        ]
        return list(dict.fromkeys([*self.evaluated_links(), *trained]))

    def load_link(self, name: str) -> Link:
        """A link by its name in this experiment."""
        return build_link(name, self.link_config(name))

    def link_config(self, name: str) -> LinkConfig:
        """All settings of a link of this experiment."""
        return inline_config(f"links.{name}", self.links[name]) if name in self.links else read_config(name, {})[1]

    def alignment_settings(self, variant: str) -> AlignmentSettings:
        """Stage 1 of a variant."""
        changes = self.variants[variant].stage1
        return check(AlignmentSettings, {**self.stage1.model_dump(), **changes}, f"variants.{variant}.stage1")

    def finetuning_settings(self, variant: str) -> FinetuningSettings:
        """Stage 2 of a variant."""
        changes = self.variants[variant].stage2
        return check(FinetuningSettings, {**self.stage2.model_dump(), **changes}, f"variants.{variant}.stage2")

    def token_lengths(self, variant: str) -> dict[str, int]:
        """modality → s_m of a variant, for all modalities in declared order."""
        return {**self.lengths, **self.variants[variant].lengths}

    def modalities(self, variant: str) -> dict[str, int]:
        """modality → s_m of what a variant sees and hears, in declared order."""
        chosen = self.variants[variant].modalities
        return {m: s for m, s in self.token_lengths(variant).items() if chosen is None or m in chosen}

    def all_lengths(self) -> dict[str, list[int]]:
        """modality → every s_m that some variant needs."""
        return {m: sorted({self.token_lengths(v)[m] for v in self.variants}) for m in self.lengths}

    def needs_media(self) -> bool:
        """Whether any variant hears or sees something; a question-only experiment needs no clip."""
        return any(v.alignment == "contrastive" or self.modalities(name) for name, v in self.variants.items())

    def alignment(self, variant: str) -> str:
        """Name of the stage 1 that a variant starts from; variants that align the same way share it."""
        name: str = self.variants[variant].alignment
        name += "".join(f"-{m}{s}" for m, s in self.token_lengths(variant).items() if s != self.lengths[m])
        usual = self.stage1.model_dump()
        for key, value in self.alignment_settings(variant).model_dump().items():
            if value != usual[key]:
                parts = value if isinstance(value, tuple) else [Path(value).stem if key == "link" else value]
                name += f"-{key}-" + "to".join(map(str, parts)).replace("/", "_")
        return name


def load_experiment(name_or_path: str, profile: str | None = None, overrides: list[str] | None = None) -> Experiment:
    """Read an experiment, lay it over its profile, apply ``a.b=c`` overrides and check the whole.

    Settings under ``profiles.NAME`` of the file hold for that profile alone.

    Raises
    ------
    UserError
        For an unknown experiment, profile, key, link or variant (the nearest names are suggested) and every value that
        does not fit.
    """
    path = find("experiments", name_or_path)
    settings = _read(path)
    profile = str(profile or settings.get("profile") or "tiny")
    if profile not in PROFILES:
        raise UserError(f"unknown profile '{profile}': {nearest(profile, PROFILES)}")
    settings["profile"] = profile
    sections = settings.pop("profiles", {})
    if not isinstance(sections, dict) or not set(sections) <= set(PROFILES):
        raise UserError(f"{path.name}: profiles: give settings for one profile under its name: {', '.join(PROFILES)}")
    try:
        merged = OmegaConf.merge(PROFILES[profile], settings, sections.get(profile, {}))
        apply_overrides(cast(DictConfig, merged), overrides or [], "stage2.steps=100")
        resolved = _with_lengths(cast(dict[str, Any], OmegaConf.to_container(merged, resolve=True)))
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        raise UserError(f"{path.name}: cannot apply the settings: {str(error).splitlines()[0]}") from error
    return check(Experiment, resolved, path.name)


def check(model: type[Settings], values: Any, where: str) -> Settings:
    """Validate settings; the first fault becomes one line that names the key, the fault and the nearest key.

    Raises
    ------
    UserError
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            raise UserError(f"{where}: unknown key '{key}': {_nearest_key(model, fault['loc'])}") from error
        message = fault["msg"].removeprefix("Value error, ")
        shown = "" if fault["type"] in {"missing", "value_error"} else f" (got {fault['input']!r})"
        raise UserError(f"{where}: {key + ': ' if key else ''}{message}{shown}") from error


def as_yaml(experiment: Experiment) -> str:
    """The resolved settings as YAML, what a run directory keeps as ``config.yaml``."""
    return yaml.safe_dump(json.loads(experiment.model_dump_json()), sort_keys=False, allow_unicode=True)


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path in extended_by:
        raise UserError(f"{path} extends itself: {' → '.join(p.name for p in (*extended_by, path))}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path} holds no settings: write KEY: VALUE lines, see the built-in experiments")
    inline = settings.get("links")
    for link in inline.values() if isinstance(inline, dict) else ():
        anchor_target(link, path.parent)
    if base := settings.pop("extends", None):
        parent = _read(find("experiments", str(base)), (*extended_by, path))
        try:
            settings = OmegaConf.to_container(OmegaConf.merge(parent, settings))
        except (OmegaConfBaseException, TypeError) as error:
            raise UserError(f"{path}: cannot extend '{base}': {str(error).splitlines()[0]}") from error
    return settings


def _with_lengths(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which the profile's named token lengths have become numbers."""
    named = settings.pop("named_lengths")

    def numbers(lengths: object, where: str) -> object:
        if not isinstance(lengths, dict):
            return lengths
        for modality, length in lengths.items():
            if isinstance(length, str) and length not in named:
                raise UserError(f"{where}.{modality}: unknown length '{length}': {nearest(length, named)}")
        return {m: named[length] if isinstance(length, str) else length for m, length in lengths.items()}

    settings["lengths"] = numbers(settings["lengths"], "lengths")
    variants = settings.get("variants")
    for name, variant in variants.items() if isinstance(variants, dict) else ():
        if isinstance(variant, dict) and "lengths" in variant:
            variant["lengths"] = numbers(variant["lengths"], f"variants.{name}.lengths")
    return settings


def _nearest_key(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    fields: Any = model
    for part in location[:-1]:
        annotation = fields.model_fields[part].annotation if part in getattr(fields, "model_fields", {}) else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if inner:
            fields = inner[0]
    return nearest(str(location[-1]), fields.model_fields)
