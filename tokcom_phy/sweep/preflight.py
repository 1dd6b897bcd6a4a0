"""The preflight check of a run: settings against models' configurations and annotations, before anything is made."""

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from tokcom_phy.data.formats import caption_splits, load_captions, load_questions
from tokcom_phy.experiments.dataset import Data
from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.resolve import ResolvedLink, ResolvedVariant
from tokcom_phy.experiments.schema import Experiment, ResolvedExperiment
from tokcom_phy.model.compression import Compression
from tokcom_phy.model.encoders import encoder_width, num_tokens
from tokcom_phy.model.foundation import check_foundation
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.model.saving import LAYOUT, read_config
from tokcom_phy.model.system_config import TEXT, SystemConfig
from tokcom_phy.model.transceivers import check_transceivers
from tokcom_phy.training.distributed import num_processes
from tokcom_phy.training.metrics import load_metrics
from tokcom_phy.training.settings import LoraSettings, TrainingSettings
from tokcom_phy.utils.errors import UserError


def check_experiment(experiment: Experiment) -> None:
    """Check that an experiment's models, links and annotations are there, and fit its token lengths and batches.

    Raises
    ------
    UserError
        For the first thing that does not.
    """
    resolved = experiment.resolved()
    _check_components(experiment, resolved)
    tokens: dict[LoraSettings, int] = {}
    for variant in resolved.variants.values():
        lora, sent = variant.stage2.lora, sum(variant.modalities.values())
        tokens[lora] = max(sent, tokens.get(lora, 0))
    for lora, most in tokens.items():
        check_foundation(experiment.foundation, lora.model_dump(), most)
    _check_users(resolved)
    if resolved.needs_media:
        _check_lengths(experiment, resolved)
    _check_allocation(experiment)
    if experiment.data.root:
        _check_splits(experiment, experiment.data.root)
    _check_alignment_checkpoints(experiment, resolved)
    _check_trained_systems(experiment, resolved)
    for where, settings, num_items in _trainings(experiment.data, resolved):
        try:
            settings.check_data(num_items, num_processes())
        except UserError as error:
            raise UserError(f"{where}: {error}") from error


def stored_lengths(experiment: Experiment) -> dict[str, dict[Compression, list[int]]]:
    """modality → compression → numbers of tokens that features are prepared for: all tokens where a variant has an own
    selector."""
    resolved = experiment.resolved()
    wanted: dict[str, dict[Compression, set[int]]] = {m: {} for m in resolved.lengths}
    for modality in resolved.lengths:
        for variant in resolved.variants.values():
            components = variant.components
            length = variant.lengths[modality]
            wanted[modality].setdefault(components.compression(modality), set()).add(length)
            if components.of("selector", modality):
                source = experiment.encoders[modality]
                whole = num_tokens(modality, source, experiment.data.audio_windows)
                wanted[modality].setdefault("slide", set()).add(whole)
    return {m: {how: sorted(lengths) for how, lengths in several.items()} for m, several in wanted.items()}


def _check_components(experiment: Experiment, resolved: ResolvedExperiment) -> None:
    """What is named by import path can be imported."""
    load_metrics(experiment.metrics)
    for name, variant in resolved.variants.items():
        try:
            variant.components.sources()
        except UserError as error:
            raise UserError(f"variants.{name}: {error}") from error


def check_drawable(jobs: Iterable[Job]) -> None:
    """Check that this machine can draw realisations of the links that some jobs use.

    Raises
    ------
    UserError
        If it cannot: a link is ray-traced, not traced yet, and there is nothing to trace with.
    """
    for link in {job.link.name: job.link for job in jobs if job.variant is not None}.values():
        link.load().check_drawable()


def _check_users(resolved: ResolvedExperiment) -> None:
    """Each link has a user for all that is sent over it."""
    links = {name: link.load() for name, link in resolved.links.items()}
    for where, variant, link, users in _transmissions(resolved):
        try:
            links[link.name].check_users(users)
        except UserError as error:
            raise UserError(f"{where}: '{variant.name}' over '{link.name}': {error}") from error


def _transmissions(
    resolved: ResolvedExperiment,
) -> Iterator[tuple[str, ResolvedVariant, ResolvedLink, list[str]]]:
    """Each stage, variant, link, and the users that send there."""
    for name, variant in resolved.variants.items():
        if variant.alignment_run is not None:
            yield "stage1", variant, variant.stage1_link, [*variant.alignment_lengths, TEXT]
        if variant.checkpoint is None:
            yield "stage2", variant, variant.stage2_link, list(variant.users)
        for link in resolved.visits.get(name, {}):
            yield "evaluate", variant, resolved.links[link], list(variant.users)


def _check_lengths(experiment: Experiment, resolved: ResolvedExperiment) -> None:
    windows = experiment.data.audio_windows
    available = {modality: num_tokens(modality, name, windows) for modality, name in experiment.encoders.items()}
    for name, variant in resolved.variants.items():
        for modality, length in variant.lengths.items():
            if length > available[modality]:
                where = "" if length == experiment.lengths[modality] else f"variants.{name}."
                raise UserError(
                    f"{where}lengths.{modality}: token length {length}, but encoder '{experiment.encoders[modality]}' "
                    f"gives {available[modality]} tokens: choose 1 to {available[modality]}"
                )


def _check_allocation(experiment: Experiment) -> None:
    """Encoders give as many tokens as an allocation may choose."""
    windows = experiment.data.audio_windows
    for user, lengths in experiment.allocation.lengths.items() if experiment.allocation else ():
        available = num_tokens(user, experiment.encoders[user], windows)
        if max(lengths) > available:
            raise UserError(
                f"allocation.lengths.{user}: token length {max(lengths)}, but encoder '{experiment.encoders[user]}' "
                f"gives {available} tokens: choose 1 to {available}"
            )


def _check_splits(experiment: Experiment, root: Path) -> None:
    """There are questions to ask, and held-out captions where features of such are kept."""
    splits = experiment.data.splits
    load_questions(root, splits.test)
    if experiment.keep_features and set(caption_splits(root)) <= {splits.captions}:
        raise UserError(f"no captions in {root} but those trained on: set keep_features=0, or add a split")


def _check_alignment_checkpoints(experiment: Experiment, resolved: ResolvedExperiment) -> None:
    """What variants start from holds transceivers of the size that they have here."""
    for variant in resolved.variants.values():
        folder = variant.stage1.checkpoint if variant.alignment == "contrastive" else None
        if folder is None:
            continue
        path = folder / "transceivers.safetensors"
        if not path.is_file():
            raise UserError(
                f"stage1.checkpoint of '{variant.name}': no transceivers.safetensors in {folder}: name a folder "
                "like checkpoints/aligned/seed-0 of a run, or one that tokcom import-checkpoint wrote"
            )
        widths = {modality: encoder_width(modality, name) for modality, name in experiment.encoders.items()}
        width, hidden = foundation_width(experiment.foundation), experiment.receiver_width
        config = SystemConfig(widths, width, hidden, components=variant.components)
        check_transceivers(config, path)


def _check_trained_systems(experiment: Experiment, resolved: ResolvedExperiment) -> None:
    """The systems that variants are taken from are there, and send what the variants say."""
    taken = [variant for variant in resolved.variants.values() if variant.checkpoint is not None]
    for variant, seed in product(taken, experiment.seeds):
        where = f"variants.{variant.name}.checkpoint"
        folder = variant.system_folder(Path(), seed)
        if not (folder / "config.json").is_file():
            raise UserError(f"{where}: no system in {folder}: name {LAYOUT}, or such folders named seed-0 and so on")
        _, config = read_config(folder / "config.json")
        if config.question != variant.question:
            raise UserError(
                f"{where}: the system in {folder} was trained with question: {config.question}, the variant has "
                f"question: {variant.question}: say the same"
            )
        if unknown := set(variant.modalities) - set(config.encoder_widths):
            raise UserError(
                f"{where}: the system in {folder} has no {', '.join(sorted(unknown))}: leave it out of modalities"
            )


def _trainings(data: Data, resolved: ResolvedExperiment) -> Iterator[tuple[str, TrainingSettings, int]]:
    """Each training: where it stands, its settings, and how many captions or questions it has if no clip is lost."""
    aligned = [variant for variant in resolved.variants.values() if variant.alignment_run is not None]
    trained = []
    for variant in aligned:
        checkpoint = variant.stage1.checkpoint if variant.alignment == "contrastive" else None
        if checkpoint is None:
            trained.append(variant)
    captions, questions = _count_items(data, captioned=bool(trained))
    for variant in trained:
        yield f"stage1 of '{variant.name}'", variant.stage1, captions
    for variant in resolved.variants.values():
        if variant.checkpoint is not None:
            continue
        yield f"stage2 of '{variant.name}'", variant.stage2, questions


def _count_items(data: Data, captioned: bool) -> tuple[int, int]:
    """Captions, if any are wanted, and questions to train on."""
    if data.root is None:
        assert data.synthetic is not None
        return data.synthetic.captions, data.synthetic.train_questions
    captions = load_captions(data.root, data.splits.captions) if captioned else []
    return len(captions), len(load_questions(data.root, data.splits.train))
