"""Locating pretrained models: shipped with the package, in a folder, in the local cache, or on the hub."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from pickle import UnpicklingError
from threading import Lock, Thread

from huggingface_hub import HfApi, ModelInfo, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from tokcom_phy.utils.errors import UserError, nearest, reason

LOADING = Lock()
"""Held while transformers loads a model: it patches its own classes meanwhile, which is not thread-safe."""

HUB_TIMEOUT_S = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 5)
"""Time limit for the hub's answer on what a repository holds [s]; the variable is that of its client."""

_SHIPPED = Path(__file__).resolve().parents[1] / "assets"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def is_local(name: str | Path) -> bool:
    """Whether a model is shipped or is a local folder or file, so that nothing is downloaded."""
    return str(name).startswith("tiny/") or Path(name).expanduser().exists()


def is_hub_name(name: str) -> bool:
    """Whether a model on the hub may have this name, ``OWNER/REPOSITORY``, or a GGUF file, with its path behind it."""
    repository = "/".join(name.split("/")[:2]) if name.endswith(".gguf") else name
    try:
        validate_repo_id(repository)
    except HFValidationError:
        return False
    return True


def absolute(name: str | Path) -> str:
    """A model's name as it holds from any working directory: of a folder or file here, its absolute path."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else str(name)


def locate(name_or_folder: str | Path, files: Sequence[str], setting: str) -> Path:
    """Find the folder of a pretrained model.

    A shipped model (``tiny/audio``) is found by name, a local one by its folder, any other by its hub name: in the
    local cache, else downloaded. Nothing is downloaded unless it is named and not in the cache.

    Parameters
    ----------
    name_or_folder : str or path
    files : list of str
        Files that the folder must hold beside the weights, e.g. ``["config.json", "preprocessor_config.json"]``.
    setting : str
        The key of an experiment that names the model, for messages.

    Returns
    -------
    Path
        An existing folder with ``files`` and weights.

    Raises
    ------
    UserError
        If there is no such model, or it lacks a file; the message tells the layout expected.
    """
    name = str(name_or_folder)
    layout = f"a folder with {', '.join(files)} and model.safetensors"
    folder = Path(name).expanduser()
    if name.startswith("tiny/") and not folder.is_dir():
        folder = _SHIPPED / name
        if not folder.is_dir():
            shipped = [f"tiny/{path.name}" for path in (_SHIPPED / "tiny").glob("*") if path.is_dir()]
            raise UserError(f"no shipped model '{name}': {nearest(name, shipped) if shipped else f'give {layout}'}")
    if folder.is_dir():
        missing = _missing(folder, files)
        if missing:
            raise UserError(f"{folder} has no {', no '.join(missing)}: a model is {layout}")
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise UserError(f"no folder {folder}: give {layout}, or a hub name")
    return _from_hub(name, files, layout, setting)


def locate_gguf(name_or_file: str | Path, setting: str) -> Path:
    """Find a GGUF file: a local one by its path, any other as ``OWNER/REPOSITORY/FILE.gguf`` on the hub.

    Raises
    ------
    UserError
        If there is no such file, or it is no GGUF file.
    """
    name = str(name_or_file)
    file = Path(name).expanduser()
    if not file.is_file():
        owner, _, rest = name.partition("/")
        repository, _, path = rest.partition("/")
        if file.is_absolute() or name.startswith((".", "~")) or not path:
            raise UserError(f"no file {file}: give a GGUF file, or OWNER/REPOSITORY/FILE.gguf on the hub")
        file = _file_from_hub(f"{owner}/{repository}", path, setting)
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise UserError(f"{file} is no GGUF file: get it again")
    return file.absolute()


def cannot_load(what: str, path: Path, error: Exception) -> UserError:
    """What to tell of a model whose files cannot be loaded."""
    why = reason(error)
    if isinstance(error, UnpicklingError) or "Weights only load failed" in str(error):
        why = "its weights hold more than tensors and are not unpickled, for that could run any code"
    return UserError(f"cannot load {what} from {path} ({why}): get its files again, as safetensors")


def repository_info(name: str, revision: str | None = None, token: str | bool | None = None) -> ModelInfo:
    """The hub's description of a repository, from one request of at most `HUB_TIMEOUT_S`.

    The client's own timeouts hold for each address and leave out name resolution. Without a network they add up to
    minutes, hence the thread.

    Raises
    ------
    Exception
        Any error of the hub's client: no network, no such repository, no access.
    """
    answer: Future[ModelInfo] = Future()

    def ask() -> None:
        try:
            answer.set_result(HfApi().model_info(name, revision=revision, token=token, timeout=2 * HUB_TIMEOUT_S))
        except Exception as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        return answer.result(HUB_TIMEOUT_S)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {HUB_TIMEOUT_S:g} s; HF_HUB_ETAG_TIMEOUT allows more") from error


def snapshot(
    name: str, revision: str | None = None, token: str | bool | None = None, local_files_only: bool = False
) -> Path:
    """The folder of a repository, downloaded from the hub; from the local cache if the hub does not answer.

    Raises
    ------
    Exception
        As `repository_info` does, if the cache has no copy.
    """
    no_answer: Exception | None = None
    if not local_files_only:
        try:
            repository_info(name, revision, token)
        except Exception as error:
            no_answer = error
    cached = local_files_only or no_answer is not None
    try:
        return Path(snapshot_download(name, revision=revision, token=token, local_files_only=cached))
    except Exception as error:
        raise no_answer or error from error


def _missing(folder: Path, files: Sequence[str]) -> list[str]:
    missing = [file for file in files if not (folder / file).is_file()]
    weights = next((file for file in _WEIGHTS if (folder / file).is_file()), None)
    if weights is None:
        return [*missing, "model.safetensors"]
    if weights.endswith(".index.json"):
        try:
            shards = set(json.loads((folder / weights).read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError):
            return [*missing, f"valid {weights}"]
        missing += sorted(shard for shard in shards if not (folder / shard).is_file())
    return missing


def _from_hub(name: str, files: Sequence[str], layout: str, setting: str) -> Path:
    try:
        cached = try_to_load_from_cache(name, files[0])
        if isinstance(cached, str) and not _missing(Path(cached).parent, files):
            return Path(cached).parent
        there = {sibling.rfilename for sibling in repository_info(name).siblings or ()}
        weights = "model*.safetensors*" if any(file in there for file in _WEIGHTS[:2]) else "pytorch_model*.bin*"
        folder = Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", weights]))
    except Exception as error:  # any error of the hub's client: no network, no such model, no access, a full disk
        raise UserError(
            f"model '{name}' is not in the local cache and cannot be had from the hub ({reason(error)}): give "
            f"{layout}, as --set {setting}=FOLDER"
        ) from error
    missing = _missing(folder, files)
    if missing:
        raise UserError(f"model '{name}' has no {', no '.join(missing)} on the hub: a model is {layout}")
    return folder


def _file_from_hub(repository: str, path: str, setting: str) -> Path:
    try:
        cached = try_to_load_from_cache(repository, path)
        if isinstance(cached, str):
            return Path(cached)
        there = [sibling.rfilename for sibling in repository_info(repository).siblings or ()]
        if path not in there:
            raise FileNotFoundError(f"it is not in {repository}: {nearest(path, there)}")
        return Path(hf_hub_download(repository, path))
    except Exception as error:  # likewise
        raise UserError(
            f"no file {repository}/{path}, neither here nor in the local cache, and it cannot be had from the hub "
            f"({reason(error)}): give a GGUF file, as --set {setting}=FILE"
        ) from error
