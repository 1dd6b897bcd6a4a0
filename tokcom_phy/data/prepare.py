"""Preparation: every clip is decoded and encoded once, into a feature store."""

import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tokcom_phy.data.encode import CODE, EncoderSetup, Skipped, encode_clips
from tokcom_phy.data.sources import Sources, find_sources
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
from tokcom_phy.model.compression import Compression
from tokcom_phy.model.encoders import Encoder, Source, load_encoder
from tokcom_phy.model.slide import check_length
from tokcom_phy.utils.errors import UserError, printable, reason
from tokcom_phy.utils.files import cannot_write
from tokcom_phy.utils.locks import hold_locks

NAMED = 10
"""Skipped clips that the console names; the store names all."""

MIN_TRUNCATED_SECONDS = 0.1
"""Sound that is left out is reported from here on [s]: codecs pad a clip by less."""

FPS = (1e-3, 1e3)
"""Slowest and fastest rate at which frames can be taken [1/s]."""


Lengths = int | Iterable[int] | Mapping[Compression, Iterable[int]]
"""Token lengths of a modality: after Slide, or by compression."""


def prepare(
    root: str | Path,
    encoders: Mapping[str, Source],
    lengths: Mapping[str, Lengths],
    out: str | Path | None = None,
    workers: int = 1,
    *,
    fps: float | None = None,
    audio_windows: int = 1,
    device: str | None = None,
    shard: tuple[int, int] | None = None,
    only: Collection[str] | None = None,
    beside: Path | None = None,
) -> Path:
    """Decode and encode each clip of a dataset once, and store its features.

    Clips are those that the annotations speak of, or, without annotations, all whose media are there. What an earlier
    call has stored is kept as long as media, encoders, token positions and the code that decodes and encodes are the
    same; a call that was interrupted or
    killed is continued, at the loss of the clips in hand. Features do not depend on ``workers``.

    Parameters
    ----------
    root : path
        A dataset's folder, or the folder that holds ``VALOR`` and ``MUSIC-AVQA``.
    encoders : modality → shipped name, folder or hub name, ``{features: DIR}`` or ``{_target_: module.Class, …}``
        See `tokcom_phy.model.encoders.load_encoder`.
    lengths : modality → s_m, or several
        Token lengths that can then be asked of the store, after Slide or by compression, as
        ``{"slide": [4, 8], "mean-pool": [4]}``; those of earlier calls stay.
    out : path, optional
        Folder of the store, ``root/features`` by default.
    workers : int
        Processes, of one thread each; fewer where starting them would take longer than the work.
    fps : float, optional
        Take frames at this rate [1/s] instead of evenly, see `tokcom_phy.data.media.decode`; 0.6 in the paper's code.
    audio_windows : int
        Equal parts into which a clip's sound is cut; an AST encodes as much of each as it takes, and their tokens
        follow one another. With one window it takes the beginning of the clip; how many clips are longer is reported.
    device : str, optional
        Where the encoders run: the GPU if there is one, else the CPU, by default.
    shard : (i, n), optional
        Encode the i-th of n parts of the clips only, 1 ≤ i ≤ n, into a part of the store. Several machines that share
        ``out`` each take one; a call without ``shard`` then merges all parts and encodes what is still missing.
    only : collection of str, optional
        Clips to prepare; all by default.
    beside : path, optional
        Folder of another store, which is only read: what it holds of the same media and encoders is copied.

    Returns
    -------
    Path
        The folder of the store, for `tokcom_phy.data.store.FeatureStore.open`. Clips that cannot be used are counted
        and named with the reason on the console and in the store's ``skipped``.

    Raises
    ------
    UserError
        If there are no clips or none can be used, an encoder or the device is missing, a length is larger than its
        encoder allows, a rate or number of windows makes no sense, there is no such shard, or the folder cannot be
        written to.
    """
    root = Path(root)
    out = root / "features" if out is None else Path(out)
    if lengths.keys() != encoders.keys():
        raise UserError(f"token lengths of {sorted(lengths)} for encoders of {sorted(encoders)}: name the same")
    if shard and not 1 <= shard[0] <= shard[1]:
        first = f"1/{max(shard[1], 1)}"
        raise UserError(f"no shard {shard[0]} of {shard[1]}: they are counted from 1, write {first} for the first")
    if fps is not None and not FPS[0] <= fps <= FPS[1]:
        raise UserError(f"fps is {fps:g}: give a rate from {FPS[0]:g} to {FPS[1]:g} frames a second")
    if audio_windows < 1:
        raise UserError(f"audio_windows is {audio_windows}: give at least 1")
    device = _device(device)
    loaded = {m: load_encoder(m, source, device, audio_windows) for m, source in encoders.items()}
    wanted = {name: _modality(encoder, lengths[name], fps) for name, encoder in loaded.items()}
    clips, skipped = _chosen(*find_sources(root, loaded), shard, only)
    states = _states(clips, skipped)
    file = f"shard-{shard[0]}-of-{shard[1]}.arrow" if shard else FILE_NAME

    with _locked(out, file):
        stored = read_contents(out / file)
        parts = _parts(out, file)
        more = [beside / FILE_NAME] if beside else []
        modalities = {name: _joined(spec, [out / FILE_NAME, *_shards(out), *more]) for name, spec in wanted.items()}
        rows = _rows([*more, out / file, *parts], modalities, states)
        if shard:
            merged = _rows([out / FILE_NAME], modalities, states)
            clips = {video_id: files for video_id, files in clips.items() if video_id not in merged}
        pending = {video_id: sources for video_id, sources in clips.items() if video_id not in rows}
        if pending:
            _report_other_code(out, [out / file, *parts], wanted)
            setup = EncoderSetup(dict(encoders), modalities, device, audio_windows)
            truncated = 0
            with (
                _journal(out, file, Contents(modalities)) as journal,
                _progress(len(pending), modalities) as advance,
                closing(encode_clips(pending, loaded, setup, workers)) as results,
            ):
                for video_id, result in results:
                    if isinstance(result, Skipped):
                        skipped[video_id] = result.reason
                    else:
                        journal.write({video_id: Row(states[video_id], result.tokens)})
                        truncated += result.truncated_seconds > MIN_TRUNCATED_SECONDS
                    advance()
            _report_truncated(truncated, len(pending), loaded)
            parts = sorted({*parts, *_journals(out, file)})
            rows = _rows([*more, out / file, *parts], modalities, states)
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


def pending_clips(
    root: Path, encoders: Mapping[str, Encoder], lengths: Mapping[str, Lengths], fps: float | None = None
) -> set[str]:
    """Clips that `prepare` would encode into the dataset's own store; the others are there."""
    out = root / "features"
    clips, skipped = find_sources(root, encoders)
    states = _states(clips, skipped)
    wanted = {name: _modality(encoder, lengths[name], fps) for name, encoder in encoders.items()}
    modalities = {name: _joined(spec, [out / FILE_NAME, *_shards(out)]) for name, spec in wanted.items()}
    return clips.keys() - _rows([out / FILE_NAME, *_parts(out, FILE_NAME)], modalities, states).keys()


def _device(name: str | None) -> str:
    """Where to run, after a look whether it is there."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        why = reason(error)
        raise UserError(f"cannot compute on device '{name}' ({why}): choose cpu, or see tokcom doctor") from error
    return name


def _chosen(
    clips: dict[str, Sources], missing: dict[str, str], shard: tuple[int, int] | None, only: Collection[str] | None
) -> tuple[dict[str, Sources], dict[str, str]]:
    """Those of the shard, and of them those that are asked for."""
    names = sorted({*clips, *missing})
    if shard:
        names = names[shard[0] - 1 :: shard[1]]
    if only is not None:
        names = [name for name in names if name in only]
    return {n: clips[n] for n in names if n in clips}, {n: missing[n] for n in names if n in missing}


def _states(clips: dict[str, Sources], skipped: dict[str, str]) -> dict[str, str]:
    """The state of each clip's files; a clip whose files are gone by now is skipped."""
    states = {}
    for name, sources in list(clips.items()):
        try:
            states[name] = sources.state()
        except OSError as error:
            skipped[name] = f"{error.filename}: {error.strerror}"
            del clips[name]
    return states


def _modality(encoder: Encoder, lengths: Lengths, fps: float | None) -> Modality:
    """What is asked for of a modality."""
    if isinstance(lengths, int):
        lengths = (lengths,)
    wanted: Mapping[Compression, Iterable[int]] = lengths if isinstance(lengths, Mapping) else {"slide": lengths}
    positions = union_of_positions(encoder.num_tokens, wanted.get("slide", ()))
    pooled = sorted({(how, n) for how, several in wanted.items() if how != "slide" for n in several})
    for _, length in pooled:
        check_length(encoder.num_tokens, length)
    rate = fps if encoder.takes == "pictures" else None
    return Modality(encoder.fingerprint, encoder.num_tokens, encoder.width, positions, rate, tuple(pooled), CODE)


def _joined(modality: Modality, files: Iterable[Path]) -> Modality:
    """What is asked for together with what is stored of the same encoder."""
    positions, pooled = set(modality.positions), set(modality.pooled)
    for stored in filter(None, map(read_contents, files)):
        for before in stored.modalities.values():
            if (before.fingerprint, before.fps) == (modality.fingerprint, modality.fps):
                positions.update(before.positions)
                pooled.update(before.pooled)
    return replace(modality, positions=tuple(sorted(positions)), pooled=tuple(sorted(pooled)))


@contextmanager
def _locked(out: Path, file: str) -> Iterator[None]:
    """Wait until no other process prepares this part of the store, or, for all of it, any part; a store that cannot be
    written to is safe to read."""
    own = out / (".lock" if file == FILE_NAME else f".lock-{Path(file).stem}")
    others = sorted(out.glob(".lock-*")) if file == FILE_NAME else []
    with hold_locks([own, *others], f"another process that prepares {out}"):
        yield
        for path in others:
            path.unlink(missing_ok=True)


def _parts(out: Path, file: str) -> list[Path]:
    """What is to be merged into a file of the store: clips that calls had finished before they were interrupted, and,
    for all of it, the shards."""
    if file == FILE_NAME:
        return sorted([*_shards(out), *out.glob(".journal-*.arrow")])
    return _journals(out, file)


def _shards(out: Path) -> list[Path]:
    return sorted(out.glob("shard-*.arrow"))


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
        raise cannot_write(out, error) from error


@contextmanager
def _progress(clips: int, modalities: Mapping[str, Modality]) -> Iterator[Callable[[], None]]:
    """A progress bar with time left and size; yields what to call after each clip."""
    clip_bytes = sum(2 * spec.num_stored * spec.width for spec in modalities.values())
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


def _report_other_code(out: Path, files: Iterable[Path], wanted: Mapping[str, Modality]) -> None:
    """Say so where what is stored was made by other code, and is therefore made anew."""
    for stored in filter(None, map(read_contents, files)):
        if any(stored.modalities[m].code != spec.code for m, spec in wanted.items() if m in stored.modalities):
            Console(soft_wrap=True, highlight=False).print(
                f"features in {out} were made by another version of the code that decodes and encodes: they are made "
                "anew",
                markup=False,
            )
            return


def _report_truncated(truncated: int, clips: int, encoders: Mapping[str, Encoder]) -> None:
    """Say how many clips have more sound than their encoder takes."""
    if truncated:
        seconds = min(encoder.seconds for encoder in encoders.values() if encoder.seconds is not None)
        Console(soft_wrap=True, highlight=False).print(
            f"[yellow]{truncated} of {clips} clips have more sound than the {seconds:g} s that the encoder takes:[/] "
            "the rest is left out; more audio windows cover more of it"
        )


def _report(prepared: int, skipped: Mapping[str, str], out: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if skipped:
        console.print(f"[yellow]{len(skipped)} of {prepared + len(skipped)} clips are skipped:[/]")
        for reason in list(skipped.values())[:NAMED]:
            console.print(f"  {printable(reason)}", markup=False)
        if len(skipped) > NAMED:
            console.print(f"  and {len(skipped) - NAMED} more, all in FeatureStore.open({str(out)!r}).skipped")
