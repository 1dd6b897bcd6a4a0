"""Preparation: every clip is decoded and encoded once, into a feature store."""

import math
import os
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
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

from tokcom_phy.data.extracted import frame_paths
from tokcom_phy.data.formats import annotated_clips, dataset_folders
from tokcom_phy.data.media import ClipFiles, find_clip, list_clips, read_clip
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
from tokcom_phy.model.encoders import Encoder, VideoEncoder, load_encoder
from tokcom_phy.utils.errors import MediaError, UserError
from tokcom_phy.utils.processes import worker_pool

SECONDS_PER_WORKER = 8.0
"""A further process is started for so much work at least: starting one takes as long."""

NAMED = 10
"""Skipped clips that the console names; the store names all."""

Features = dict[str, NDArray[np.float16]]


def prepare(
    root: str | Path,
    encoders: Mapping[str, str | Path],
    lengths: Mapping[str, int | Iterable[int]],
    out: str | Path | None = None,
    workers: int = 1,
    *,
    fps: float | None = None,
    device: str | None = None,
    shard: tuple[int, int] | None = None,
    only: Collection[str] | None = None,
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
        See `tokcom_phy.model.encoders.load_encoder`.
    lengths : modality → s_m, or several
        Token lengths that can then be asked of the store; those of earlier calls stay.
    out : path, optional
        Folder of the store, ``root/features`` by default.
    workers : int
        Processes, of one thread each; fewer where starting them would take longer than the work.
    fps : float, optional
        Take frames at this rate [1/s] instead of evenly, see `tokcom_phy.data.media.decode`; 0.6 in the paper's code.
    device : str, optional
        Where the encoders run: the GPU if there is one, else the CPU, by default.
    shard : (i, n), optional
        Encode the i-th of n parts of the clips only, 1 ≤ i ≤ n, into a part of the store. Several machines that share
        ``out`` each take one; a call without ``shard`` then merges all parts and encodes what is still missing.
    only : collection of str, optional
        Clips to prepare; all by default.

    Returns
    -------
    Path
        The folder of the store, for `tokcom_phy.data.store.FeatureStore.open`. Clips that cannot be used are counted
        and named with the reason on the console and in the store's ``skipped``.

    Raises
    ------
    UserError
        If there are no clips or none can be used, an encoder or the device is missing, a length is larger than its
        encoder allows, there is no such shard, or the folder cannot be written to.
    """
    root = Path(root)
    out = root / "features" if out is None else Path(out)
    if lengths.keys() != encoders.keys():
        raise UserError(f"token lengths of {sorted(lengths)} for encoders of {sorted(encoders)}: name the same")
    if shard and not 1 <= shard[0] <= shard[1]:
        raise UserError(f"no shard {shard[0]} of {shard[1]}: they are counted from 1, write 1/{shard[1]} for the first")
    device = _device(device)
    clips, skipped = _clips(root, shard)
    if only is not None:
        clips = {video_id: files for video_id, files in clips.items() if video_id in only}
        skipped = {video_id: reason for video_id, reason in skipped.items() if video_id in only}
    states = {video_id: _state(files) for video_id, files in clips.items()}
    loaded = {modality: load_encoder(modality, name, device) for modality, name in encoders.items()}
    wanted = {name: _modality(encoder, lengths[name], fps) for name, encoder in loaded.items()}
    file = f"shard-{shard[0]}-of-{shard[1]}.arrow" if shard else FILE_NAME

    with _alone(out, file):
        stored = read_contents(out / file)
        parts = _parts(out, file)
        modalities = {name: _joined(spec, out) for name, spec in wanted.items()}
        rows = _rows([out / file, *parts], modalities, states)
        if shard:
            merged = _rows([out / FILE_NAME], modalities, states)
            clips = {video_id: files for video_id, files in clips.items() if video_id not in merged}
        pending = {video_id: files for video_id, files in clips.items() if video_id not in rows}
        if pending:
            with (
                _journal(out, file, Contents(modalities)) as journal,
                _progress(len(pending), modalities) as advance,
                closing(_encode_all(pending, loaded, encoders, modalities, workers, device)) as results,
            ):
                for video_id, result in results:
                    if isinstance(result, str):
                        skipped[video_id] = result
                    else:
                        journal.write({video_id: Row(states[video_id], result)})
                    advance()
            parts = sorted({*parts, *_journals(out, file)})
            rows = _rows([out / file, *parts], modalities, states)
        skipped = dict(sorted(skipped.items()))
        before = read_rows(out / file, modalities)
        changed = stored is None or stored.skipped != skipped or _sources(before) != _sources(rows)
        if (rows or shard) and changed:
            write_store(out, Contents(modalities, skipped), rows, file)
        for part in parts:
            part.unlink(missing_ok=True)
    if not rows and not shard:
        example = next(iter(skipped.values()))
        raise UserError(f"none of the {len(skipped)} clips in {root} can be used, for example: {example}")
    _report(len(rows), skipped, out)
    return out


def _device(name: str | None) -> str:
    """Where to run, after a look whether it is there."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot compute on device '{name}' ({reason}): choose cpu, or see tokcom doctor") from error
    return name


def _clips(root: Path, shard: tuple[int, int] | None) -> tuple[dict[str, ClipFiles], dict[str, str]]:
    """Media files of each clip of the shard, and why there are none for others."""
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
    names = sorted({*clips, *missing})
    if shard:
        names = names[shard[0] - 1 :: shard[1]]
    return (
        {video_id: clips[video_id] for video_id in names if video_id in clips},
        {video_id: missing[video_id] for video_id in names if video_id not in clips},
    )


def _state(files: ClipFiles) -> str:
    """What tells whether media files have changed: their sizes and times of change."""
    paths = {path for path in (files.audio, files.video) if path is not None}
    for folder in [path for path in paths if path.is_dir()]:
        paths = paths - {folder} | set(frame_paths(folder))
    return " ".join(
        f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}" for path in sorted(paths) for stat in [path.stat()]
    )


def _modality(encoder: Encoder, lengths: int | Iterable[int], fps: float | None) -> Modality:
    """What is asked for of a modality."""
    positions = union_of_positions(encoder.num_tokens, (lengths,) if isinstance(lengths, int) else lengths)
    rate = fps if isinstance(encoder, VideoEncoder) else None
    return Modality(encoder.fingerprint, encoder.num_tokens, encoder.width, positions, rate)


def _joined(modality: Modality, out: Path) -> Modality:
    """What is asked for together with what is stored of the same encoder, in the store or in a part of it."""
    positions = set(modality.positions)
    for stored in filter(None, map(read_contents, [out / FILE_NAME, *sorted(out.glob("shard-*.arrow"))])):
        for before in stored.modalities.values():
            if (before.fingerprint, before.fps) == (modality.fingerprint, modality.fps):
                positions.update(before.positions)
    return replace(modality, positions=tuple(sorted(positions)))


@contextmanager
def _alone(out: Path, file: str) -> Iterator[None]:
    """Wait until no other process prepares this part of the store, or, for all of it, any part; a store that cannot be
    written to is safe to read."""
    own = out / (".lock" if file == FILE_NAME else f".lock-{Path(file).stem}")
    others = sorted(out.glob(".lock-*")) if file == FILE_NAME else []
    with ExitStack() as held:
        for path in (own, *others):
            lock = FileLock(path)
            try:
                out.mkdir(parents=True, exist_ok=True)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    Console().print(f"waiting for another process that prepares {out}", soft_wrap=True)
                    lock.acquire()
            except OSError:
                continue
            held.callback(lock.release)
        yield
        for path in others:
            path.unlink(missing_ok=True)


def _parts(out: Path, file: str) -> list[Path]:
    """What is to be merged into a file of the store: clips that calls had finished before they were interrupted, and,
    for all of it, the shards."""
    if file == FILE_NAME:
        return sorted([*out.glob("shard-*.arrow"), *out.glob(".journal-*.arrow")])
    return _journals(out, file)


def _journals(out: Path, file: str) -> list[Path]:
    """Clips that calls have finished for a file of the store and not merged into it."""
    return sorted(out.glob(f".journal-{Path(file).stem}-*.arrow"))


def _sources(rows: Mapping[str, Row]) -> dict[str, str]:
    return {video_id: row.source for video_id, row in rows.items()}


def _rows(files: Iterable[Path], modalities: Mapping[str, Modality], states: Mapping[str, str]) -> dict[str, Row]:
    """All finished rows whose media have not changed since."""
    rows: dict[str, Row] = {}
    for file in files:
        for video_id, row in read_rows(file, modalities).items():
            if row.source == states.get(video_id):
                rows[video_id] = row
    return rows


@contextmanager
def _journal(out: Path, file: str, contents: Contents) -> Iterator[RowWriter]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        prefix = f".journal-{Path(file).stem}-"
        handle, path = tempfile.mkstemp(prefix=prefix, suffix=".arrow", dir=out)
        os.close(handle)
        with RowWriter(Path(path), contents) as writer:
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
    device: str,
) -> Generator[tuple[str, Features | str], None, None]:
    """Features of each clip, or why there are none, in the order in which they get done.

    The first clips are encoded here; how long they take tells how many processes the rest is worth.
    """
    left = dict(clips)
    seconds: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for video_id, files in clips.items():
            if workers > 1 and len(seconds) == 2 and min(seconds) * len(left) > SECONDS_PER_WORKER:
                break
            started = time.perf_counter()
            result = _encode(files, loaded, modalities)
            if not isinstance(result, str):
                seconds = [*seconds[-1:], time.perf_counter() - started]
            del left[video_id]
            yield video_id, result
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"not enough memory on {device} for the encoders: free some, or run with --device cpu"
        ) from error
    finally:
        torch.set_num_threads(threads)
    if not left:
        return
    workers = min(workers, math.ceil(min(seconds) * len(left) / SECONDS_PER_WORKER))
    pool = worker_pool(workers, _start_worker, dict(names), dict(modalities), device)
    try:
        futures = {pool.submit(_encode_in_worker, files): video_id for video_id, files in left.items()}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker was killed, perhaps for memory: run again with fewer workers, it continues"
        ) from error
    except torch.OutOfMemoryError as error:
        raise UserError(f"not enough memory on {device}: run again with fewer workers, it continues") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _encode(files: ClipFiles, encoders: Mapping[str, Encoder], modalities: Mapping[str, Modality]) -> Features | str:
    """One clip by itself, so that its features do not depend on its neighbours: float16 [positions · width] each."""
    video = encoders.get("video")
    num_frames = video.num_frames if isinstance(video, VideoEncoder) else None
    try:
        fps = modalities["video"].fps if video else None
        clip = read_clip(files, audio="audio" in encoders, num_frames=num_frames, fps=fps)
    except MediaError as error:
        return str(error)
    media: dict[str, Any] = {"audio": clip.waveform, "video": clip.frames}
    features = {}
    for name, encoder in encoders.items():
        try:
            tokens = encoder.encode([media[name]])[0, list(modalities[name].positions)].half()
        except MediaError as error:
            return f"{getattr(files, name)}: {error}"
        if not tokens.isfinite().all():
            return f"{getattr(files, name)}: the {name} encoder's output is not finite"
        features[name] = tokens.flatten().numpy()
    return features


_worker: tuple[dict[str, Encoder], dict[str, Modality]]
"""Encoders of a worker process, and what is asked of them."""


def _start_worker(names: dict[str, str | Path], modalities: dict[str, Modality], device: str) -> None:
    """Load the encoders in a new process."""
    global _worker
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    _worker = {name: load_encoder(name, source, device) for name, source in names.items()}, modalities


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
