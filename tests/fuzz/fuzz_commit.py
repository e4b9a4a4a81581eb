"""Fuzz the commit reader, and what stands behind it: rows and digests, or damage that names the object."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(
    include=["us8k_batch.store", "us8k_batch.repair", "us8k_batch.parquet_bounds", "us8k_batch.documents"]
):
    from us8k_batch.repair.salvage import salvage
    from us8k_batch.store import parquet
    from us8k_batch.store.commits import read_commit
    from us8k_batch.store.layout import commit_key, plan_key, read_info, shard_key, snapshot_key
    from us8k_batch.store.plans import PlanRecord
    from us8k_batch.store.state import SnapshotRecord

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from fuzzing import GOLDEN, fuzz

from us8k_batch.errors import DamageError
from us8k_batch.objects import open_objects

OBJECTS = open_objects(str(GOLDEN / "store"))
INFO = read_info(OBJECTS)
GOOD = OBJECTS.get(commit_key(0))


class Handed:
    """A store whose objects are all the same bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def get(self, key: str) -> bytes:  # noqa: ARG002  # the signature is a store's
        """Return them."""
        return self._data

    def get_tail(self, key: str, length: int) -> bytes:  # noqa: ARG002
        """Return their end."""
        return self._data[-length:]


def target(data: bytes) -> None:
    """Read one object, whose first byte tells what it is taken for."""
    {b"J": _document, b"S": _shard}.get(data[:1], _commit)(data[1:])


def _commit(data: bytes) -> None:
    objects: Any = Handed(data)
    try:
        metadata, table, digest = read_commit(objects, INFO, 0)
        parquet.is_as_written(data, commit_key(0))
    except DamageError:
        pass
    else:
        assert metadata["shard"] == 0
        assert table.schema.equals(INFO.commit_schema)
        assert len(digest) == 64
    try:
        parquet.read_metadata(objects, commit_key(0))
    except DamageError:
        return


def _document(data: bytes) -> None:
    """Put the bytes where our JSON stands, in a file that is otherwise whole."""
    schema = pa.schema([("row", pa.int64())]).with_metadata({parquet.METADATA_KEY: data})
    try:
        values = parquet.metadata_of(schema, "commit")
    except DamageError:
        return
    makers: list[Callable[[Any], Any]] = [PlanRecord.from_dict, lambda found: SnapshotRecord.from_dict(1, found)]
    for make in makers:
        try:
            make(values)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue


def _shard(data: bytes) -> None:
    assert len(salvage(INFO, data, 4)) == 4


if __name__ == "__main__":
    keys = (commit_key(0), plan_key(1), snapshot_key(1))
    documents = [b"J" + json.dumps(parquet.read_metadata(OBJECTS, key)).encode() for key in keys]
    fuzz(target, [b"C" + GOOD, b"S" + OBJECTS.get(shard_key(0)), *documents], 16384)
