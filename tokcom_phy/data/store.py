"""Feature store: what the encoders (2) make of each clip, on disk once, memory-mapped for training.

A store is a folder with one Arrow file: a row a clip, with its ``video_id``, the ``source`` it was made from and one
half-precision array a modality, of the token positions and pooled tokens that were asked for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor

from tokcom_phy.model.compression import Compression, compress
from tokcom_phy.model.slide import slide_indices
from tokcom_phy.utils.errors import UserError, nearest
from tokcom_phy.utils.files import write_atomically

FILE_NAME = "features.arrow"
VERSION = 1
ROWS_PER_BATCH = 256

_METADATA_KEY = b"tokcom_phy"


@dataclass(frozen=True)
class Modality:
    """What is stored of one modality.

    Attributes
    ----------
    fingerprint : str
        Digest of the encoder, see `tokcom_phy.model.encoders.Encoder.fingerprint`.
    num_tokens : int
        ŝ_m, tokens that the encoder gives.
    width : int
        d_m.
    positions : tuple of int
        Which of the ŝ_m tokens are stored, rising.
    fps : float, optional
        Rate [1/s] at which frames were taken, see `tokcom_phy.data.media.decode`; None if evenly.
    pooled : tuple of (how, length)
        Pooled tokens that are stored too, behind those of the positions: of each compression its ``length`` tokens.
    code : str
        Digest of the code that decoded and encoded, see `tokcom_phy.data.encode.CODE`; features of two codes are never
        in one store.
    """

    fingerprint: str
    num_tokens: int
    width: int
    positions: tuple[int, ...]
    fps: float | None = None
    pooled: tuple[tuple[Compression, int], ...] = ()
    code: str = ""

    @property
    def num_stored(self) -> int:
        """Tokens of a clip that are stored."""
        return len(self.positions) + sum(length for _, length in self.pooled)

    def stored(self, tokens: Tensor) -> Tensor:
        """What is stored of all tokens of a clip: [num_tokens, width] → [num_stored, width]."""
        pooled = [compress(tokens[None], length, how)[0] for how, length in self.pooled]
        return torch.cat([tokens[list(self.positions)], *pooled])


@dataclass(frozen=True)
class Contents:
    """What a store says of itself: its modalities, and the clips that were skipped, each with the reason."""

    modalities: dict[str, Modality]
    skipped: dict[str, str] = field(default_factory=dict)
    version: int = VERSION


_CONTENTS = TypeAdapter(Contents)


@dataclass(frozen=True)
class Row:
    """One clip: the state of the media files it was made from, and float16 [num_stored · width] a modality."""

    source: str
    features: dict[str, NDArray[np.float16]]


def union_of_positions(num_tokens: int, lengths: Iterable[int]) -> tuple[int, ...]:
    """All positions that Slide (3) keeps for any of ``lengths``, rising.

    Raises
    ------
    UserError
        If a length is not in 1…``num_tokens``.
    """
    return tuple(sorted({index for length in lengths for index in slide_indices(num_tokens, length).tolist()}))


class FeatureStore:
    """Features of clips, memory-mapped; made by `tokcom_phy.data.prepare.prepare`.

    Attributes
    ----------
    dataset : datasets.Dataset
        The rows, as they are stored.
    modalities : dict of str to Modality
    skipped : dict of str to str
        Clips that are not here, and why.
    video_ids : list of str
        Clips that are here, sorted.
    """

    def __init__(self, path: Path, dataset: Dataset, contents: Contents) -> None:
        self.path = path
        self.dataset = dataset
        self.modalities = contents.modalities
        self.skipped = contents.skipped
        pieces = [piece.to_pylist() for piece in dataset.data.column("video_id").chunks]
        self._where = {video_id: (p, row) for p, piece in enumerate(pieces) for row, video_id in enumerate(piece)}
        self.video_ids = list(self._where)
        self._features = {
            name: [
                _values(piece).reshape(-1, spec.num_stored, spec.width) for piece in dataset.data.column(name).chunks
            ]
            for name, spec in self.modalities.items()
        }
        self._columns: dict[tuple[str, int, Compression], NDArray[np.intp]] = {}

    @classmethod
    def open(cls, path: str | Path) -> "FeatureStore":
        """Open a store, without reading its features.

        Raises
        ------
        UserError
            If there is no store of this version in the folder ``path``, or it is damaged.
        """
        file = Path(path) / FILE_NAME
        if not file.is_file():
            raise UserError(f"no feature store in {path}: make it with tokcom data prepare")
        damaged = UserError(f"no feature store can be read from {file}: it is damaged; tokcom data prepare mends it")
        contents = read_contents(file)
        if contents is None:
            raise damaged
        try:
            dataset = Dataset.from_file(str(file))
            dataset.data.validate(full=True)
            return cls(Path(path), dataset, contents)
        except Exception as error:  # whatever a damaged file makes Arrow raise
            raise damaged from error

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureStore.open, (self.path,)

    def __len__(self) -> int:
        return len(self.video_ids)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._where

    def width(self, modality: str) -> int:
        """d_m, values a token of a modality has."""
        return self._modality(modality).width

    def tokens(self, modality: str, video_ids: Sequence[str], length: int, how: Compression = "slide") -> Tensor:
        """Tokens of a batch of clips after compression, equation (3).

        Parameters
        ----------
        modality : str
        video_ids : list of b str
        length : int
            s_m; must be stored.
        how : 'slide', 'mean-pool' or 'max-pool'
            See `tokcom_phy.model.compression.compress`.

        Returns
        -------
        float32 [b, length, width]

        Raises
        ------
        UserError
            If the modality, a clip or the length is not stored.
        """
        columns = self._stored_at(modality, length, how)
        out = np.empty((len(video_ids), length, self.modalities[modality].width), np.float16)
        features = self._features[modality]
        for target, video_id in zip(out, video_ids, strict=True):
            if video_id not in self._where:
                reason = self.skipped.get(video_id, "it was not there when the store was made")
                raise UserError(f"no features of clip '{video_id}' in {self.path}: {reason}")
            piece, row = self._where[video_id]
            features[piece][row].take(columns, axis=0, out=target, mode="clip")
        return torch.from_numpy(out).float()

    def _modality(self, modality: str) -> Modality:
        if modality not in self.modalities:
            raise UserError(f"no '{modality}' features in {self.path}: {nearest(modality, self.modalities)}")
        return self.modalities[modality]

    def _stored_at(self, modality: str, length: int, how: Compression) -> NDArray[np.intp]:
        """Where in a stored row the compressed tokens are."""
        key = modality, length, how
        if key not in self._columns:
            spec = self._modality(modality)
            if how == "slide":
                where = {position: column for column, position in enumerate(spec.positions)}
                columns = [where.get(position) for position in slide_indices(spec.num_tokens, length).tolist()]
            else:
                before = 0 if (how, length) not in spec.pooled else spec.pooled.index((how, length))
                first = len(spec.positions) + sum(pooled for _, pooled in spec.pooled[:before])
                columns = [*range(first, first + length)] if (how, length) in spec.pooled else [None]
            if None in columns:
                raise UserError(
                    f"{length} {modality} tokens ({how}) are not stored in {self.path}: prepare it again with this "
                    "length"
                )
            self._columns[key] = np.array(columns, np.intp)
        return self._columns[key]


def read_contents(file: Path) -> Contents | None:
    """What an Arrow file says it holds; None if it is missing, damaged at its start, or of another version."""
    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
            schema = stream.schema
        contents = _CONTENTS.validate_json((schema.metadata or {}).get(_METADATA_KEY, b"{}"))
        whole = contents.version == VERSION and schema.equals(_schema(contents.modalities))
    except Exception:  # whatever a damaged file makes Arrow raise
        return None
    return contents if whole else None


def read_rows(file: Path, modalities: Mapping[str, Modality]) -> dict[str, Row]:
    """The rows of an Arrow file, by ``video_id``, memory-mapped; as far as it goes, if its end was never written or is
    damaged.

    Empty if the file does not hold exactly these features.
    """
    contents = read_contents(file)
    if contents is None or any(contents.modalities.get(name) != spec for name, spec in modalities.items()):
        return {}
    rows: dict[str, Row] = {}
    for batch in _batches(file):
        columns = {name: _values(batch.column(name)).reshape(len(batch), -1) for name in modalities}
        labels = zip(batch.column("video_id").to_pylist(), batch.column("source").to_pylist(), strict=True)
        for index, (video_id, source) in enumerate(labels):
            rows[video_id] = Row(source, {name: column[index] for name, column in columns.items()})
    return rows


class RowWriter:
    """Writes rows to an Arrow file; what has been written survives a kill."""

    def __init__(self, file: Path, contents: Contents) -> None:
        self._schema = _schema(contents.modalities).with_metadata({_METADATA_KEY: json.dumps(asdict(contents))})
        self._sink = pa.OSFile(str(file), "wb")
        self._stream = pa.ipc.new_stream(self._sink, self._schema)

    def write(self, rows: Mapping[str, Row]) -> None:
        """Append rows, by ``video_id``, as one batch."""
        columns = [pa.array(list(rows), pa.string()), pa.array([row.source for row in rows.values()], pa.string())]
        for name in self._schema.names[2:]:
            values = np.concatenate([row.features[name] for row in rows.values()])
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(values), type=self._schema.field(name).type))
        self._stream.write_batch(pa.record_batch(columns, schema=self._schema))

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._sink.close()


def write_store(path: Path, contents: Contents, rows: Mapping[str, Row], name: str = FILE_NAME) -> None:
    """Write a whole store, or the part of one that is called ``name``, in one step, clips in the order of their names.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    names = sorted(rows)
    with write_atomically(path / name) as temporary, RowWriter(temporary, contents) as writer:
        for start in range(0, len(names), ROWS_PER_BATCH):
            writer.write({name: rows[name] for name in names[start : start + ROWS_PER_BATCH]})


def _schema(modalities: Mapping[str, Modality]) -> pa.Schema:
    columns = [(name, _type(spec)) for name, spec in modalities.items()]
    return pa.schema([("video_id", pa.string()), ("source", pa.string()), *columns])


def _type(spec: Modality) -> pa.DataType:
    return pa.list_(pa.float16(), spec.num_stored * spec.width)


def _values(array: pa.FixedSizeListArray) -> NDArray[np.float16]:
    """The values of a column, a view of the file."""
    return array.flatten().to_numpy(zero_copy_only=True)


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
        while True:
            try:
                batch = stream.read_next_batch()
                batch.validate(full=True)
            except (StopIteration, OSError, pa.ArrowException):
                return
            yield batch
