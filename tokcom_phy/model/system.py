"""The system that joins all parts: transmitters → link → receivers → foundation model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tokcom_phy.model.foundation import Foundation
from tokcom_phy.model.hub import snapshot
from tokcom_phy.model.model_card import model_card
from tokcom_phy.model.receiver import Receiver
from tokcom_phy.model.text import TextBatch
from tokcom_phy.model.transmitter import Transmitter
from tokcom_phy.radio import Link, LinkState
from tokcom_phy.utils.errors import UserError, reason

TEXT = "text"
Delivery = Literal["reliable", "on-air"]
LAYOUT = "a folder with config.json, transceivers.safetensors and, once fine-tuned, adapter/, as save_pretrained writes"


@dataclass(frozen=True)
class SystemConfig:
    """What a system is made of, apart from its weights.

    Attributes
    ----------
    encoder_widths : modality → d_m
        Non-text modalities in the order in which they are concatenated, equation (12).
    token_width : int
        d_T.
    receiver_width : int
        Hidden width of the receivers G_m.
    question : 'reliable' or 'on-air'
        Whether the question reaches the model as it is, or goes over the link and through G_T.
    """

    encoder_widths: dict[str, int]
    token_width: int
    receiver_width: int = 1024
    question: Delivery = "reliable"


@dataclass(frozen=True)
class Transmission:
    """What went over the air.

    Attributes
    ----------
    sent, received : modality → float [b, s_m, d_T]
        Tokens before and after the link.
    masks : modality → bool [b, s_m]
    state : LinkState, or None where nothing was sent
        The realisation that they went through.
    """

    sent: dict[str, Tensor]
    received: dict[str, Tensor]
    masks: dict[str, Tensor]
    state: LinkState | None


@dataclass(frozen=True)
class LinkUse:
    """Which link a batch is sent over, at what SNR [dB], and through which of its realisations.

    ``indices`` holds one number per example. Seed and number determine the realisation.
    """

    link: Link
    snr_db: float | Tensor
    seed: int
    indices: Sequence[int]


class TokenCommSystem(nn.Module, ModelHubMixin):
    """Devices, radio and base station of the paper as one module.

    Parameters
    ----------
    config : SystemConfig
    foundation : Foundation

    Raises
    ------
    UserError
        If the foundation model's width is not the width in ``config``.
    """

    def __init__(self, config: SystemConfig, foundation: Foundation):
        super().__init__()
        if config.token_width != foundation.width:
            raise UserError(
                f"this system sends tokens of width {config.token_width}, foundation model '{foundation.name}' has "
                f"width {foundation.width}: use the model that the system was trained with"
            )
        self.config = config
        self.foundation = foundation
        self.transmitters = nn.ModuleDict(
            {modality: Transmitter(width, config.token_width) for modality, width in config.encoder_widths.items()}
        )
        self.receivers = nn.ModuleDict(
            {
                modality: Receiver(config.token_width, config.receiver_width)
                for modality in (*config.encoder_widths, TEXT)
            }
        )

    def transmit(
        self,
        features: Mapping[str, Tensor],
        text: TextBatch | None,
        use: LinkUse,
    ) -> Transmission:
        """Project features (4), send them and the text over the link (5)–(7).

        Parameters
        ----------
        features : modality → float [b, s_m, d_m]
            What `slide` kept of each encoder's output.
        text : TextBatch, optional
            Text to send over the air; None sends none.
        use : LinkUse
        """
        sent = {modality: self.transmitters[modality](tokens) for modality, tokens in features.items()}
        masks = {m: torch.ones(t.shape[:2], dtype=torch.bool, device=t.device) for m, t in sent.items()}
        padded = {}
        if text is not None:
            sent[TEXT] = self.foundation.embed(text.ids).float()
            padded[TEXT] = masks[TEXT] = text.mask
        if not sent:
            return Transmission({}, {}, {}, None)
        received, state = use.link.transmit(sent, use.snr_db, padded, seed=use.seed, indices=use.indices)
        return Transmission(sent, received, masks, state)

    def receive(self, transmission: Transmission) -> dict[str, Tensor]:
        """Refine received tokens with the receivers (8): modality → float [b, s_m, d_T]."""
        return {modality: self.receivers[modality](tokens) for modality, tokens in transmission.received.items()}

    def read(
        self, features: Mapping[str, Tensor], question: TextBatch, use: LinkUse
    ) -> tuple[Tensor, Tensor, Transmission]:
        """All that the foundation model reads, equation (12): non-text modalities in declared order, then the question.

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
        """The task loss (14) of answering over the radio, a float32 scalar."""
        prefix, mask, _ = self.read(features, question, use)
        return self.foundation.answer_loss(prefix, mask, answer)

    def generate(
        self, features: Mapping[str, Tensor], question: TextBatch, use: LinkUse, max_new_tokens: int = 8
    ) -> tuple[Tensor, Transmission]:
        """Answer questions over the radio: ids int64 [b, ≤ max_new_tokens], and what went over the air."""
        with torch.no_grad():
            prefix, mask, transmission = self.read(features, question, use)
        return self.foundation.generate(prefix, mask, max_new_tokens), transmission

    def transceivers(self) -> dict[str, Tensor]:
        """The weights of all F_m and G_m."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("foundation.")}

    def load_transceivers(self, path: Path) -> None:
        """Load the weights of all F_m and G_m from a safetensors file.

        Raises
        ------
        UserError
            If the file belongs to a system of another size.
        """
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"cannot read the transceivers in {path} ({reason(error)}): get the file again") from error
        own = self.transceivers()
        for name in sorted(own.keys() | tensors.keys()):
            ours = tuple(own[name].shape) if name in own else "absent"
            theirs = tuple(tensors[name].shape) if name in tensors else "absent"
            if ours != theirs:
                raise UserError(
                    f"{path} holds a system of another size: {name} is {theirs} there and {ours} here; use the profile "
                    "and modalities that it was trained with"
                )
        self.load_state_dict(tensors, strict=False)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_directory = Path(save_directory)
        adapted = self.foundation.adapted
        write_system(save_directory, self.config, self.foundation.name, self.transceivers(), adapted=adapted)
        if adapted:
            self.foundation.model.save_pretrained(save_directory / "adapter", save_embedding_layers=False)

    def generate_model_card(self) -> ModelCard:
        """The model card that `save_pretrained` and `push_to_hub` write as ``README.md``."""
        return _card(self.config, self.foundation.name, self.transceivers(), self.foundation.adapted)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # no **kwargs: a misspelt option must not be swallowed
        cls,
        name_or_folder: str | Path,
        *,
        foundation: Foundation | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
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

        Raises
        ------
        UserError
            If there is no such system, it is damaged, or its foundation model cannot be had.
        """
        folder = Path(name_or_folder)
        if not folder.is_dir():
            try:
                folder = snapshot(str(name_or_folder), revision, token, local_files_only)
            except Exception as error:  # whatever the hub's client meets
                raise UserError(
                    f"no system in {folder}, and none of that name can be had from the hub ({reason(error)}): give "
                    f"{LAYOUT}"
                ) from error
        if not (folder / "transceivers.safetensors").is_file():
            raise UserError(f"{folder} holds no system: give {LAYOUT}")
        settings = json.loads((folder / "config.json").read_text())
        name = settings.pop("foundation_model")
        system = cls(SystemConfig(**settings), foundation or Foundation.load(name))
        system.load_transceivers(folder / "transceivers.safetensors")
        if (folder / "adapter").is_dir():
            system.foundation.model = PeftModel.from_pretrained(
                system.foundation.model, folder / "adapter", is_trainable=True
            )
        return system


def write_system(
    folder: Path, config: SystemConfig, foundation: str, transceivers: Mapping[str, Tensor], *, adapted: bool = False
) -> None:
    """Write what `TokenCommSystem.from_pretrained` reads, but for the adapter: config, transceivers, model card.

    Parameters
    ----------
    folder : Path
        Made if it is not there; a model card that is there is kept.
    config : SystemConfig
    foundation : str
        Name of the foundation model.
    transceivers : dict of str to tensor
        By the names of `TokenCommSystem.transceivers`.
    adapted : bool
        Whether an adapter will stand beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"foundation_model": foundation, **asdict(config)}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    save_file(dict(transceivers), folder / "transceivers.safetensors")
    if not (folder / "README.md").exists():
        _card(config, foundation, transceivers, adapted).save(folder / "README.md")


def _card(config: SystemConfig, foundation: str, transceivers: Mapping[str, Tensor], adapted: bool) -> ModelCard:
    return model_card(
        foundation=foundation,
        token_width=config.token_width,
        receiver_width=config.receiver_width,
        encoder_widths=config.encoder_widths,
        on_air=config.question == "on-air",
        parameters=sum(tensor.numel() for tensor in transceivers.values()),
        adapted=adapted,
    )
