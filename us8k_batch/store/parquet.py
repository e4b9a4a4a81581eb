"""Parquet bytes that are a pure function of their table, with our JSON in the file's metadata."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from us8k_batch.buffers import arrow_file, arrow_reader
from us8k_batch.documents import read_document
from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.parquet_bounds import check_size

METADATA_KEY = b"us8k"
ROW_GROUP_ROWS = 131_072
"""Rows of a row group: what is in memory while a table is written or read piece by piece."""
SHARED_OUT_BYTES = 1 << 20
"""Size from which on several threads decode a table that is in memory."""
HELD_BYTES = 16 << 20
"""Size up to which an object is read at once; of what is longer, only what is asked for is in memory."""
_FOOTER_GUESS = 1 << 16
NOW, FIRST = 2, 1
MANNERS = (NOW, FIRST)
"""How tables are written, and were: the first stores have a dictionary and bounds for every column."""
_DISTINCT = frozenset(("clip_id", "source_sha256", "digest"))
"""Text columns in which no value comes twice."""


def encode(table: pa.Table, metadata: Mapping[str, Any], manner: int = NOW) -> bytes:
    """Return the table as Parquet: same rows and metadata, same bytes, whatever chunks it was built from."""
    sink = pa.BufferOutputStream()
    write(sink, table.schema, [table], metadata, manner)
    return bytes(sink.getvalue())


def encodings(table: pa.Table, metadata: Mapping[str, Any]) -> Iterator[bytes]:
    """Give the table as Parquet in each manner, today's first."""
    return (encode(table, metadata, manner) for manner in MANNERS)


def write(
    sink: Any, schema: pa.Schema, pieces: Iterable[pa.Table], metadata: Mapping[str, Any], manner: int = NOW
) -> None:
    """Write a table that comes in pieces, one row group after the other: the bytes that `encode` makes of the whole.

    Parameters
    ----------
    sink : file-like, or an Arrow output stream
        Left open.
    schema : pa.Schema
        Of every piece; its own metadata are left out.
    pieces : iterable of pa.Table
        Of any length.
    metadata : mapping
        Our JSON for the file's metadata.
    manner : int
        Which of `MANNERS`; all but the first are for comparing with what was written in them.
    """
    ours = schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})
    options = _options(schema) if manner == NOW else {}
    with pq.ParquetWriter(sink, ours, compression="zstd", write_page_checksum=True, **options) as writer:
        for group in _row_groups(schema, pieces):
            writer.write_table(group.combine_chunks().cast(ours), row_group_size=ROW_GROUP_ROWS)


def digest(schema: pa.Schema, pieces: Iterable[pa.Table], metadata: Mapping[str, Any], manner: int = NOW) -> bytes:
    """Return the sha256 of what `write` would write, without keeping it."""
    sink = _Digest()
    write(sink, schema, pieces, metadata, manner)
    return sink.sha256.digest()


class Pieces:
    """A Parquet file that is read row group by row group, checking every page."""

    def __init__(self, file: BinaryIO, key: str) -> None:
        """Read the footer; `key` names the object in errors.

        Raises
        ------
        DamageError
            If the bytes are not the Parquet that was written; so do the methods.
        """
        self._key = key
        with translated(key):
            self._file = pq.ParquetFile(_checked(file), page_checksum_verification=True)
            self.schema: pa.Schema = self._file.schema_arrow
            """Columns, and the file's metadata."""
            _refuse_nonsense(self.schema.empty_table())

    def __len__(self) -> int:
        """Return the number of row groups."""
        return int(self._file.num_row_groups)

    def __iter__(self) -> Iterator[pa.Table]:
        """Read one after the other."""
        return (self.read(number) for number in range(len(self)))

    def read(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one row group, or some columns of it."""
        with translated(self._key):
            table = self._file.read_row_group(number, columns=columns)
            _refuse_nonsense(table)
            return table

    def bounds(self, number: int, column: str) -> tuple[int, int] | None:
        """Return the least and the greatest value of a column in a row group, if the footer tells."""
        with translated(self._key):
            place = self._file.schema.names.index(column)
            found = self._file.metadata.row_group(number).column(place).statistics
            return (found.min, found.max) if found is not None and found.has_min_max else None


def decode(data: bytes, key: str) -> pa.Table:
    """Read a table back, checking every page; `key` names the object in errors.

    Raises
    ------
    DamageError
        If the bytes are not the Parquet that was written.
    """
    with translated(key):
        check_size(data)
        # On a commit four times as fast as pq.read_table, and threads would take twice as long to share it out.
        file = pq.ParquetFile(arrow_reader(data), page_checksum_verification=True)
        table = file.read(use_threads=len(data) > SHARED_OUT_BYTES)
        _refuse_nonsense(table)
    return table


def _options(schema: pa.Schema) -> dict[str, list[str]]:
    """Choose the columns with a dictionary, and those with bounds.

    A dictionary of numbers that hardly come twice is larger than they are, in several times the time; and nobody
    looks for clips by the bounds of their features.
    """
    types = {field.name: getattr(field.type, "value_type", field.type) for field in schema}
    return {
        "use_dictionary": [name for name in types if pa.types.is_string(types[name]) and name not in _DISTINCT],
        "write_statistics": [name for name in types if not pa.types.is_float32(types[name])],
    }


@contextlib.contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn what pyarrow raises of an object's bytes into a `DamageError` that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamageError(f"{key}: not the Parquet that was written ({error}); run us8k verify") from error


def metadata_of(table_or_schema: pa.Table | pa.Schema, key: str) -> dict[str, Any]:
    """Return our JSON from a table's metadata."""
    schema = table_or_schema if isinstance(table_or_schema, pa.Schema) else table_or_schema.schema
    try:
        return read_document((schema.metadata or {})[METADATA_KEY])
    except KeyError as error:
        raise DamageError(f"{key}: has no us8k metadata; it was not written by this program") from error
    except ValueError as error:
        raise DamageError(
            f"{key}: its us8k metadata cannot be read ({error}); it was not written by this program"
        ) from error


def same(one: pa.Table, other: pa.Table) -> bool:
    """Tell whether two tables hold the same, a NaN being the same as a NaN."""
    if not one.schema.equals(other.schema):
        return False
    return all(a.equals(b) or _same_numbers(a, b) for a, b in zip(one.columns, other.columns, strict=True))


def is_as_written(data: bytes, key: str) -> bool:
    """Tell whether an object has the very bytes that its table is written as; true if another pyarrow wrote it.

    Pages have checksums, their headers and the footer have none.

    Raises
    ------
    DamageError
        If it cannot be read at all.
    """
    table = decode(data, key)
    with translated(key):
        return data in encodings(table, metadata_of(table, key)) or not is_written_here(data)


def is_written_here(data: bytes) -> bool:
    """Tell whether the pyarrow that is here wrote an object, so that what follows from bytes can be compared."""
    nothing = encode(pa.table({"nothing": pa.array([], pa.int8())}), {})
    return _writer(data) == _writer(nothing)


def read_metadata(objects: Objects, key: str) -> dict[str, Any]:
    """Return our JSON from an object's footer, reading no more than its end."""
    end = _read_end(objects, key)
    with _footer_of(key):
        return metadata_of(pq.read_schema(arrow_reader(end)), key)


def read_length(objects: Objects, key: str) -> int:
    """Return the number of rows from an object's footer, reading no more than its end."""
    end = _read_end(objects, key)
    with _footer_of(key):
        return int(pq.read_metadata(arrow_reader(end)).num_rows)


def _read_end(objects: Objects, key: str) -> bytes:
    tail = objects.get_tail(key, _FOOTER_GUESS)
    if len(tail) < 12 or tail[-4:] != b"PAR1":
        raise DamageError(f"{key}: does not end as Parquet does; run us8k verify")
    (footer,) = struct.unpack("<I", tail[-8:-4])
    return tail if footer + 8 <= len(tail) else objects.get_tail(key, footer + 8)


@contextlib.contextmanager
def _footer_of(key: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamageError(f"{key}: its footer cannot be read ({error}); run us8k verify") from error


def _refuse_nonsense(table: pa.Table) -> None:
    table.validate(full=True)  # text that is no UTF-8 would be found when it is first looked at
    if not all(table.column_names):  # and so are names
        raise ValueError("a column has no name")


def _checked(file: BinaryIO) -> pa.NativeFile:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if length <= HELD_BYTES:
        data = file.read()
        check_size(data)
        return arrow_reader(data)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        check_size(cast("bytes", mapped))
    return arrow_file(file)


class _Digest:
    """A file that keeps nothing but the digest of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self._length = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self._length += len(data)
        return len(data)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None:
        pass


def _row_groups(schema: pa.Schema, pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut the pieces anew, so that every row group is full but the last; there is one even if there is no row."""
    nothing = schema.empty_table()
    held, n, whole = [nothing], 0, 0
    for piece in pieces:
        held.append(piece)
        n += len(piece)
        while n >= ROW_GROUP_ROWS:
            joined = pa.concat_tables(held)
            yield joined.slice(0, ROW_GROUP_ROWS)
            whole, n = whole + 1, n - ROW_GROUP_ROWS
            # Even a slice without a row would keep all that it was cut from.
            held = [joined.slice(ROW_GROUP_ROWS) if n else nothing]
    if n or not whole:
        yield pa.concat_tables(held)


def _same_numbers(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(one.type) or len(one) != len(other):
        return False
    if not pc.is_nan(one).equals(pc.is_nan(other)):
        return False
    zero = pa.scalar(0, one.type)
    return bool(pc.if_else(pc.is_nan(one), zero, one).equals(pc.if_else(pc.is_nan(other), zero, other)))


def _writer(data: bytes) -> str:
    return str(pq.read_metadata(arrow_reader(data)).created_by)
