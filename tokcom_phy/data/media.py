"""Media of a clip: where its files are, and how they become a 16 kHz mono waveform and evenly sampled RGB frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokcom_phy.data.decoding import SAMPLING_RATE, Clip, decode, probe
from tokcom_phy.data.extracted import probe_frames, read_frames, read_wav
from tokcom_phy.data.json_files import check_identifier
from tokcom_phy.utils.errors import MediaError

SUFFIXES = (
    *(".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".qt", ".3gp", ".3g2", ".ogv", ".ogg", ".ogm", ".flv", ".f4v"),
    *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv", ".asf", ".divx", ".mxf", ".dv", ".rm", ".rmvb"),
)
"""Names of video files, in any case of letters; of a clip's several files the first in this order is taken."""

RAW_FOLDERS = (".", "videos", "video", "raw_videos")
AUDIO_FOLDER = "extraction/ast_audio"
FRAMES_FOLDER = "extraction/vivit_frames"


@dataclass(frozen=True)
class ClipFiles:
    """Where a clip's sound and picture are.

    ``audio`` is a video file or an extracted ``ID.wav``; ``video`` is a video file or a folder of extracted frames;
    either is None if there is no such file.
    """

    audio: Path | None
    video: Path | None


def find_clips(root: str | Path) -> dict[str, ClipFiles]:
    """The media of all clips in a dataset's folder, by their identifiers, sorted.

    Each modality is taken from ``extraction/`` where that has it, else from a raw video file, ``ID`` with one of
    `SUFFIXES`, in the folder itself, in ``videos/``, ``video/`` or ``raw_videos/``.
    """
    root = Path(root)
    audio = {path.stem: path for path in _visible(root / AUDIO_FOLDER) if path.suffix.lower() == ".wav"}
    frames = {path.name: path for path in _visible(root / FRAMES_FOLDER) if path.is_dir()}
    raw = raw_files(root)
    found = {}
    for name in sorted({*audio, *frames, *raw}):
        found[name] = ClipFiles(audio.get(name) or raw.get(name), frames.get(name) or raw.get(name))
    return found


def find_clip(root: str | Path, video_id: str) -> ClipFiles | None:
    """The media of one clip, see `find_clips`; None if there is nothing.

    Raises
    ------
    UserError
        If ``video_id`` would leave the folder.
    """
    return find_clips(root).get(check_identifier(video_id, str(root)))


def list_clips(root: str | Path) -> list[str]:
    """Identifiers of all clips whose media lie in a dataset's folder, sorted."""
    return list(find_clips(root))


def raw_files(root: str | Path) -> dict[str, Path]:
    """The raw video files in a dataset's folder, one for each clip that has any."""
    order = {suffix: rank for rank, suffix in enumerate(SUFFIXES)}
    found: dict[str, Path] = {}
    for folder in RAW_FOLDERS:
        files = [path for path in _visible(Path(root) / folder) if path.suffix.lower() in order and path.is_file()]
        for path in sorted(files, key=lambda path: (order[path.suffix.lower()], path.name)):
            found.setdefault(path.stem, path)
    return found


def read_clip(files: ClipFiles, *, audio: bool = True, num_frames: int | None = None, fps: float | None = None) -> Clip:
    """Read what is asked for of a clip: its sound if ``audio``, ``num_frames`` frames unless that is None.

    ``fps`` is the rule by which frames are taken, see `tokcom_phy.data.decoding.decode` and
    `tokcom_phy.data.extracted.read_frames`.

    Raises
    ------
    MediaError
        If the clip lacks what is asked for, or a file is empty, truncated, corrupt or too large.
    """
    sound = picture = None
    if audio:
        sound = files.audio
        if sound is None:
            raise MediaError(f"{files.video}: no sound beside it, expected {AUDIO_FOLDER}/ID.wav or a video file")
    if num_frames is not None:
        picture = files.video
        if picture is None:
            raise MediaError(f"{files.audio}: no picture beside it, expected {FRAMES_FOLDER}/ID/ or a video file")
    if sound is not None and sound == picture:
        return decode(sound, num_frames=num_frames, fps=fps)
    waveform = frames = None
    if sound is not None:
        waveform = read_wav(sound) if _is_wav(sound) else decode(sound).waveform
    if picture is not None and num_frames is not None:
        if picture.is_dir():
            frames = read_frames(picture, num_frames, fps)
        else:
            frames = decode(picture, audio=False, num_frames=num_frames, fps=fps).frames
    return Clip(waveform, frames)


def probe_clip(files: ClipFiles, least_samples: int = 1) -> float:
    """Look whether a clip's files are whole and start to decode, without decoding all of them.

    Parameters
    ----------
    files : ClipFiles
    least_samples : int
        Samples at 16 kHz that the sound must have, at most 1,600.

    Returns
    -------
    float
        Length of the sound [s].

    Raises
    ------
    MediaError
        What is missing or wrong.
    """
    if files.audio is None or files.video is None:
        read_clip(files, num_frames=1)
        return 0.0
    if files.audio == files.video:
        seconds, samples = probe(files.audio)
    elif _is_wav(files.audio):
        samples = len(read_wav(files.audio))
        seconds = samples / SAMPLING_RATE
    else:
        seconds, samples = probe(files.audio, video=False)
    if samples < least_samples:
        raise MediaError(f"{files.audio}: {samples} samples of sound are fewer than the {least_samples} that it takes")
    if files.video.is_dir():
        probe_frames(files.video)
    elif files.video != files.audio:
        probe(files.video, audio=False)
    return seconds


def _is_wav(path: Path) -> bool:
    return path.suffix.lower() == ".wav"


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if not path.name.startswith("."))
