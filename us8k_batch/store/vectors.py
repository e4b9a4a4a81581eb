"""Pooled vectors by row: from the published table where it has them, from the commits otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.errors import DamageError, ObjectNotFoundError
from us8k_batch.objects import Objects
from us8k_batch.store import parquet
from us8k_batch.store.commits import read_commit
from us8k_batch.store.layout import POOLED, StoreInfo, commit_key, split_by_shard
from us8k_batch.store.state import in_parallel

WORTH = 16
"""A row group of the published table is read if one in so many of its rows is wanted; else commits cost less."""


class Vectors:
    """Reads pooled vectors, some rows at a time; holds one row group of the published table."""

    def __init__(self, objects: Objects, info: StoreInfo, fresh: Mapping[int, pa.Array] | None = None) -> None:
        """Open the published table; `fresh` has the vectors of some shards, as `State.fresh` does."""
        self._objects = objects
        self._info = info
        self._fresh = fresh or {}
        self._names = ["row", "digest", *info.config.pooled_names]
        self._open = contextlib.ExitStack()
        self._published: parquet.Pieces | None = None
        self._held: tuple[int, pa.Table] = (-1, None)
        # A damaged or missing table costs reading more commits, no more.
        with contextlib.suppress(ObjectNotFoundError, DamageError):
            published = parquet.Pieces(self._open.enter_context(objects.open(POOLED)), POOLED)
            if set(self._names) <= set(published.schema.names):
                self._published = published

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the published table."""
        self._open.close()

    def read(self, rows: NDArray[np.int64], digests: pa.ChunkedArray) -> NDArray[np.float32]:
        """Read the pooled vectors of some rows.

        Parameters
        ----------
        rows : int64 array, shape (n,)
            Rows along the clip axis, ascending.
        digests : pa.ChunkedArray of str
            Digest of each row's frames; a published vector is taken only if its row has the same one.

        Returns
        -------
        float32 array, shape (n, vector_length)

        Raises
        ------
        DamageError
            If a commit does not hold a row that it should.
        """
        vectors = np.empty((len(rows), self._info.vector_length), dtype=np.float32)
        wanted = np.ones(len(rows), dtype=np.bool_)
        with contextlib.suppress(DamageError):
            self._take_published(rows, digests, vectors, wanted)
        self._take_committed(rows, vectors, np.flatnonzero(wanted))
        return vectors

    def _take_published(
        self,
        rows: NDArray[np.int64],
        digests: pa.ChunkedArray,
        vectors: NDArray[np.float32],
        wanted: NDArray[np.bool_],
    ) -> None:
        if self._published is None:
            return
        for number in range(len(self._published)):
            first, last = self._published.bounds(number, "row") or (0, -1)
            start, end = np.searchsorted(rows, [first, last + 1])
            if (end - start) * WORTH <= last - first or start == end:
                continue
            if self._held[0] != number:
                self._held = (number, self._published.read(number, self._names))
            table = self._held[1]
            place = np.searchsorted(table["row"].to_numpy(), rows[start:end])
            place[place == len(table)] = 0
            taken = table.take(pa.array(place))
            alike = pc.equal(taken["digest"], digests.slice(start, end - start)).to_numpy()
            same = (taken["row"].to_numpy() == rows[start:end]) & alike
            for i, name in enumerate(self._names[2:]):
                vectors[start:end, i][same] = taken[name].to_numpy()[same]
            wanted[start:end][same] = False

    def _take_committed(self, rows: NDArray[np.int64], vectors: NDArray[np.float32], left: NDArray[np.int64]) -> None:
        info = self._info

        def fill(part: tuple[int, int, int]) -> None:
            shard, start, end = part
            group = left[start:end]
            pooled = self._fresh.get(shard)
            if pooled is None:
                pooled = read_commit(self._objects, info, shard)[1]["pooled"].combine_chunks()
            at = rows[group] - shard * info.clips_per_shard
            if at[-1] >= len(pooled) or (values := pooled.take(pa.array(at))).null_count:
                raise DamageError(f"{commit_key(shard)}: has no result for a live row; run us8k verify")
            vectors[group] = values.flatten().to_numpy().reshape(len(group), info.vector_length)

        parts = list(split_by_shard(rows[left], info.clips_per_shard))
        for part in parts:
            if part[0] in self._fresh:  # nothing is waited for
                fill(part)
        in_parallel(fill, [part for part in parts if part[0] not in self._fresh])
