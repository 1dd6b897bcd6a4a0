"""Which clips a dataset has, where the files are that encoders take of each, and how to tell that one has changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokcom_phy.data.extracted import frame_paths
from tokcom_phy.data.formats import annotated_clips, dataset_folders
from tokcom_phy.data.media import ClipFiles, find_clips
from tokcom_phy.model.encoders import Encoder
from tokcom_phy.utils.errors import UserError, printable, quoted


@dataclass(frozen=True)
class Sources:
    """What is read of a clip.

    Attributes
    ----------
    media : where its sound and picture are; both None where no encoder takes them
    files : modality → file, for encoders that take files
    """

    media: ClipFiles
    files: Mapping[str, Path]

    def paths(self) -> list[Path]:
        """All of it, sorted; for extracted frames, each of them."""
        given = [path for path in (self.media.audio, self.media.video, *self.files.values()) if path is not None]
        single = {path for path in given if not path.is_dir()}
        return sorted(single.union(*(frame_paths(path) for path in given if path not in single)))

    def path(self, modality: str, takes: str) -> Path | None:
        """Where that is which the encoder of a modality takes."""
        if takes == "file":
            return self.files[modality]
        return self.media.audio if takes == "sound" else self.media.video

    def state(self) -> str:
        """What tells whether the files have changed: their sizes and times of change.

        Raises
        ------
        OSError
            If one is gone.
        """
        stats = [(path.name, path.stat()) for path in self.paths()]
        return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def find_sources(root: Path, encoders: Mapping[str, Encoder]) -> tuple[dict[str, Sources], dict[str, str]]:
    """The sources of all clips of a dataset, and why others have none; both sorted by their names.

    Clips are those that the annotations speak of, or, without annotations, all for which there is a file.

    Raises
    ------
    UserError
        If there are no clips at all, or two of one name.
    """
    found: dict[str, Sources] = {}
    missing: dict[str, str] = {}
    with_media = any(encoder.takes != "file" for encoder in encoders.values())
    for folder in dataset_folders(root):
        media = find_clips(folder) if with_media else {}
        files = {m: _files(encoder, folder) for m, encoder in encoders.items() if encoder.takes == "file"}
        for name in annotated_clips(folder) or sorted({*media, *(clip for of in files.values() for clip in of)}):
            reason = _missing(name, folder, media if with_media else None, files)
            if reason:
                missing[printable(name)] = reason
                continue
            sources = Sources(media.get(name, ClipFiles(None, None)), {m: of[name] for m, of in files.items()})
            if found.setdefault(name, sources) != sources:
                raise UserError(f"two clips are named '{name}' in {root}: prepare its datasets one by one")
    if not found and not missing:
        raise UserError(
            f"no clips in {root}: expected ID.mp4 files or extraction/ast_audio and extraction/vivit_frames"
        )
    missing = {name: missing[name] for name in sorted(missing.keys() - found.keys())}
    return dict(sorted(found.items())), missing


def available_clips(root: Path, encoders: Mapping[str, Encoder]) -> set[str]:
    """Clips that the annotations speak of and that have a file for each encoder."""
    return set(find_sources(root, encoders)[0])


def _files(encoder: Encoder, folder: Path) -> dict[str, Path]:
    """The files of an encoder that takes files, by the clips that they are named after."""
    where = encoder.folder or folder / encoder.modality
    paths = sorted(path for path in where.glob("*") if path.is_file() and not path.name.startswith("."))
    return {path.stem: path for path in reversed(paths)}


def _missing(
    name: str, folder: Path, media: Mapping[str, ClipFiles] | None, files: Mapping[str, Mapping[str, Path]]
) -> str:
    """Why a clip has no sources; empty if it has."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"the name of {quoted(name)} in {folder} is no text"
    if media is not None and name not in media:
        return f"no media file of '{name}' in {folder}"
    absent: Iterable[str] = (m for m, of in files.items() if name not in of)
    return next((f"no {modality} file of '{name}'" for modality in absent), "")
