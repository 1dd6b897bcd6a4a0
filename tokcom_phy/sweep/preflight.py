"""What would stop a run, told before anything is made: by its settings, models' configurations and annotations."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokcom_phy.data.formats import caption_splits, load_captions, load_questions
from tokcom_phy.experiments.plan import Job
from tokcom_phy.experiments.schema import MAJORITY, Data, Experiment
from tokcom_phy.model.encoders import num_tokens
from tokcom_phy.model.foundation import check_foundation
from tokcom_phy.model.system_config import TEXT
from tokcom_phy.training.distributed import num_processes
from tokcom_phy.training.settings import LoraSettings, TrainingSettings
from tokcom_phy.utils.errors import UserError


def foresee(experiment: Experiment) -> None:
    """See that an experiment's models, links and annotations are there, and fit its token lengths and batches.

    Raises
    ------
    UserError
        For the first thing that does not.
    """
    adapters: list[LoraSettings] = []
    for name in experiment.variants:
        lora = experiment.finetuning_settings(name).lora
        if lora not in adapters:
            adapters.append(lora)
            check_foundation(experiment.foundation, lora.model_dump())
    _see_users(experiment)
    if experiment.needs_media():
        _see_lengths(experiment)
    if experiment.data.root:
        _see_splits(experiment, experiment.data.root)
    for where, settings, items in _trainings(experiment):
        try:
            settings.check_data(items, num_processes())
        except UserError as error:
            raise UserError(f"{where}: {error}") from error


def check_drawable(experiment: Experiment, jobs: Iterable[Job]) -> None:
    """See that this machine can draw from the links that some jobs use.

    Raises
    ------
    UserError
        If it cannot: a link is ray-traced, not traced yet, and there is nothing to trace with.
    """
    stages = {"align": experiment.alignment_settings, "finetune": experiment.finetuning_settings}
    drawn = (job.link or stages[job.stage](job.variant).link for job in jobs if job.subject != MAJORITY)
    for name in dict.fromkeys(drawn):
        experiment.load_link(name).check_drawable()


def _see_users(experiment: Experiment) -> None:
    """Each link has a user for all that is sent over it."""
    links = {name: experiment.load_link(name) for name in experiment.all_links()}
    for where, name, link, sent in _transmissions(experiment):
        try:
            links[link].check_users(sent)
        except UserError as error:
            raise UserError(f"{where}: '{name}' over '{link}': {error}") from error


def _transmissions(experiment: Experiment) -> Iterator[tuple[str, str, str, list[str]]]:
    """Each stage, variant, link, and who sends there."""
    for name, variant in experiment.variants.items():
        if variant.alignment != "none":
            heard = experiment.token_lengths(name) if variant.alignment == "contrastive" else {}
            yield "stage1", name, experiment.alignment_settings(name).link, [*heard, TEXT]
        sent = [*experiment.modalities(name), *([TEXT] if variant.question == "on-air" else [])]
        yield "stage2", name, experiment.finetuning_settings(name).link, sent
        for series in experiment.evaluate:
            if name in series.variants:
                yield from (("evaluate", name, link, sent) for link in series.links)


def _see_lengths(experiment: Experiment) -> None:
    given = {modality: num_tokens(modality, name) for modality, name in experiment.encoders.items()}
    for name in experiment.variants:
        for modality, length in experiment.token_lengths(name).items():
            if length > given[modality]:
                where = "" if length == experiment.lengths[modality] else f"variants.{name}."
                raise UserError(
                    f"{where}lengths.{modality}: token length {length}, but encoder '{experiment.encoders[modality]}' "
                    f"gives {given[modality]} tokens: choose 1 to {given[modality]}"
                )


def _see_splits(experiment: Experiment, root: Path) -> None:
    """Questions to ask, and captions besides those that are trained on where features of such are kept."""
    splits = experiment.data.splits
    load_questions(root, splits.test)
    if experiment.keep_features and set(caption_splits(root)) <= {splits.captions}:
        raise UserError(f"no captions in {root} but those trained on: set keep_features=0, or add a split")


def _trainings(experiment: Experiment) -> Iterator[tuple[str, TrainingSettings, int]]:
    """Each training: where it stands, its settings, and how many captions or questions there are for it, if all clips
    can be used."""
    aligned = {}
    for name, variant in experiment.variants.items():
        alignment = experiment.alignment_settings(name)
        if variant.alignment == "contrastive" and alignment.checkpoint:
            if not (alignment.checkpoint / "transceivers.safetensors").is_file():
                raise UserError(
                    f"stage1.checkpoint of '{name}': no transceivers.safetensors in {alignment.checkpoint}: name a "
                    "folder like checkpoints/aligned/seed-0 of a run, or one that tokcom import-checkpoint wrote"
                )
        elif variant.alignment != "none":
            aligned[name] = alignment
    captions, questions = _amounts(experiment.data, captioned=bool(aligned))
    for name, alignment in aligned.items():
        yield f"stage1 of '{name}'", alignment, captions
    for name in experiment.variants:
        yield f"stage2 of '{name}'", experiment.finetuning_settings(name), questions


def _amounts(data: Data, captioned: bool) -> tuple[int, int]:
    """Captions, if any are wanted, and questions to train on."""
    if data.root is None:
        assert data.synthetic is not None
        return data.synthetic.captions, data.synthetic.train_questions
    captions = load_captions(data.root, data.splits.captions) if captioned else []
    return len(captions), len(load_questions(data.root, data.splits.train))
