"""Preparation: every clip is decoded and encoded once, into a feature store."""

import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers.utils import logging as transformers_logging

from tokcom_phy.data.formats import annotated_clips, dataset_folders
from tokcom_phy.data.media import ClipFiles, MediaError, find_clip, frame_paths, list_clips, read_clip
from tokcom_phy.data.store import (
    FILE_NAME,
    Contents,
    Modality,
    Row,
    RowWriter,
    read_contents,
    read_rows,
    union_of_positions,
    write_store,
)
from tokcom_phy.encoders import Encoder, VideoEncoder, load_encoder
from tokcom_phy.errors import UserError
from tokcom_phy.processes import worker_pool

CLIPS_PER_WORKER = 200
"""A further process is started for so many clips at least: starting one takes as long as they do."""

NAMED = 10
"""Skipped clips that the console names; the store names all."""

Features = dict[str, NDArray[np.float16]]


def prepare(
    root: str | Path,
    encoders: Mapping[str, str | Path],
    lengths: Mapping[str, int | Iterable[int]],
    out: str | Path | None = None,
    workers: int = 1,
) -> Path:
    """Decode and encode each clip of a dataset once, and store its features.

    Clips are those that the annotations speak of, or, without annotations, all whose media are there. What an earlier
    call has stored is kept as long as media, encoders and token positions are the same; a call that was interrupted or
    killed is continued, at the loss of the clips in hand. Features do not depend on ``workers``.

    Parameters
    ----------
    root : path
        A dataset's folder, or the folder that holds ``VALOR`` and ``MUSIC-AVQA``.
    encoders : modality → shipped name, folder or hub name
        See `tokcom_phy.encoders.load_encoder`.
    lengths : modality → s_m, or several
        Token lengths that can then be asked of the store; those of earlier calls stay.
    out : path, optional
        Folder of the store, ``root/features`` by default.
    workers : int
        Processes, of one thread each.

    Returns
    -------
    Path
        The folder of the store, for `tokcom_phy.data.store.FeatureStore.open`. Clips that cannot be used are counted
        and named with the reason on the console and in the store's ``skipped``.

    Raises
    ------
    UserError
        If there are no clips or none can be used, an encoder is missing, a length is larger than its encoder allows,
        or the folder cannot be written to.
    """
    root = Path(root)
    out = root / "features" if out is None else Path(out)
    if lengths.keys() != encoders.keys():
        raise UserError(f"token lengths of {sorted(lengths)} for encoders of {sorted(encoders)}: name the same")
    clips, skipped = _clips(root)
    states = {video_id: _state(files) for video_id, files in clips.items()}
    loaded = {modality: load_encoder(modality, name) for modality, name in encoders.items()}
    wanted = {name: _modality(encoder, lengths[name]) for name, encoder in loaded.items()}

    with _alone(out):
        stored = read_contents(out / FILE_NAME)
        modalities = {name: _joined(spec, stored) for name, spec in wanted.items()}
        rows = _rows(out, modalities, states)
        pending = {video_id: files for video_id, files in clips.items() if video_id not in rows}
        if pending:
            with (
                _journal(out, Contents(modalities)) as journal,
                _progress(len(pending), modalities) as advance,
                closing(_encode_all(pending, loaded, encoders, modalities, workers)) as results,
            ):
                for video_id, result in results:
                    if isinstance(result, str):
                        skipped[video_id] = result
                    else:
                        journal.write({video_id: Row(states[video_id], result)})
                    advance()
            rows = _rows(out, modalities, states)
        skipped = dict(sorted(skipped.items()))
        before = read_rows(out / FILE_NAME, modalities)
        changed = stored is None or stored.skipped != skipped or _sources(before) != _sources(rows)
        if rows and changed:
            write_store(out, Contents(modalities, skipped), rows)
        for file in _journals(out):
            file.unlink(missing_ok=True)
    if not rows:
        example = next(iter(skipped.values()))
        raise UserError(f"none of the {len(skipped)} clips in {root} can be used, for example: {example}")
    _report(len(rows), skipped, out)
    return out


def _clips(root: Path) -> tuple[dict[str, ClipFiles], dict[str, str]]:
    """Media files of each clip, and why there are none for others."""
    clips: dict[str, ClipFiles] = {}
    missing: dict[str, str] = {}
    for folder in dataset_folders(root):
        for video_id in annotated_clips(folder) or list_clips(folder):
            files = find_clip(folder, video_id)
            if files is None:
                missing[video_id] = f"no media file of '{video_id}' in {folder}"
            elif clips.setdefault(video_id, files) != files:
                raise UserError(f"two clips are named '{video_id}' in {root}: prepare its datasets one by one")
    if not clips and not missing:
        raise UserError(
            f"no clips in {root}: expected ID.mp4 files or extraction/ast_audio and extraction/vivit_frames"
        )
    return clips, {video_id: reason for video_id, reason in missing.items() if video_id not in clips}


def _state(files: ClipFiles) -> str:
    """What tells whether media files have changed: their sizes and times of change."""
    paths = {path for path in (files.audio, files.video) if path is not None}
    for folder in [path for path in paths if path.is_dir()]:
        paths = paths - {folder} | set(frame_paths(folder))
    return " ".join(
        f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}" for path in sorted(paths) for stat in [path.stat()]
    )


def _modality(encoder: Encoder, lengths: int | Iterable[int]) -> Modality:
    """What is asked for of a modality."""
    positions = union_of_positions(encoder.num_tokens, (lengths,) if isinstance(lengths, int) else lengths)
    return Modality(encoder.fingerprint, encoder.num_tokens, encoder.width, positions)


def _joined(modality: Modality, stored: Contents | None) -> Modality:
    """What is asked for together with what is stored of the same encoder."""
    for before in stored.modalities.values() if stored else ():
        if before.fingerprint == modality.fingerprint:
            return replace(modality, positions=tuple(sorted({*modality.positions, *before.positions})))
    return modality


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Wait until no other process prepares this store; one that cannot be written to is safe to read."""
    lock = FileLock(out / ".lock")
    try:
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            Console().print(f"waiting for another process that prepares {out}", soft_wrap=True)
            lock.acquire()
    except OSError:
        pass
    try:
        yield
    finally:
        lock.release()


def _journals(out: Path) -> list[Path]:
    """Files of clips that calls have finished before they were interrupted."""
    return sorted(out.glob(".journal-*.arrow"))


def _sources(rows: Mapping[str, Row]) -> dict[str, str]:
    return {video_id: row.source for video_id, row in rows.items()}


def _rows(out: Path, modalities: Mapping[str, Modality], states: Mapping[str, str]) -> dict[str, Row]:
    """All finished rows whose media have not changed since."""
    rows: dict[str, Row] = {}
    for file in [out / FILE_NAME, *_journals(out)]:
        for video_id, row in read_rows(file, modalities).items():
            if row.source == states.get(video_id):
                rows[video_id] = row
    return rows


@contextmanager
def _journal(out: Path, contents: Contents) -> Iterator[RowWriter]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".journal-", suffix=".arrow", dir=out)
        os.close(handle)
        with RowWriter(Path(name), contents) as writer:
            yield writer
    except OSError as error:
        raise UserError(
            f"cannot write to {out}: {error.strerror or error}; choose a folder you may write to"
        ) from error


def _encode_all(
    clips: Mapping[str, ClipFiles],
    loaded: Mapping[str, Encoder],
    names: Mapping[str, str | Path],
    modalities: Mapping[str, Modality],
    workers: int,
) -> Generator[tuple[str, Features | str], None, None]:
    """Features of each clip, or why there are none, in the order in which they get done."""
    positions = {name: list(spec.positions) for name, spec in modalities.items()}
    workers = min(workers, -(-len(clips) // CLIPS_PER_WORKER))
    if workers <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for video_id, files in clips.items():
                yield video_id, _encode(files, loaded, positions)
        finally:
            torch.set_num_threads(threads)
        return
    pool = worker_pool(workers, _start_worker, dict(names), positions)
    try:
        futures = {pool.submit(_encode_in_worker, files): video_id for video_id, files in clips.items()}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker was killed, perhaps for memory: run again with fewer workers, it continues"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _encode(files: ClipFiles, encoders: Mapping[str, Encoder], positions: Mapping[str, list[int]]) -> Features | str:
    """One clip by itself, so that its features do not depend on its neighbours: float16 [positions · width] each."""
    video = encoders.get("video")
    num_frames = video.num_frames if isinstance(video, VideoEncoder) else None
    try:
        clip = read_clip(files, audio="audio" in encoders, num_frames=num_frames)
    except MediaError as error:
        return str(error)
    media: dict[str, Any] = {"audio": clip.waveform, "video": clip.frames}
    features = {}
    for name, encoder in encoders.items():
        try:
            tokens = encoder.encode([media[name]])[0, positions[name]].half()
        except MediaError as error:
            return f"{getattr(files, name)}: {error}"
        if not tokens.isfinite().all():
            return f"{getattr(files, name)}: the {name} encoder's output is not finite"
        features[name] = tokens.flatten().numpy()
    return features


_worker: tuple[dict[str, Encoder], dict[str, list[int]]]
"""Encoders and positions of a worker process."""


def _start_worker(names: dict[str, str | Path], positions: dict[str, list[int]]) -> None:
    """Load the encoders in a new process."""
    global _worker
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    _worker = {name: load_encoder(name, source) for name, source in names.items()}, positions


def _encode_in_worker(files: ClipFiles) -> Features | str:
    return _encode(files, *_worker)


@contextmanager
def _progress(clips: int, modalities: Mapping[str, Modality]) -> Iterator[Callable[[], None]]:
    """A progress bar with time left and size; yields what to call after each clip."""
    clip_bytes = sum(2 * len(spec.positions) * spec.width for spec in modalities.values())
    columns = (
        TextColumn("preparing clips"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[size]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("", total=clips, size="")

        def advance() -> None:
            size = decimal(int(progress.tasks[0].completed + 1) * clip_bytes)
            progress.update(task, advance=1, size=f"{size} of {decimal(clips * clip_bytes)}")

        yield advance


def _report(prepared: int, skipped: Mapping[str, str], out: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if skipped:
        console.print(f"[yellow]{len(skipped)} of {prepared + len(skipped)} clips are skipped:[/]")
        for reason in list(skipped.values())[:NAMED]:
            console.print(f"  {reason}", markup=False)
        if len(skipped) > NAMED:
            console.print(f"  and {len(skipped) - NAMED} more, all in FeatureStore.open({str(out)!r}).skipped")
