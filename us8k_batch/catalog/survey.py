"""Read every clip of a catalog once: its digest, what its header says, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from us8k_batch.audio.notes import named_notes
from us8k_batch.audio.opening import extension_of
from us8k_batch.catalog.dataset import Catalog
from us8k_batch.catalog.headers import UnreadableHeaderError, read_header
from us8k_batch.catalog.source import Source, open_source
from us8k_batch.errors import ClipError, StorageError

THREADS = 4
"""Clips read together."""
HELD_BYTES = 256 << 20
"""Bytes of clips in memory at a time; a single clip may be larger."""
LONGEST = 2 << 30
"""Bytes of a clip beyond which it is not read."""
BATCH = 10_000
"""Clips whose results are kept as Python values before they become Arrow's."""
SURVEY_SCHEMA = pa.schema(
    {
        "row": pa.int64(),
        "sha256": pa.binary(32),
        "container": pa.string(),
        "subtype": pa.string(),
        "sample_rate": pa.int64(),
        "channels": pa.int64(),
        "seconds": pa.float64(),
        "problem": pa.string(),
        "detail": pa.string(),
    }
)
"""``row`` is the clip's place in `Catalog.clips`; null is what is not known."""
Result = tuple[Any, ...]
"""One clip's values, in the order of `SURVEY_SCHEMA`."""


def survey(catalog: Catalog, progress: Callable[[int], None] | None = None) -> pa.Table:
    """Read every clip that is there.

    Parameters
    ----------
    catalog : Catalog
        The dataset.
    progress : callable, optional
        Told, now and then, how many clips have been read.

    Returns
    -------
    survey : Table of `SURVEY_SCHEMA`, by row
        ``problem`` is null for a good clip, what `read_header` says of it, or the error of a clip that cannot be
        read or decoded, as in ``failures.parquet``.
    """
    source = open_source(catalog.root)
    batches: list[pa.RecordBatch] = []
    results: list[Result] = []
    for done, result in enumerate(_ordered(source, _present(catalog)), start=1):
        results.append(result)
        if len(results) == BATCH:
            batches.append(_batch(results))
            results.clear()
        if progress is not None:
            progress(done)
    batches.append(_batch(results))
    return pa.Table.from_batches(batches, SURVEY_SCHEMA)


def _present(catalog: Catalog) -> Iterator[tuple[int, str, int]]:
    clips = catalog.clips.select(["path", "size"])
    rows = pc.indices_nonzero(pc.is_null(catalog.clips["error"]))
    for start in range(0, len(rows), BATCH):
        part = rows.slice(start, BATCH)
        found = clips.take(part)
        columns = (part.to_pylist(), found["path"].to_pylist(), found["size"].to_pylist())
        yield from zip(*columns, strict=True)


def _ordered(source: Source, clips: Iterator[tuple[int, str, int]]) -> Iterator[Result]:
    """Read with some threads, give the results in order, hold no more than `HELD_BYTES` at a time."""
    pending: deque[tuple[int, Future[Result]]] = deque()
    held = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for row, path, size in clips:
            while pending and (held + size > HELD_BYTES or len(pending) >= 4 * THREADS):
                freed, future = pending.popleft()
                held -= freed
                yield future.result()
            pending.append((size, pool.submit(_examine, source, row, path)))
            held += size
        while pending:
            yield pending.popleft()[1].result()


def _examine(source: Source, row: int, path: str) -> Result:
    nothing = (None,) * 5
    try:
        data = source.read(path, LONGEST)
    except ClipError as error:
        return (row, None, *nothing, error.error, str(error))
    except StorageError as error:
        return (row, None, *nothing, "storage", str(error))
    digest = hashlib.sha256(data).digest()
    try:
        with named_notes(path, data):
            header = read_header(data, extension_of(path))
    except UnreadableHeaderError as error:
        return (row, digest, *nothing, error.word, str(error))
    facts = (header.container, header.subtype, header.sample_rate, header.channels, header.seconds)
    return (row, digest, *facts, header.problem, header.detail)


def _batch(results: list[Result]) -> pa.RecordBatch:
    columns = zip(*results, strict=True) if results else ((),) * len(SURVEY_SCHEMA)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, SURVEY_SCHEMA.types, strict=True)]
    return pa.record_batch(arrays, schema=SURVEY_SCHEMA)
