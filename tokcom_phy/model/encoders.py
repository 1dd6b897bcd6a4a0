"""Modality encoders, equation (2): a frozen AST for sound, a frozen ViViT for pictures, features from arrays, or one's
own by import path."""

import hashlib
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import ASTFeatureExtractor, ASTModel, VivitImageProcessor, VivitModel
from transformers.utils import is_speech_available

from tokcom_phy.model.arrays import array_files, common_shape, read_array
from tokcom_phy.model.hub import LOADING, cannot_load, locate
from tokcom_phy.utils.errors import MediaError, UserError, nearest, quoted
from tokcom_phy.utils.instantiate import TARGET, instantiate, source_of

Source = str | Path | Mapping[str, Any]
"""How an encoder is named: shipped, folder or hub name; ``{features: DIR}``; or ``{_target_: module.Class, …}``."""

FEATURES = "features"

WINDOW = 400
"""Samples of one window of AST's spectrogram: 25 ms."""

MEL_FLOOR = 2.0**-23
"""Smallest energy of a mel band that AST's spectrogram tells from silence."""

AST_BASE_SECONDS = 10.24
"""How much sound AST base takes: 1,024 frames of 10 ms."""


class Encoder(ABC):
    """A frozen encoder E_m of one modality with its own preprocessing, equation (2).

    One's own is a subclass that sets the attributes in its constructor. It is named in an experiment by its import path
    and gets the arguments that stand beside it, and ``modality`` and ``device`` where it names them.

    Attributes
    ----------
    modality : str
        Name of the modality, set by `load_encoder`.
    num_tokens : int
        ŝ_m, tokens that a clip becomes.
    width : int
        d_m, values a token has.
    takes : ``"sound"``, ``"pictures"`` or ``"file"``
        What a clip's media are: float32 [n] in [−1, 1], mono, 16 kHz; uint8 [num_frames, height, width, 3], RGB; or the
        path of a file ``ID.*`` in ``folder``.
    num_frames : int
        Frames that are taken of a clip, for one that takes pictures.
    folder : Path, optional
        Where its files are, for one that takes files; by default the folder of the dataset that is named as the
        modality.
    seconds : float, optional
        How much of a clip's sound it takes [s]; all of it by default.
    fingerprint : str
        Equal for encoders that give equal tokens: what is stored under another one is encoded anew. By default a digest
        of the arguments and of the source file of the class; one whose weights come from elsewhere sets its own.
    """

    modality: str
    num_tokens: int
    width: int
    takes: Literal["sound", "pictures", "file"] = "file"
    num_frames: int = 0
    folder: Path | None = None
    seconds: float | None = None
    fingerprint: str = ""

    @abstractmethod
    def encode(self, media: Sequence[Any]) -> Tensor:
        """Turn the media of b clips into tokens, equation (2).

        Returns
        -------
        float32 [b, num_tokens, width], on the CPU

        Raises
        ------
        MediaError
            If a clip cannot be used: it is skipped, with the message.
        """


class PretrainedEncoder(Encoder):
    """An encoder of transformers.

    Attributes
    ----------
    name : str
        The hub name or folder it was loaded from.
    """

    def __init__(self, name: str, model: Any, processor: Any) -> None:
        self.name = name
        self._model = model.eval().requires_grad_(False)
        self._processor = processor
        self.num_tokens = model.embeddings.position_embeddings.shape[1]
        self.width = model.config.hidden_size

    @abstractmethod
    def preprocess(self, media: NDArray[Any]) -> Tensor:
        """Turn the media of one clip into the model's input, float32."""

    @torch.inference_mode()
    def encode(self, media: Sequence[NDArray[Any]]) -> Tensor:
        inputs = torch.stack([self.preprocess(item) for item in media]).to(self._model.device)
        return self._model(inputs).last_hidden_state.cpu()

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """A digest of configuration, processor and weights."""
        return self._digest()

    def _digest(self) -> str:
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


class AudioEncoder(PretrainedEncoder):
    """AST: a log-mel spectrogram in patches.

    It takes the first `seconds` of a clip. With several ``windows`` a clip is cut into so many equal parts, and it
    takes the beginning of each; their tokens follow one another.
    """

    takes = "sound"

    def __init__(self, name: str, model: Any, processor: Any, windows: int = 1) -> None:
        super().__init__(name, model, processor)
        self.windows = windows
        self.num_tokens *= windows
        self.seconds = windows * processor.max_length * (WINDOW * 2 // 5) / processor.sampling_rate

    def preprocess(self, media: NDArray[Any]) -> Tensor:
        if len(media) < WINDOW:
            raise MediaError(f"{len(media)} samples of sound are fewer than the {WINDOW} of one spectrogram window")
        rate = self._processor.sampling_rate
        return self._processor(media, sampling_rate=rate, return_tensors="pt")["input_values"][0]

    def encode(self, media: Sequence[NDArray[Any]]) -> Tensor:
        if self.windows == 1:
            return super().encode(media)
        parts = [np.array_split(waveform, self.windows) for waveform in media]
        return torch.cat([super(AudioEncoder, self).encode(part) for part in zip(*parts, strict=True)], dim=1)

    def _digest(self) -> str:
        return super()._digest() + (f"-{self.windows}-windows" if self.windows > 1 else "")


class VideoEncoder(PretrainedEncoder):
    """ViViT: frames in tubelets."""

    takes = "pictures"

    def __init__(self, name: str, model: Any, processor: Any) -> None:
        super().__init__(name, model, processor)
        self.num_frames = model.config.num_frames

    def preprocess(self, media: NDArray[Any]) -> Tensor:
        return self._processor(list(media), return_tensors="pt")["pixel_values"][0]


class ArrayFeatures(Encoder):
    """Features that were made elsewhere: ``ID.npy`` or ``ID.safetensors`` in a folder, floating point [ŝ, d] each.

    Parameters
    ----------
    folder : path
    key : str
        The setting that names it, for messages.

    Raises
    ------
    UserError
        If there are none, one is something else, or their shapes differ.
    """

    def __init__(self, folder: str | Path, key: str) -> None:
        self.folder = Path(folder)
        self.num_tokens, self.width = common_shape(array_files(self.folder, key), key)
        self.fingerprint = f"array-{self.num_tokens}-{self.width}"

    def encode(self, media: Sequence[Path]) -> Tensor:
        return torch.stack([read_array(path) for path in media])


_KINDS: dict[str, tuple[type[PretrainedEncoder], Any, Any, str, dict[str, Any]]] = {
    "audio": (AudioEncoder, ASTModel, WindowedASTFeatureExtractor, "audio-spectrogram-transformer", {}),
    "video": (VideoEncoder, VivitModel, VivitImageProcessor, "vivit", {"add_pooling_layer": False}),
}


def check_source(modality: str, source: Any) -> None:
    """See that an encoder is named in one of the ways that `load_encoder` takes, without looking for it.

    Raises
    ------
    UserError
        If it is not; the message does not name the key.
    """
    if isinstance(source, str | Path):
        _known(modality)
    elif not isinstance(source, Mapping) or not (TARGET in source or set(source) == {FEATURES}):
        raise UserError(
            f"{quoted(source)} names no encoder: write a model's name, {{features: DIR}} or {{{TARGET}: …}}"
        )
    elif TARGET not in source and not isinstance(source[FEATURES], str | Path):
        raise UserError(f"features is {quoted(source[FEATURES])}: name a folder with ID.npy or ID.safetensors files")


def num_tokens(modality: str, source: Source, audio_windows: int = 1) -> int:
    """ŝ_m of an encoder; a model tells it by its configuration, without its weights. Raises as `load_encoder` does."""
    check_source(modality, source)
    if isinstance(source, Mapping):
        return load_encoder(modality, source).num_tokens
    tokens = _skeleton(modality, source).embeddings.position_embeddings.shape[1]
    return tokens * (audio_windows if modality == "audio" else 1)


def encoder_width(modality: str, source: Source) -> int:
    """d_m of an encoder, likewise."""
    check_source(modality, source)
    if isinstance(source, Mapping):
        return load_encoder(modality, source).width
    return _skeleton(modality, source).config.hidden_size


def _skeleton(modality: str, name_or_folder: str | Path) -> Any:
    """An encoder model without values in its weights, made from its configuration."""
    _, model_class, _, _, options = _KINDS[modality]
    folder = _find(modality, name_or_folder)
    try:
        with torch.device("meta"):
            return model_class(model_class.config_class.from_pretrained(folder), **options)
    except Exception as error:  # whatever a damaged config makes its class do
        raise cannot_load(f"the {modality} encoder", folder, error) from error


def load_encoder(modality: str, source: Source, device: str = "cpu", audio_windows: int = 1) -> Encoder:
    """Load a frozen encoder in float32.

    Parameters
    ----------
    modality : str
        ``"audio"``: an AST; ``"video"``: a ViViT; any other one with features from arrays or an encoder of one's own.
    source : str, path or mapping
        A shipped model (``tiny/audio``), a folder, or a hub name, see `tokcom_phy.model.hub.locate`; ``{features:
        DIR}``, see `ArrayFeatures`; or ``{_target_: module.Class, …}``, see `Encoder`.
    device : str
        Where it runs.
    audio_windows : int
        Windows of an AST.

    Raises
    ------
    UserError
        If the modality is unknown, the model is not found, is of another architecture or lacks weights, or one's own
        cannot be built.
    """
    check_source(modality, source)
    if isinstance(source, Mapping):
        encoder = _own(modality, source, device)
        encoder.modality = modality
        return encoder
    encoder_class, model_class, processor_class, _, options = _KINDS[modality]
    folder = _find(modality, source)
    try:
        with LOADING, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "At least one mel filter")  # as in every AST
            model, report = model_class.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True, **options
            )
            processor = processor_class.from_pretrained(folder)
    except Exception as error:  # whatever damaged files make its class do
        raise cannot_load(f"the {modality} encoder", folder, error) from error
    if report["missing_keys"]:
        raise UserError(f"the {modality} encoder in {folder} lacks weights {sorted(report['missing_keys'])[:3]}")
    more = {"windows": audio_windows} if encoder_class is AudioEncoder else {}
    encoder = encoder_class(str(source), model.to(device), processor, **more)
    encoder.modality = modality
    return encoder


def _own(modality: str, source: Mapping[str, Any], device: str) -> Encoder:
    """Features from arrays, or an encoder by its import path."""
    key = f"encoders.{modality}"
    if TARGET not in source:
        return ArrayFeatures(source[FEATURES], f"{key}.{FEATURES}")
    encoder = instantiate(source, key, Encoder, modality=modality, device=device)
    for name in ("num_tokens", "width"):
        value = getattr(encoder, name, None)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{key}: '{source[TARGET]}' has {name} {quoted(value)}: set a positive integer")
    if encoder.takes not in ("sound", "pictures", "file"):
        raise UserError(f"{key}: '{source[TARGET]}' takes {quoted(encoder.takes)}: sound, pictures or file")
    if encoder.takes == "pictures" and encoder.num_frames < 1:
        raise UserError(f"{key}: '{source[TARGET]}' takes pictures: set num_frames, how many of a clip")
    if not encoder.fingerprint:
        made_of = json.dumps([source, source_of(source, key)], sort_keys=True, default=str)
        encoder.fingerprint = hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()
    return encoder


def _known(modality: str) -> str:
    if modality not in _KINDS:
        raise UserError(
            f"unknown modality '{modality}': {nearest(modality, _KINDS)} Others take {{features: DIR}} or "
            f"{{{TARGET}: …}}"
        )
    return modality


def _find(modality: str, name_or_folder: str | Path) -> Path:
    """The folder of an encoder of this modality."""
    folder = locate(name_or_folder, ["config.json", "preprocessor_config.json"], f"encoders.{modality}")
    wanted = _KINDS[modality][3]
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise cannot_load(f"the {modality} encoder", folder, error) from error
    if found != wanted:
        raise UserError(f"the {modality} encoder in {folder} is '{found}', expected '{wanted}'")
    return folder
