"""The system that joins all parts: transmitters → link → receivers → foundation model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from safetensors.torch import load_file
from torch import Tensor, nn

from tokcom_phy.model.components import OwnPart
from tokcom_phy.model.compression import compress
from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.hub import snapshot
from tokcom_phy.model.saving import LAYOUT, read_config, system_card, write_system
from tokcom_phy.model.system_config import TEXT, SystemConfig
from tokcom_phy.model.text import TextBatch
from tokcom_phy.model.transceivers import build_transceivers, check_shapes, check_transceivers
from tokcom_phy.model.transmission import LinkUse, Transmission
from tokcom_phy.radio import Link, load_link
from tokcom_phy.radio.identifiers import from_bits, to_bits
from tokcom_phy.utils.errors import UserError, nearest, reason
from tokcom_phy.utils.instantiate import TARGET


class TokenCommSystem(nn.Module, ModelHubMixin):
    """Devices, link and base station of the paper as one module.

    Parameters
    ----------
    config : SystemConfig
    foundation : Foundation

    Raises
    ------
    UserError
        If the foundation model's width is not the width in ``config``, or a component cannot be built.
    """

    transmitters: nn.ModuleDict
    receivers: nn.ModuleDict
    selectors: nn.ModuleDict

    def __init__(self, config: SystemConfig, foundation: Foundation):
        super().__init__()
        if config.token_width != foundation.width:
            raise UserError(
                f"this system sends tokens of width {config.token_width}, foundation model '{foundation.name}' has "
                f"width {foundation.width}: use the model that the system was trained with"
            )
        self.config = config
        self.foundation = foundation
        for part, modules in build_transceivers(config).items():
            setattr(self, part, modules)

    def select(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tokens to send, equation (3): modality → float [b, s_m, d_m]; features of that length stay as they are.

        Parameters
        ----------
        features : modality → float [b, ŝ_m or s_m, d_m]
            All tokens of the encoder, or those that `compress` made of them.

        Raises
        ------
        UserError
            If there are fewer tokens than are to be sent, or an own selector fails.
        """
        selected = {}
        for modality, tokens in features.items():
            length = self.config.token_lengths.get(modality, tokens.shape[1])
            if modality in self.selectors:
                shape = (len(tokens), length, tokens.shape[2])
                selected[modality] = self.selectors[modality](tokens, length, shape=shape)
            else:
                how = self.config.components.compression(modality)
                selected[modality] = tokens if length == tokens.shape[1] else compress(tokens, length, how)
        return selected

    def transmit(
        self,
        features: Mapping[str, Tensor],
        text: TextBatch | None,
        use: LinkUse,
    ) -> Transmission:
        """Select (3) and project (4) features, send them and the text over the link (5)–(7).

        Parameters
        ----------
        features : modality → float [b, ŝ_m or s_m, d_m]
            As for `select`.
        text : TextBatch, optional
            Text to send over the air; None sends none.
        use : LinkUse
        """
        sent = {modality: self._project(modality, tokens) for modality, tokens in self.select(features).items()}
        masks = {m: torch.ones(t.shape[:2], dtype=torch.bool, device=t.device) for m, t in sent.items()}
        padded = {}
        if text is not None:
            sent[TEXT] = self.foundation.embed(text.ids).float()
            padded[TEXT] = masks[TEXT] = text.mask
        if not sent:
            return Transmission({}, {}, {}, None)
        on_air, vocabulary = dict(sent), len(self.foundation.tokenizer)
        as_identifiers = text is not None and TEXT in use.link.identifiers
        if text is not None and as_identifiers:
            on_air[TEXT] = to_bits(text.ids, vocabulary)
        received, state = use.link.transmit(on_air, use.snr_db, padded, seed=use.seed, indices=use.indices)
        if as_identifiers:
            ids = from_bits(received[TEXT], vocabulary, self.foundation.tokenizer.pad_token_id)
            received[TEXT] = self.foundation.embed(ids).float()
        return Transmission(sent, received, masks, state)

    def _project(self, modality: str, tokens: Tensor) -> Tensor:
        transmitter = self.transmitters[modality]
        if isinstance(transmitter, OwnPart):
            return transmitter(tokens, shape=(*tokens.shape[:2], self.config.token_width))
        return transmitter(tokens)

    def receive(self, transmission: Transmission) -> dict[str, Tensor]:
        """Refine received tokens with the receivers (8): modality → float [b, s_m, d_T]."""
        return {modality: self._refine(modality, transmission) for modality in transmission.received}

    def _refine(self, modality: str, transmission: Transmission) -> Tensor:
        receiver, tokens = self.receivers[modality], transmission.received[modality]
        if not isinstance(receiver, OwnPart):
            return receiver(tokens)
        known = {"mask": lambda: transmission.masks[modality], "noise_var": lambda: transmission.noise_var(modality)}
        knowledge = {name: value() for name, value in known.items() if name in receiver.arguments}
        return receiver(tokens, shape=tuple(tokens.shape), **knowledge)

    def read(
        self, features: Mapping[str, Tensor], question: TextBatch, use: LinkUse
    ) -> tuple[Tensor, Tensor, Transmission]:
        """The input of the foundation model, equation (12): non-text modalities in declared order, then the question.

        Returns
        -------
        prefix : float [b, p, d_T]
        mask : bool [b, p]
        transmission : Transmission
        """
        on_air = self.config.question == "on-air"
        transmission = self.transmit(features, question if on_air else None, use)
        tokens = self.receive(transmission)
        if not on_air:
            tokens[TEXT] = self.foundation.embed(question.ids).float()
        order = [m for m in self.config.encoder_widths if m in tokens] + [TEXT]
        masks = {**transmission.masks, TEXT: question.mask}
        return (
            torch.cat([tokens[m] for m in order], dim=1),
            torch.cat([masks[m] for m in order], dim=1),
            transmission,
        )

    def forward(
        self,
        features: Mapping[str, Tensor],
        question: TextBatch,
        answer: TextBatch,
        use: LinkUse,
    ) -> Tensor:
        """The task loss (14) of answering over the link, a float32 scalar."""
        prefix, mask, _ = self.read(features, question, use)
        return self.foundation.answer_loss(prefix, mask, answer)

    def generate(
        self, features: Mapping[str, Tensor], question: TextBatch, use: LinkUse, max_new_tokens: int = 8
    ) -> tuple[Tensor, Transmission]:
        """Answer questions over the link: ids int64 [b, ≤ max_new_tokens], and what went over the air."""
        with torch.no_grad():
            prefix, mask, transmission = self.read(features, question, use)
        return self.foundation.generate(prefix, mask, max_new_tokens), transmission

    @torch.no_grad()
    def answer(
        self,
        questions: Sequence[str],
        features: Mapping[str, Tensor],
        link: Link | str,
        snr_db: float,
        seed: int = 0,
        max_new_tokens: int = 8,
    ) -> tuple[list[str], Transmission]:
        """Answer questions about clips, sent over a link.

        Parameters
        ----------
        questions : sequence of b str
        features : modality → float [b, ŝ_m or s_m, d_m]
            Of the clip of each question, as for `select`; a modality may be left out.
        link : Link or str
            A link, or the name or path of one.
        snr_db : float [dB]
        seed : int
            Question i is sent through realisation (seed, i) of the link.
        max_new_tokens : int
            Longest answer.

        Returns
        -------
        texts : list of b str
        transmission : Transmission
            What went over the air.

        Raises
        ------
        UserError
            If a modality is unknown, or its features are not one float [·, d_m] a question.
        """
        device = next(self.parameters()).device
        for modality, tokens in features.items():
            if modality not in self.config.encoder_widths:
                raise UserError(f"unknown modality '{modality}': {nearest(modality, self.config.encoder_widths)}")
            expected = (len(questions), self.config.encoder_widths[modality])
            if tokens.ndim != 3 or (tokens.shape[0], tokens.shape[2]) != expected:
                raise UserError(
                    f"{modality} features have shape {tuple(tokens.shape)}: give {expected[0]} questions' tokens of "
                    f"width {expected[1]}"
                )
        use = LinkUse(load_link(link) if isinstance(link, str) else link, snr_db, seed, range(len(questions)))
        training = self.training
        self.eval()
        try:
            text = self.foundation.tokenize_questions(questions).to(device)
            on_device = {modality: tokens.to(device).float() for modality, tokens in features.items()}
            ids, transmission = self.generate(on_device, text, use, max_new_tokens)
        finally:
            self.train(training)
        return [text.strip() for text in self.foundation.decode(ids)], transmission

    def transceivers(self) -> dict[str, Tensor]:
        """The weights of all F_m and G_m, and of own selectors."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("foundation.")}

    def load_transceivers(self, path: Path) -> None:
        """Load the weights of all F_m and G_m from a safetensors file.

        Raises
        ------
        UserError
            If the file belongs to a system of another size.
        """
        check_shapes({name: tuple(tensor.shape) for name, tensor in self.transceivers().items()}, path)
        self.load_state_dict(load_file(path), strict=False)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_directory = Path(save_directory)
        adapted = self.foundation.adapted
        write_system(save_directory, self.config, self.foundation.name, self.transceivers(), adapted=adapted)
        if adapted:
            self.foundation.save_lora(save_directory / "adapter")

    def generate_model_card(self) -> ModelCard:
        """The model card that `save_pretrained` and `push_to_hub` write as ``README.md``."""
        return system_card(self.config, self.foundation.name, self.transceivers(), self.foundation.adapted)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # no **kwargs: a misspelt option is an error
        cls,
        name_or_folder: str | Path,
        *,
        foundation: Foundation | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        trust_components: bool = False,
    ) -> "TokenCommSystem":
        """Load a system that `save_pretrained` or `push_to_hub` wrote.

        Parameters
        ----------
        name_or_folder : str or path
            Its folder, or its name on the hub.
        foundation : Foundation, optional
            The foundation model if it is loaded already; by default the one that the system names.
        revision, token, local_files_only
            As in `huggingface_hub.snapshot_download`.
        trust_components : bool
            Whether a system from the hub may run the code of the components that it names; one in a folder here may.

        Raises
        ------
        UserError
            If there is no such system, it is damaged, its foundation model cannot be had, or a component that it names
            is not trusted or cannot be imported.
        """
        folder = Path(name_or_folder)
        local = folder.is_dir()
        if not local:
            try:
                folder = snapshot(str(name_or_folder), revision, token, local_files_only)
            except Exception as error:  # any error of the hub's client
                raise UserError(
                    f"no system in {folder}, and none of that name can be had from the hub ({reason(error)}): give "
                    f"{LAYOUT}"
                ) from error
        if not (folder / "transceivers.safetensors").is_file():
            raise UserError(f"{folder} holds no system: give {LAYOUT}")
        name, config = read_config(folder / "config.json")
        named = config.components.named()
        if named and not (local or trust_components):
            paths = ", ".join(f"{key} '{component[TARGET]}'" for key, component in named.items())
            raise UserError(f"{name_or_folder} runs code of its own, {paths}: read it, then pass trust_components=True")
        check_transceivers(config, folder / "transceivers.safetensors")
        system = cls(config, foundation or Foundation.load(name))
        system.load_transceivers(folder / "transceivers.safetensors")
        if (folder / "adapter").is_dir():
            system.foundation.load_lora(folder / "adapter")
        return system
