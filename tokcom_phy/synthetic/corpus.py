"""A synthetic tri-modal corpus on disk, as mp4 files and annotations in the formats of VALOR and MUSIC-AVQA."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from tokcom_phy.synthetic import CODE, parallel
from tokcom_phy.synthetic.captions import caption
from tokcom_phy.synthetic.frames import FRAME_RATE, frames
from tokcom_phy.synthetic.questions import balanced_questions
from tokcom_phy.synthetic.scene import CLIP_SECONDS, Scene, sample_scene
from tokcom_phy.synthetic.sound import SAMPLE_RATE, waveform
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import TEMPORARY, write_atomically
from tokcom_phy.utils.locks import hold_locks

MANIFEST = "synthetic.json"
"""File in the corpus' folder that says what the corpus was made with."""

_AUDIO_FRAME = 4096
_X264 = {"preset": "veryfast", "crf": "20", "x264-params": "threads=1:mbtree=0:rc-lookahead=0:bframes=0:weightp=0"}
"""Without look-ahead: with it, x264's choices are not the same in every run."""


@dataclass(frozen=True)
class _Split:
    """One split of one dataset; ``key`` sets its scenes apart from those of all other splits."""

    key: int
    name: str
    clips: int
    questions: int = 0

    def scene(self, seed: int, index: int) -> Scene:
        return sample_scene(np.random.default_rng([self.key, seed, 1 + index]))


@dataclass(frozen=True)
class _Job:
    """One clip that is to be written."""

    path: Path
    split: _Split
    seed: int
    index: int


def synthesize(
    root: str | Path,
    *,
    captions: int,
    train_clips: int,
    test_clips: int,
    train_questions: int,
    test_questions: int,
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Write the corpus: captioned clips in VALOR's format, asked-about clips in MUSIC-AVQA's.

    ``root/VALOR`` gets ``annotations/desc_{train,val,test}.json`` and ``videos/ID.mp4``; ``root/MUSIC-AVQA`` gets
    ``annotation/avqa-{train,val,test}.json`` and ``videos/ID.mp4``. No scene is in two splits. The same arguments give
    the same bytes on the same machine, whatever ``workers``. A clip that exists is not written again, so an interrupted
    call is continued by the same call; annotations come last. Calls for one folder wait for each other.

    Parameters
    ----------
    captions : int
        Captioned clips in VALOR's train split; val and test have a fiftieth of that each, at least one.
    train_clips, test_clips : int
        Clips in MUSIC-AVQA's train and test split; val has a tenth of the test split's clips and questions.
    train_questions, test_questions : int
        Questions, balanced over templates and, within a template, over answers; fewer where the clips hold no more.
    workers : int, optional
        Number of processes; one per core by default.

    Returns
    -------
    Path
        ``root``.

    Raises
    ------
    UserError
        If a count is not positive, the folder cannot be written to, or it holds another dataset, or a corpus that other
        code made.
    """
    root, workers = Path(root), parallel.num_workers(workers)
    request = {
        "captions": captions,
        "train_clips": train_clips,
        "test_clips": test_clips,
        "train_questions": train_questions,
        "test_questions": test_questions,
        "seed": seed,
    }
    _check_counts(request)
    with hold_locks([root / ".lock"], f"another process that synthesises clips in {root}"):
        _claim(root, request)
        _write(root, captions, (train_clips, train_questions), (test_clips, test_questions), seed, workers)
    return root


def _write(root: Path, captions: int, train: tuple[int, int], test: tuple[int, int], seed: int, workers: int) -> None:
    """Write what is missing of a corpus; ``train`` and ``test`` are clips and questions of MUSIC-AVQA's splits."""
    captioned = [
        _Split(1, "train", captions),
        _Split(2, "val", max(1, captions // 50)),
        _Split(3, "test", max(1, captions // 50)),
    ]
    asked = [
        _Split(4, "train", *train),
        _Split(5, "val", *(max(1, count // 10) for count in test)),
        _Split(6, "test", *test),
    ]
    videos = root / "VALOR/videos", root / "MUSIC-AVQA/videos"
    jobs = [
        _Job(folder / f"{name(split, index)}.mp4", split, seed, index)
        for folder, splits, name in zip(videos, (captioned, asked), (_valor_id, _avqa_id), strict=True)
        for split in splits
        for index in range(split.clips)
    ]
    _write_missing(jobs, workers)
    for split in captioned:
        _write_json(root / f"VALOR/annotations/desc_{split.name}.json", _captions(split, seed), indent=None)
    for split in asked:
        _write_json(root / f"MUSIC-AVQA/annotation/avqa-{split.name}.json", _questions(split, seed), indent=2)


def write_clip(path: Path, scene: Scene) -> None:
    """Write a scene as an mp4 file: H.264 video (MPEG-4 where no H.264 encoder is installed) and FLAC audio.

    The file is written atomically, and is the same for the same scene and the same codecs.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    with write_atomically(path) as temporary:
        encode(str(temporary), frames(scene), waveform(scene))


def encode(target: str, video: np.ndarray | None, audio: np.ndarray | None) -> None:
    """Encode frames (uint8 [n, height, width, 3]) and sound (float32 [samples] at 16 kHz) into an mp4 file.

    Either may be None: the file then lacks that track.
    """
    with av.open(target, "w", format="mp4") as container:
        # Both tracks are declared before anything is encoded: the mp4 header names them all.
        pictures = None if video is None else _video_stream(container, *video.shape[1:3])
        sound = None if audio is None else _audio_stream(container)
        if video is not None and pictures is not None:
            for index, image in enumerate(video):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                picture.pts = index
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if audio is not None and sound is not None:
            quantised = np.clip(np.round(audio[None] * 32768), -32768, 32767).astype(np.int16)
            for first in range(0, len(audio), _AUDIO_FRAME):
                samples = av.AudioFrame.from_ndarray(quantised[:, first : first + _AUDIO_FRAME], "s16", "mono")
                samples.sample_rate = SAMPLE_RATE
                samples.pts = first
                container.mux(sound.encode(samples))
            container.mux(sound.encode(None))


def _video_stream(container: OutputContainer, height: int, width: int) -> VideoStream:
    codec = _video_codec()
    stream = container.add_stream(codec, rate=Fraction(FRAME_RATE).limit_denominator(100))
    assert isinstance(stream, VideoStream)
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.codec_context.thread_count = 1
    if codec == "libx264":
        stream.options = dict(_X264)
    else:
        stream.bit_rate = 400_000
    return stream


def _audio_stream(container: OutputContainer) -> AudioStream:
    """Lossless, and written in a third of AAC's time; long blocks are read in two thirds of the time of short ones."""
    stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", options={"frame_size": "4608"})
    assert isinstance(stream, AudioStream)
    return stream


def _video_codec() -> str:
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"


def _check_counts(request: dict[str, int]) -> None:
    for name, value in request.items():
        if value < (0 if name == "seed" else 1):
            raise UserError(f"{name} is {value}: give at least {0 if name == 'seed' else 1}")


def _claim(root: Path, request: dict[str, int]) -> None:
    """Note in the folder what is being made there, or see that it is the same as what was begun."""
    wanted = {"code": CODE, "video_codec": _video_codec()} | request
    manifest = root / MANIFEST
    if not manifest.exists():
        if any((root / name).exists() for name in ("VALOR", "MUSIC-AVQA")):
            raise UserError(f"{root} holds a dataset that was not synthesised here: choose another folder")
        _write_json(manifest, wanted, indent=2)
        return
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        different = [
            f"{key} {found.get(key)} instead of {value}" for key, value in wanted.items() if found.get(key) != value
        ]
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"{manifest} is not readable JSON: remove it together with the corpus, and run again"
        ) from error
    if found.get("code") != CODE:
        raise UserError(
            f"{root} holds a corpus that another version of the code made: choose another folder, or remove this one"
        )
    if different:
        raise UserError(
            f"{root} holds a corpus made with {', '.join(different)}: choose another folder, or remove this one"
        )


def _write_missing(jobs: list[_Job], workers: int) -> None:
    folders = {job.path.parent for job in jobs}
    _remove_half_written(folders)
    present = {path for folder in folders for path in folder.glob("*")}
    missing = [job for job in jobs if job.path not in present]
    try:
        for _ in parallel.each(_write_one, missing, workers=workers, description="synthesising clips"):
            pass
    finally:
        _remove_half_written(folders)


def _remove_half_written(folders: set[Path]) -> None:
    """Remove what a process that was killed had in hand."""
    for folder in folders:
        for path in folder.glob(f"{TEMPORARY}*"):
            path.unlink()


def _write_one(job: _Job) -> None:
    write_clip(job.path, job.split.scene(job.seed, job.index))


def _captions(split: _Split, seed: int) -> list[dict[str, str]]:
    return [
        {"video_id": _valor_id(split, index), "desc": caption(split.scene(seed, index))} for index in range(split.clips)
    ]


def _questions(split: _Split, seed: int) -> list[dict[str, Any]]:
    scenes = [split.scene(seed, index) for index in range(split.clips)]
    chosen = balanced_questions(scenes, split.questions, np.random.default_rng([split.key, seed]))
    return [
        {
            "video_id": _avqa_id(split, index),
            "question_id": 1_000_000 * split.key + number,
            "type": json.dumps(question.type),
            "question_content": question.template,
            "templ_values": json.dumps(question.values),
            "question_deleted": 0,
            "anser": question.answer,
        }
        for number, (index, question) in enumerate(chosen)
    ]


def _valor_id(split: _Split, index: int) -> str:
    """A video's name and the seconds that were cut out of it, as VALOR has it."""
    return f"synthetic{split.key}{index:06d}_0.000_{CLIP_SECONDS:.3f}"


def _avqa_id(split: _Split, index: int) -> str:
    """Eight digits, as MUSIC-AVQA has it."""
    return f"{split.key}{index:07d}"


def _write_json(path: Path, content: Any, indent: int | None) -> None:
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent), encoding="utf-8")
