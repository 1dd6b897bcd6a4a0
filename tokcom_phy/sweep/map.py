"""How often a system answers right at each place of a ray-traced scene: the command ``tokcom map``."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ConfigDict, TypeAdapter

from tokcom_phy.experiments.resolve import ResolvedVariant
from tokcom_phy.model.saving import read_config
from tokcom_phy.model.system_config import TEXT
from tokcom_phy.radio import build_link, load_link
from tokcom_phy.radio.effective_snr import effective_snr_db
from tokcom_phy.radio.link import Link
from tokcom_phy.radio.ofdm import OfdmLink
from tokcom_phy.radio.places import check_traced, draw_places, standing
from tokcom_phy.radio.scene_grid import SceneGrid, scene_grid
from tokcom_phy.radio.seeding import BLOCK, entropy
from tokcom_phy.results.accuracy_model import AccuracyModel
from tokcom_phy.results.answer_map import AnswerMap, draw_map
from tokcom_phy.results.intervals import wilson
from tokcom_phy.results.reading import read_json
from tokcom_phy.results.run import Run
from tokcom_phy.results.trained import dataset_root
from tokcom_phy.sweep.map_folder import FIGURES, MEASURED, PLACES, check_map, open_map
from tokcom_phy.sweep.messages import Start
from tokcom_phy.sweep.opening import locked
from tokcom_phy.sweep.resources import Resources
from tokcom_phy.sweep.stages import system_evaluator
from tokcom_phy.training.evaluate import Evaluation, Evaluator
from tokcom_phy.utils.errors import UserError, nearest
from tokcom_phy.utils.files import write_atomically
from tokcom_phy.utils.progress import tracked

SWEEPS = 12
"""Times that every question is asked to measure how accuracy depends on the SNRs, at other SNRs each time."""

MEASURED_SNR_DB, APART_DB = (-25.0, 15.0), 8.0
"""SNRs that are drawn then for each question [dB]: one for all users, uniform in a range, and how far each user is from
it at most. The devices of one person have similar ones."""

REALISATIONS = 6 * BLOCK
"""Of each place of the map."""

_AT_ONCE = 8
"""Places that are drawn at once."""


@dataclass(frozen=True)
class Answers:
    """Whether each question was answered right, and the effective SNR of its realisation: modality → [dB]."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")

    correct: list[bool]
    effective_snr_db: dict[str, list[float]]

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Answers":
        return cls(evaluation.correct, evaluation.effective_snr_db_each)


_ANSWERS = TypeAdapter(Answers)

Ask = Callable[[Evaluator, int], Evaluation]
"""Asks all questions in one round, by its number."""


def map_answers(
    link: str,
    run_dir: Path,
    variant: str,
    *,
    changes: Mapping[str, Any] | None = None,
    snr_db: float | None = None,
    cell_size: float = 10.0,
    places: int = 20,
    seed: int = 0,
    style: str | None = None,
    out: Path | None = None,
    fresh: bool = False,
) -> AnswerMap:
    """Map how often a trained system answers right at each place of a scene, and simulate some places to check it.

    Parameters
    ----------
    link : name of a ray-traced link, of the run or built in, or path of a link file
    run_dir, variant : the run and its trained variant
    changes : keys of the link to replace
    snr_db : SNR of the link [dB]; by default that of its budget
    cell_size : distance of neighbouring places [m]
    places : random places that are simulated
    seed : of realisations, of the SNRs that are measured at, and of the choice of places
    style : of the figure, see `tokcom_phy.results.styles`
    out : folder; by default beside the run, named after it, the variant and the link
    fresh : delete what an earlier map left in the folder

    Raises
    ------
    UserError
        If the link is not ray-traced or has no SNR, the variant is blind or not trained, the folder holds something
        else, or as `tokcom_phy.radio.raytracing.trace`.
    """
    run = Run.open(run_dir)
    system = _variant(run, variant)
    mapped, channel = check_traced(_link(run, link, changes or {}))
    mapped.check_users(system.users)
    snr_db = mapped.budget_snr_db if snr_db is None else snr_db
    if snr_db is None:
        raise UserError(f"link '{mapped.name}' has no SNR: give --snr DB, or the link a budget")
    target = out or run_dir.resolve().parent / "-".join([run_dir.resolve().name, variant, "map", mapped.name])
    settings = {
        "run": str(run_dir.resolve()),
        "variant": variant,
        "weights": hashlib.sha256(_weights(run, system).read_bytes()).hexdigest(),
        "link": mapped.config.model_dump(mode="json", exclude={"description"}),
        "snr_db": snr_db,
        "cell_size_m": cell_size,
        "places": places,
        "seed": seed,
    }
    channel.check_drawable()
    with locked(target):
        check_map(target, settings, fresh)
        config = mapped.config
        grid = scene_grid(channel.scene, cell_size, config.carrier_frequency, config.num_rx_ant, config.polarization)
        if places > len(grid.cell):
            raise UserError(f"{len(grid.cell)} places are served, {places} cannot be simulated: lower --places")
        open_map(target, settings, fresh)
        drawing = _Map(run, system, mapped, grid, snr_db, seed, target)
        found = drawing.made(places)
        draw_map(found, target / FIGURES, style)
    return found


def _variant(run: Run, name: str) -> ResolvedVariant:
    variants = run.experiment.resolved().variants
    if name not in variants:
        raise UserError(f"{run.path} has no variant '{name}': {nearest(name, variants)}")
    if not variants[name].users:
        raise UserError(f"variant '{name}' sends nothing, so that it answers the same everywhere: map another one")
    if not _weights(run, variants[name]).is_file():
        raise UserError(f"'{name}' of {run.path} is not trained: finish tokcom run first")
    return variants[name]


def _weights(run: Run, variant: ResolvedVariant) -> Path:
    """The trained transceivers of a variant."""
    return variant.system_folder(run.path, run.experiment.seeds[0]) / "transceivers.safetensors"


def _link(run: Run, name: str, changes: Mapping[str, Any]) -> Link:
    own = {link.name: link for link in run.links()}
    return own[name].load() if name in own and not changes else load_link(name, **changes)


@dataclass
class _Map:
    """The steps of a map; what is asked is kept in its folder, so that an interrupted map continues."""

    run: Run
    variant: ResolvedVariant
    link: OfdmLink
    grid: SceneGrid
    snr_db: float
    seed: int
    folder: Path

    def made(self, places: int) -> AnswerMap:
        """The map, and the check of so many random places."""
        chosen = np.random.default_rng(entropy(self.seed, "places")).permutation(len(self.grid.cell))[:places]
        with ExitStack() as stack:
            evaluator = None if self._all_asked(places) else stack.enter_context(self._evaluator())
            measured = self._asked(MEASURED, SWEEPS, "measuring accuracy", evaluator, self._measure)
            simulated = self._asked(
                PLACES, places, "simulating places", evaluator, lambda ask, i: self._simulate(ask, int(chosen[i]))
            )
            model = self._model(measured)
            effective = self._effective_snr_db()
        table = self._table(model, effective)
        with write_atomically(self.folder / "map.csv") as path:
            table.to_csv(path, index=False)
        check = self._check(table.iloc[chosen], simulated)
        with write_atomically(self.folder / "places.csv") as path:
            check.to_csv(path, index=False)
        title = f"{self.variant.name} of {self.run.experiment.title}, over {self.link.name}"
        scene = check_traced(self.link)[1].scene
        return AnswerMap(self.folder, title, self.grid, scene, table, check, model.answers)

    def _all_asked(self, places: int) -> bool:
        wanted = [*((MEASURED, i) for i in range(SWEEPS)), *((PLACES, i) for i in range(places))]
        return all(self._file(*each).is_file() for each in wanted)

    def _file(self, what: str, number: int) -> Path:
        return self.folder / what / f"{number:03d}.json"

    def _evaluator(self) -> AbstractContextManager[Evaluator]:
        """What asks the system all test questions, with the features that the run prepared."""
        root = dataset_root(self.run.path, self.run.experiment).resolve()
        store = root / "features" if self.variant.modalities else None
        for needed in (root, store):
            if needed is not None and not needed.is_dir():
                raise UserError(f"{needed} is not there: tokcom run makes it anew, in the run's folder")
        start = Start(self.run.experiment, self.run.path.resolve(), root, store, Path.cwd())
        if self.run.experiment.threads:
            torch.set_num_threads(self.run.experiment.threads)
        return system_evaluator(self.variant, self.run.experiment.seeds[0], Resources(start), self.run.path)

    def _asked(self, what: str, count: int, words: str, evaluator: Evaluator | None, ask: Ask) -> list[Answers]:
        """Answers of several rounds of all questions; those that have no file yet are asked now."""
        missing = [number for number in range(count) if not self._file(what, number).is_file()]
        for number in tracked(missing, words):
            assert evaluator is not None
            with write_atomically(self._file(what, number)) as path:
                path.write_bytes(_ANSWERS.dump_json(Answers.of(ask(evaluator, number))))
        return [
            read_json(self._file(what, number), _ANSWERS, "delete it and run the same command again")
            for number in range(count)
        ]

    def _measure(self, evaluator: Evaluator, number: int) -> Evaluation:
        """All questions, each at random SNRs: users at random positions, whose path losses power control makes up."""
        config = self.link.config.model_copy(update={"power_control": "large-scale", "budget": None})
        link = build_link(self.link.name, config)
        generator = np.random.default_rng(entropy(self.seed, number, "measured"))
        common = generator.uniform(*MEASURED_SNR_DB, len(evaluator.questions))
        snr_db = {
            user: torch.from_numpy(common + generator.uniform(-APART_DB, APART_DB, len(common))).float()
            for user in self.variant.users
        }
        return evaluator.evaluate(link, snr_db, entropy(self.seed, number, "measured"))

    def _simulate(self, evaluator: Evaluator, place: int) -> Evaluation:
        """All questions, each through a realisation of its own at one place."""
        link = standing(self.link, self.grid.paths.at(torch.tensor([place])), self.grid.cell_size, BLOCK)
        return evaluator.evaluate(link, self.snr_db, entropy(self.seed, place, "simulated"))

    def _model(self, measured: Sequence[Answers]) -> AccuracyModel:
        effective = {
            user: np.concatenate([answers.effective_snr_db[user] for answers in measured])
            for user in self.variant.users
        }
        correct = np.concatenate([answers.correct for answers in measured])
        questions = np.concatenate([np.arange(len(answers.correct)) for answers in measured])
        return AccuracyModel.fit(effective, correct, questions, self.seed)

    def _effective_snr_db(self) -> dict[str, np.ndarray]:
        """Effective SNR of each realisation at each place: user → float [places, realisations] [dB]."""
        link = standing(self.link, self.grid.paths, self.grid.cell_size, REALISATIONS)
        count = len(self.grid.cell)
        batches = [range(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]
        payload = self._num_symbols()
        drawn = [
            draw_places(link, places, REALISATIONS, payload, self.snr_db, entropy(self.seed, "map"))
            for places in tracked(batches, "drawing places")
        ]
        return {user: torch.cat([part[user] for part in drawn]).numpy() for user in payload}

    def _num_symbols(self) -> dict[str, int]:
        """Symbols of each user's payload; of a question on the air, in the mean."""
        width = read_config(_weights(self.run, self.variant).with_name("config.json"))[1].token_width
        tokens = {**self.variant.modalities, TEXT: self.run.question_tokens}
        return {user: max(tokens[user], 1) * width // 2 for user in self.variant.users}

    def _table(self, model: AccuracyModel, snr_db: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """A row a place: where it is, its SNR, SINR of each modality, accuracy and its interval.

        ``snr_db`` are effective SNRs [dB]: user → float [places, realisations].
        """
        _, channel = check_traced(self.link)
        position = self.grid.paths.position.numpy()
        gain_db = 10 * np.log10(self.grid.paths.gain.numpy() / channel.mean_power)
        controlled = self.link.config.power_control == "large-scale"
        columns = {"x_m": position[:, 0], "y_m": position[:, 1]}
        columns["snr_db"] = np.full(len(position), self.snr_db) if controlled else self.snr_db + gain_db
        sinr = {user: torch.from_numpy(10 ** (values / 10)) for user, values in snr_db.items()}
        columns |= {f"sinr_db_{user}": effective_snr_db(values, dim=1).numpy() for user, values in sinr.items()}
        columns["sinr_db"] = effective_snr_db(torch.stack(list(sinr.values())), dim=(0, 2)).numpy()
        columns |= dict(zip(("accuracy", "accuracy_low", "accuracy_high"), model.predict(snr_db), strict=True))
        return pd.DataFrame(columns)

    def _check(self, predicted: pd.DataFrame, simulated: Sequence[Answers]) -> pd.DataFrame:
        """A row a simulated place: what was predicted and found there, and whether both agree."""
        rows = predicted.rename(columns=lambda name: name.replace("accuracy", "predicted")).reset_index(drop=True)
        asked = [(sum(answers.correct), len(answers.correct)) for answers in simulated]
        rows["simulated"] = [right / number for right, number in asked]
        intervals = [wilson(right, number) for right, number in asked]
        rows["simulated_low"], rows["simulated_high"] = zip(*intervals, strict=True) if intervals else ((), ())
        rows["within"] = rows["predicted"].between(rows["simulated_low"], rows["simulated_high"])
        return rows
