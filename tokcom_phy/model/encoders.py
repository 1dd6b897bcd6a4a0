"""Modality encoders, equation (2): a frozen AST for sound, a frozen ViViT for pictures."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import ASTFeatureExtractor, ASTModel, VivitImageProcessor, VivitModel
from transformers.utils import is_speech_available

from tokcom_phy.model.hub import LOADING, locate
from tokcom_phy.utils.errors import MediaError, UserError, nearest, reason

WINDOW = 400
"""Samples of one window of AST's spectrogram: 25 ms."""

MEL_FLOOR = 2.0**-23
"""Smallest energy of a mel band that AST's spectrogram tells from silence."""


AST_BASE_SECONDS = 10.24
"""How much sound AST base hears: 1,024 frames of 10 ms."""


class Encoder(ABC):
    """A frozen encoder E_m of one modality with its own preprocessing, equation (2).

    Attributes
    ----------
    modality : str
        ``"audio"`` or ``"video"``.
    name : str
        The hub name or folder it was loaded from.
    num_tokens : int
        ŝ_m, tokens that a clip becomes.
    width : int
        d_m, values a token has.
    """

    modality: str

    def __init__(self, name: str, model: Any, processor: Any) -> None:
        self.name = name
        self._model = model.eval().requires_grad_(False)
        self._processor = processor
        self.num_tokens: int = model.embeddings.position_embeddings.shape[1]
        self.width: int = model.config.hidden_size

    @abstractmethod
    def preprocess(self, media: NDArray[Any]) -> Tensor:
        """Turn the media of one clip into the model's input, float32."""

    @torch.inference_mode()
    def encode(self, media: Sequence[NDArray[Any]]) -> Tensor:
        """Turn a batch of media into tokens, equation (2).

        Parameters
        ----------
        media : list of b arrays
            Sound: float32 [n] in [−1, 1], mono, 16 kHz. Pictures: uint8 [num_frames, height, width, 3], RGB.

        Returns
        -------
        float32 [b, num_tokens, width], on the CPU

        Raises
        ------
        MediaError
            If a sound is shorter than one spectrogram window.
        """
        inputs = torch.stack([self.preprocess(item) for item in media]).to(self._model.device)
        return self._model(inputs).last_hidden_state.cpu()

    @cached_property
    def fingerprint(self) -> str:
        """A digest of configuration, processor and weights: equal for encoders that give equal tokens."""
        digest = hashlib.blake2b(digest_size=16)
        config = self._model.config.to_diff_dict()
        for key in ("_name_or_path", "transformers_version", "dtype", "architectures"):
            config.pop(key, None)
        digest.update(repr(sorted(config.items())).encode())
        digest.update(self._processor.to_json_string().encode())
        for key, value in sorted(self._model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.cpu().numpy().tobytes())
        return digest.hexdigest()


class WindowedASTFeatureExtractor(ASTFeatureExtractor):
    """AST's own feature extractor, with the spectrogram of all windows computed at once and not one after another.

    The numbers are the same, in a quarter of the time, and on no more threads than PyTorch was given. Where torchaudio
    is installed, its filter bank is used, as ever.
    """

    def _extract_fbank_features(self, waveform: NDArray[Any], max_length: int) -> NDArray[Any]:
        if is_speech_available():
            return super()._extract_fbank_features(waveform, max_length)
        windows = sliding_window_view(waveform.astype(np.float64), WINDOW)[:: WINDOW * 2 // 5][:max_length]
        windows = windows - windows.mean(axis=1, keepdims=True)
        emphasised = windows - 0.97 * np.concatenate([windows[:, :1], windows[:, :-1]], axis=1)
        spectrum = np.fft.rfft(emphasised * self.window, 512)
        power = torch.from_numpy(spectrum.real**2 + spectrum.imag**2)
        mel = power @ torch.from_numpy(self.mel_filters)
        log_mel = mel.clamp(min=MEL_FLOOR).log().float()
        return functional.pad(log_mel, (0, 0, 0, max_length - len(log_mel))).numpy()


class AudioEncoder(Encoder):
    """AST: a log-mel spectrogram in patches."""

    modality = "audio"

    def preprocess(self, media: NDArray[Any]) -> Tensor:
        if len(media) < WINDOW:
            raise MediaError(f"{len(media)} samples of sound are fewer than the {WINDOW} of one spectrogram window")
        rate = self._processor.sampling_rate
        return self._processor(media, sampling_rate=rate, return_tensors="pt")["input_values"][0]


class VideoEncoder(Encoder):
    """ViViT: frames in tubelets.

    Attributes
    ----------
    num_frames : int
        Frames that a clip must have.
    """

    modality = "video"

    def __init__(self, name: str, model: Any, processor: Any) -> None:
        super().__init__(name, model, processor)
        self.num_frames: int = model.config.num_frames

    def preprocess(self, media: NDArray[Any]) -> Tensor:
        return self._processor(list(media), return_tensors="pt")["pixel_values"][0]


_KINDS: dict[str, tuple[type[Encoder], Any, Any, str, dict[str, Any]]] = {
    "audio": (AudioEncoder, ASTModel, WindowedASTFeatureExtractor, "audio-spectrogram-transformer", {}),
    "video": (VideoEncoder, VivitModel, VivitImageProcessor, "vivit", {"add_pooling_layer": False}),
}


def num_tokens(modality: str, name_or_folder: str | Path) -> int:
    """ŝ_m of an encoder, from its configuration; loads no weights, raises as `load_encoder` does."""
    _, model_class, _, _, options = _KINDS[_known(modality)]
    folder = _find(modality, name_or_folder)
    try:
        with torch.device("meta"):
            model = model_class(model_class.config_class.from_pretrained(folder), **options)
    except Exception as error:  # whatever a damaged config makes its class do
        raise _cannot_load(modality, folder, error) from error
    return model.embeddings.position_embeddings.shape[1]


def load_encoder(modality: str, name_or_folder: str | Path, device: str = "cpu") -> Encoder:
    """Load a frozen encoder in float32.

    Parameters
    ----------
    modality : str
        ``"audio"``: an AST; ``"video"``: a ViViT.
    name_or_folder : str or path
        A shipped model (``tiny/audio``), a folder, or a hub name, see `tokcom_phy.model.hub.locate`.
    device : str
        Where it runs.

    Raises
    ------
    UserError
        If the modality is unknown, the model is not found, is of another architecture or lacks weights.
    """
    encoder, model_class, processor_class, _, options = _KINDS[_known(modality)]
    folder = _find(modality, name_or_folder)
    try:
        with LOADING:
            model, report = model_class.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True, **options
            )
        processor = processor_class.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _cannot_load(modality, folder, error) from error
    if report["missing_keys"]:
        raise UserError(f"the {modality} encoder in {folder} lacks weights {sorted(report['missing_keys'])[:3]}")
    return encoder(str(name_or_folder), model.to(device), processor)


def _known(modality: str) -> str:
    if modality not in _KINDS:
        raise UserError(f"unknown modality '{modality}': {nearest(modality, _KINDS)}")
    return modality


def _find(modality: str, name_or_folder: str | Path) -> Path:
    """The folder of an encoder of this modality."""
    folder = locate(name_or_folder, ["config.json", "preprocessor_config.json"], f"encoders.{modality}")
    wanted = _KINDS[modality][3]
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError) as error:
        raise _cannot_load(modality, folder, error) from error
    if found != wanted:
        raise UserError(f"the {modality} encoder in {folder} is '{found}', expected '{wanted}'")
    return folder


def _cannot_load(modality: str, folder: Path, error: Exception) -> UserError:
    return UserError(f"cannot load the {modality} encoder in {folder} ({reason(error)}): get its files again")
