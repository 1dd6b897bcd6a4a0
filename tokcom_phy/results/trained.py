"""A run's trained system, ready to be asked about a clip over any link."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tokcom_phy.data.encode import Skipped, encode_clip
from tokcom_phy.data.media import ClipFiles
from tokcom_phy.data.sources import Sources, find_sources
from tokcom_phy.data.store import Modality
from tokcom_phy.experiments.resolve import ResolvedLink, ResolvedVariant
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.model.compression import compress
from tokcom_phy.model.encoders import Encoder, load_encoder
from tokcom_phy.model.system import TokenCommSystem
from tokcom_phy.model.transmission import LinkUse, Transmission
from tokcom_phy.radio import Link, load_link
from tokcom_phy.utils.errors import UserError, nearest


class TrainedSystem:
    """A trained system with its run's encoders, links and clips.

    Parameters
    ----------
    system : TokenCommSystem
    variant : ResolvedVariant
    experiment : Experiment
    links : name → ResolvedLink
        Those that can be named beside the built-in ones.
    run_dir : Path
    longest : int
        Most tokens of an answer, those of the longest answer that the run asks for.
    """

    def __init__(
        self,
        system: TokenCommSystem,
        variant: ResolvedVariant,
        experiment: Experiment,
        links: Mapping[str, ResolvedLink],
        run_dir: Path,
        longest: int,
    ):
        self.longest = longest
        self.system = system
        self.variant = variant
        self.experiment = experiment
        self._links = links
        self._run_dir = run_dir
        self._encoders: dict[str, Encoder] = {}

    def answer(
        self,
        question: str | Sequence[str],
        clip: str | Path,
        link: str | Link,
        snr_db: float,
        seed: int = 0,
    ) -> tuple[str | list[str], Transmission]:
        """Ask one or several questions about a clip, sent over a link.

        Parameters
        ----------
        question : str or sequence of str
        clip : str or path
            A media file, or the ``video_id`` of a clip of the run's dataset. It is decoded and encoded as `prepare`
            does it. A blind system looks at none.
        link : str or Link
            A link of the run, a built-in one, a link file's path, or a Link.
        snr_db : float [dB]
        seed : int
            Question i is sent through realisation (seed, i) of the link.

        Returns
        -------
        text : str, or list of str for several questions
        transmission : Transmission
            What went over the air.

        Raises
        ------
        UserError
            If there is no such clip or link, or the clip cannot be decoded.
        """
        questions = [question] if isinstance(question, str) else list(question)
        features = {m: tokens.expand(len(questions), -1, -1) for m, tokens in self.features(clip).items()}
        texts, transmission = self.system.answer(questions, features, self.link(link), snr_db, seed, self.longest)
        return (texts[0] if isinstance(question, str) else texts), transmission

    def link(self, link: str | Link) -> Link:
        """A link by its name in the run, a built-in one's, or a link file's path."""
        if not isinstance(link, str):
            return link
        return self._links[link].load() if link in self._links else load_link(link)

    def clip_file(self, clip: str | Path) -> Path:
        """The media file of a clip: the file itself, or the one of a ``video_id`` of the run's dataset.

        Raises
        ------
        UserError
            If there is no such clip, or it has no media file.
        """
        media = self._sources(clip, {m: self._encoder(m) for m in self.variant.modalities}).media
        for path in (media.video, media.audio):
            if path is not None and path.is_file():
                return path
        raise UserError(f"clip '{clip}' has no media file to be played")

    @torch.no_grad()
    def probabilities(
        self,
        question: str,
        features: Mapping[str, Tensor],
        link: Link,
        snr_db: float,
        seed: int,
        answers: Sequence[str],
    ) -> list[float]:
        """How likely each of these answers is, given what arrived: its tokens and the end token after it.

        Parameters
        ----------
        question : str
        features : modality → float [1, s_m, d_m], as `features` gives them
        link : Link
        snr_db : float [dB]
        seed : int
            As for `answer`: the question is sent through realisation (seed, 0).
        answers : sequence of str

        Returns
        -------
        list of float
            They sum to one over all texts, hence to less over these.
        """
        foundation = self.system.foundation
        self.system.eval()
        text = foundation.tokenize_questions([question])
        prefix, mask, _ = self.system.read(features, text, LinkUse(link, snr_db, seed, range(1)))
        targets = foundation.tokenize_answers(list(answers))
        each = (prefix.expand(len(answers), -1, -1), mask.expand(len(answers), -1))
        log_probs = -foundation.answer_losses(*each, targets) * targets.mask.sum(1)
        return [float(p) for p in log_probs.exp()]

    def features(self, clip: str | Path) -> dict[str, Tensor]:
        """Tokens of a clip (2) that are sent (3), in the precision of the feature store, or all for an own selector:
        modality → float32 [1, s_m or ŝ_m, d_m]."""
        data = self.experiment.data
        encoders = {m: self._encoder(m) for m in self.variant.modalities}
        if not encoders:
            return {}
        whole = {
            m: Modality(
                encoder.fingerprint, encoder.num_tokens, encoder.width, tuple(range(encoder.num_tokens)), data.fps
            )
            for m, encoder in encoders.items()
        }
        features = encode_clip(self._sources(clip, encoders), encoders, whole)
        if isinstance(features, Skipped):
            raise UserError(features.reason)
        found = {}
        for m, encoder in encoders.items():
            tokens = torch.from_numpy(features.tokens[m]).float().view(1, encoder.num_tokens, encoder.width)
            found[m] = (
                tokens
                if m in self.system.selectors
                else compress(tokens, self.variant.modalities[m], self.variant.components.compression(m))
            )
        return found

    def _encoder(self, modality: str) -> Encoder:
        """The encoder of a modality, loaded at its first use."""
        if modality not in self._encoders:
            source, windows = self.experiment.encoders[modality], self.experiment.data.audio_windows
            self._encoders[modality] = load_encoder(modality, source, audio_windows=windows)
        return self._encoders[modality]

    def _sources(self, clip: str | Path, encoders: Mapping[str, Encoder]) -> Sources:
        path = Path(clip)
        if path.is_file():
            return Sources(
                ClipFiles(path, path), {m: path for m, encoder in encoders.items() if encoder.takes == "file"}
            )
        root = dataset_root(self._run_dir, self.experiment)
        clips = find_sources(root, encoders)[0] if root.is_dir() else {}
        if str(clip) not in clips:
            raise UserError(f"no media file '{clip}', and no such clip in {root}: give a file, or a video_id")
        return clips[str(clip)]


def load_system(run_dir: Path, experiment: Experiment, variant: str, seed: int) -> TokenCommSystem:
    """What stage 2 left of a variant.

    Raises
    ------
    UserError
        If there is no such variant, it has not been trained with this seed, or its files are damaged.
    """
    if variant not in experiment.resolved().variants:
        raise UserError(f"unknown variant '{variant}': {nearest(variant, experiment.resolved().variants)}")
    folder = experiment.resolved().variants[variant].system_folder(run_dir, seed)
    if not folder.is_dir():
        seeds = ", ".join(map(str, experiment.seeds))
        raise UserError(
            f"variant '{variant}' is not trained with seed {seed}: no {folder}; the experiment's seeds are {seeds}"
        )
    return TokenCommSystem.from_pretrained(folder)


def dataset_root(run_dir: Path, experiment: Experiment) -> Path:
    """The dataset of a run: the one that its settings name, or the synthetic corpus beside it."""
    if experiment.data.root is not None:
        return experiment.data.root
    corpus = experiment.data.synthetic
    assert corpus is not None  # an experiment has one or the other
    return corpus.folder(run_dir.resolve())
