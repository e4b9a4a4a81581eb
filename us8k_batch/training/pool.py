"""Pool a store's frames anew, into one Parquet file with the statistics that are asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from us8k_batch.errors import RequestError
from us8k_batch.folders import beside
from us8k_batch.objects import is_bucket, local_path
from us8k_batch.store.parquet import METADATA_KEY
from us8k_batch.store.reader import Store, open_store
from us8k_batch.training.featuresets import REVISION, pooled_batches
from us8k_batch.training.statistics import column_names, refuse_unknown

SUFFIXES = (".parquet", ".pq")
FORMATS = "pooled vectors are written as Parquet; expected a name that ends in .parquet"


@dataclass(frozen=True, slots=True)
class Pooled:
    """What was written."""

    out: str
    clips: int
    columns: int
    """Number of feature columns."""
    snapshot_id: str


def pool(
    path: str,
    out: str,
    statistics: Sequence[str],
    progress: Callable[[int], None] | None = None,
    *,
    force: bool = False,
) -> Pooled:
    """Write one row per live clip: clip_id, the dataset's columns, and the statistics as flat float32 columns.

    Parameters
    ----------
    path : str
        Local path or URL of the store.
    out : str
        Local path of the Parquet file; written beside it first, then put in its place whole.
    statistics : sequence of str
        Names out of ``STATISTICS``.
    progress : callable, optional
        Told how many clips are done.
    force : bool
        Replace what is there.

    Returns
    -------
    Pooled

    Raises
    ------
    RequestError
        If a statistic is unknown, or the file cannot be written there.
    StoreError
        If nothing is published.
    DamageError
        If frames are not what was committed.

    Notes
    -----
    Memory is bounded by the published table and one batch of frames, whatever the number of statistics.
    """
    refuse_unknown(statistics)
    store = open_store(path)
    target = _target(out, store)
    if target.exists() and not force:
        raise RequestError(f"{target}: is there already; choose another name, or add --force to replace it")
    own = [name for name in store.pooled.columns if name not in store.pooled_names]
    names = column_names(statistics, store.config.n_mfcc)
    kept = pa.Table.from_pandas(store.pooled[own], preserve_index=False).replace_schema_metadata(None)
    metadata = {
        "snapshot_id": store.snapshot_id,
        "complete": store.complete,
        "pending": store.pending,
        "config": store.config.to_dict(),
        "statistics": list(statistics),
        "revision": REVISION,
    }
    schema = pa.schema(
        [*kept.schema, *(pa.field(name, pa.float32()) for name in names)],
        metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()},
    )
    temporary = beside(target)
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise RequestError(
            f"{target}: cannot be written ({error.strerror}); expected a folder that exists"
        ) from error
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
            _write(writer, schema, kept, store, statistics, progress)
        _put(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return Pooled(str(target), len(store), len(names), store.snapshot_id)


def _write(
    writer: pq.ParquetWriter,
    schema: pa.Schema,
    kept: pa.Table,
    store: Store,
    statistics: Sequence[str],
    progress: Callable[[int], None] | None,
) -> None:
    n_frames = store.pooled["n_frames"].to_numpy(dtype=np.int64)
    start = 0
    for values in pooled_batches(store.mfcc, n_frames, statistics):
        part = kept.slice(start, len(values))
        columns = [*part.columns, *(pa.array(np.ascontiguousarray(column)) for column in values.T)]
        writer.write_table(pa.table(columns, schema=schema))
        start += len(values)
        if progress is not None:
            progress(start)


def _target(out: str, store: Store) -> Path:
    if is_bucket(out):
        raise RequestError(f"{out}: expected a local path")
    target = local_path(out)
    if target.is_dir():
        raise RequestError(f"{target}: is a folder, expected the name of a Parquet file")
    if target.suffix.lower() not in SUFFIXES:
        raise RequestError(f"{target}: {FORMATS}")
    if not is_bucket(store.url) and target.resolve().is_relative_to(Path(store.url).resolve()):
        raise RequestError(f"{target}: lies in the store, which only extraction writes to; choose another place")
    return target


def _put(temporary: Path, target: Path) -> None:
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(target)
