"""Parquet bytes that are a pure function of their table, with our JSON in the file's metadata."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from us8k_batch.documents import read_document
from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.parquet_bounds import check_size

METADATA_KEY = b"us8k"
ROW_GROUP_ROWS = 131_072
_FOOTER_GUESS = 1 << 16


def encode(table: pa.Table, metadata: Mapping[str, Any]) -> bytes:
    """Return the table as Parquet: same rows and metadata, same bytes, whatever chunks it was built from."""
    schema = table.schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.combine_chunks().cast(schema),
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        write_page_checksum=True,
    )
    return bytes(sink.getvalue())


def decode(data: bytes, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table back, checking every page; `key` names the object in errors.

    Raises
    ------
    DamageError
        If the bytes are not the Parquet that was written.
    """
    try:
        check_size(data)
        table = pq.read_table(pa.BufferReader(data), columns=columns, page_checksum_verification=True)
        table.validate(full=True)  # text that is no UTF-8 would be found when it is first looked at
        if not all(table.column_names):  # and so are names
            raise ValueError("a column has no name")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damage(key, error) from error
    return table


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
    try:
        again = encode(table, metadata_of(table, key))
        return again == data or _writer(again) != _writer(data)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damage(key, error) from error


def is_written_here(data: bytes) -> bool:
    """Tell whether the pyarrow that is here wrote an object, so that what follows from bytes can be compared."""
    nothing = encode(pa.table({"nothing": pa.array([], pa.int8())}), {})
    return _writer(data) == _writer(nothing)


def read_metadata(objects: Objects, key: str) -> dict[str, Any]:
    """Return our JSON from an object's footer, reading no more than its end."""
    tail = objects.get_tail(key, _FOOTER_GUESS)
    if len(tail) < 12 or tail[-4:] != b"PAR1":
        raise DamageError(f"{key}: does not end as Parquet does; run us8k verify")
    (footer,) = struct.unpack("<I", tail[-8:-4])
    if footer + 8 > len(tail):
        tail = objects.get_tail(key, footer + 8)
    try:
        return metadata_of(pq.read_schema(pa.BufferReader(tail)), key)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamageError(f"{key}: its footer cannot be read ({error}); run us8k verify") from error


def _same_numbers(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(one.type) or len(one) != len(other):
        return False
    if not pc.is_nan(one).equals(pc.is_nan(other)):
        return False
    zero = pa.scalar(0, one.type)
    return bool(pc.if_else(pc.is_nan(one), zero, one).equals(pc.if_else(pc.is_nan(other), zero, other)))


def _damage(key: str, error: Exception) -> DamageError:
    return DamageError(f"{key}: not the Parquet that was written ({error}); run us8k verify")


def _writer(data: bytes) -> str:
    return str(pq.read_metadata(pa.BufferReader(data)).created_by)
