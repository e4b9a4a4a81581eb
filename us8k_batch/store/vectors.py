"""Pooled vectors by row: from the published table where it has them, from the commits otherwise."""

from __future__ import annotations

import contextlib

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


def read_vectors(
    objects: Objects, info: StoreInfo, rows: NDArray[np.int64], digests: pa.ChunkedArray
) -> NDArray[np.float32]:
    """Read the pooled vectors of some rows.

    Parameters
    ----------
    objects, info
        The store.
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
    vectors = np.empty((len(rows), info.vector_length), dtype=np.float32)
    wanted = np.ones(len(rows), dtype=np.bool_)
    # A damaged or missing table costs reading more commits, no more.
    with contextlib.suppress(ObjectNotFoundError, DamageError):
        _take_published(objects, info, rows, digests, vectors, wanted)
    left = np.flatnonzero(wanted)

    def fill(part: tuple[int, int, int]) -> None:
        shard, start, end = part
        group = left[start:end]
        _, commit, _ = read_commit(objects, info, shard)
        at = rows[group] - shard * info.clips_per_shard
        if at[-1] >= len(commit) or commit["pooled"].take(pa.array(at)).null_count:
            raise DamageError(f"{commit_key(shard)}: has no result for a live row; run us8k verify")
        values = commit["pooled"].combine_chunks().take(pa.array(at)).flatten()
        vectors[group] = values.to_numpy().reshape(len(group), info.vector_length)

    in_parallel(fill, split_by_shard(rows[left], info.clips_per_shard))
    return vectors


def _take_published(
    objects: Objects,
    info: StoreInfo,
    rows: NDArray[np.int64],
    digests: pa.ChunkedArray,
    vectors: NDArray[np.float32],
    wanted: NDArray[np.bool_],
) -> None:
    names = info.config.pooled_names
    table = parquet.decode(objects.get(POOLED), POOLED, ["row", "digest", *names])
    if table.column_names != ["row", "digest", *names]:
        return
    place = np.searchsorted(table["row"].to_numpy(), rows)
    place[place == len(table)] = 0
    if not len(table):
        return
    taken = table.take(pa.array(place))
    same = (taken["row"].to_numpy() == rows) & pc.equal(taken["digest"], digests).to_numpy()
    for i, name in enumerate(names):
        vectors[same, i] = taken[name].to_numpy()[same]
    wanted[same] = False
