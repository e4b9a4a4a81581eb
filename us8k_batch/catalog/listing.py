"""Arrow in and out of a scan: paths taken apart by folder, and what was seen put together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from us8k_batch.catalog.unreadable import FAULTS

FINE = -1
"""In place of a fault's number: the clip can be read."""
EARLIEST, LATEST = -(1 << 63), (1 << 63) - 1
"""Times that 64 bits of nanoseconds hold, the years 1677 to 2262; others count as the nearest of them."""
SEEN_SCHEMA = pa.schema(
    {
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
        "etag": pa.string(),
        "stage": pa.string(),
        "error": pa.string(),
        "detail": pa.string(),
    }
)
"""Columns of a scan; see `Source.scan`."""


def one_array(column: Any) -> Any:
    """Return a column as one Array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def split_paths(paths: Any) -> tuple[Any, Any]:
    """Split paths at their last slash.

    Returns
    -------
    folders, names : string Array
        The folder is empty for a path without a slash.
    """
    parts = pc.split_pattern(one_array(paths), "/", max_splits=1, reverse=True)
    ends = parts.offsets.to_numpy()
    values = parts.values
    names = values.take(pa.array(ends[1:] - 1))
    folders = pc.if_else(pa.array(np.diff(ends) == 2), values.take(pa.array(ends[:-1])), "")
    return folders, names


def by_folder(folders: Any) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Give each distinct folder with the positions that name it."""
    encoded = folders.dictionary_encode()
    codes = encoded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    start = 0
    for folder, count in zip(encoded.dictionary.to_pylist(), np.bincount(codes).tolist(), strict=True):
        yield folder, order[start : start + count]
        start += count


def seen_table(size: Any, mtime_ns: Any, etag: Any, faults: NDArray[np.int16]) -> pa.Table:
    """Put together what a scan returns.

    Parameters
    ----------
    size, mtime_ns : int64 array, shape (n_clips,)
        Bytes, and ns since 1970; ignored where there is a fault.
    etag : string Array of length n_clips
        Null where the storage has none.
    faults : int16 array, shape (n_clips,)
        Place in `FAULTS`, or `FINE`.
    """
    fine = pa.array(faults == FINE)
    number = pa.array(faults, pa.int16(), mask=faults == FINE)

    def words(values: list[str]) -> Any:
        return pa.array(values, pa.string()).take(number)

    return pa.Table.from_arrays(
        [
            pc.if_else(fine, size, None),
            pc.if_else(fine, mtime_ns, None),
            pc.if_else(fine, etag, None),
            words([fault.kind.stage for fault in FAULTS]),
            words([fault.kind.error for fault in FAULTS]),
            words([fault.text for fault in FAULTS]),
        ],
        schema=SEEN_SCHEMA,
    )
