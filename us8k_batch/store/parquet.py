"""Parquet bytes that are a pure function of their table, with our JSON in the file's metadata."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects

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
        return pq.read_table(pa.BufferReader(data), columns=columns, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamageError(f"{key}: not the Parquet that was written ({error}); run us8k verify") from error


def metadata_of(table_or_schema: pa.Table | pa.Schema, key: str) -> dict[str, Any]:
    """Return our JSON from a table's metadata."""
    schema = table_or_schema if isinstance(table_or_schema, pa.Schema) else table_or_schema.schema
    try:
        value = json.loads((schema.metadata or {})[METADATA_KEY])
    except (KeyError, ValueError) as error:
        raise DamageError(f"{key}: has no us8k metadata; it was not written by this program") from error
    if not isinstance(value, dict):
        raise DamageError(f"{key}: us8k metadata is not an object")
    return value


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
