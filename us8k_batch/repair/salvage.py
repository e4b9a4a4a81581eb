"""What is left of a damaged shard object: the frames of every chunk that still decodes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from us8k_batch.store.layout import StoreInfo
from us8k_batch.store.zstd import MAGIC, bounded_decode, frame_length


def salvage(info: StoreInfo, data: bytes, n_rows: int) -> list[NDArray[np.float32] | None]:
    """Decode a shard chunk by chunk.

    Parameters
    ----------
    info : StoreInfo
        Shape of a shard.
    data : bytes
        What stands where the shard should be.
    n_rows : int
        Rows that were committed.

    Returns
    -------
    list of float32 arrays, shape (n_mfcc, frames), or None
        One per row; None where its chunk does not decode. Nothing is proved yet: compare digests.
    """
    step = info.clips_per_chunk
    shape = (step, info.config.n_mfcc, info.frames)
    n_chunks = -(-n_rows // step)
    rows: list[NDArray[np.float32] | None] = [None] * (n_chunks * step)
    for ranges in (_indexed(info, data, n_chunks), _found(data, n_chunks)):
        for chunk, (start, end) in enumerate(ranges):
            if rows[chunk * step] is None:
                block = _decode(data[start:end], shape)
                rows[chunk * step : (chunk + 1) * step] = [None] * step if block is None else list(block)
    return rows[:n_rows]


def _indexed(info: StoreInfo, data: bytes, n_chunks: int) -> Iterator[tuple[int, int]]:
    """Yield where the index at the end says that the chunks are; it is not trusted."""
    n_all = info.clips_per_shard // info.clips_per_chunk
    index = data[len(data) - 16 * n_all - 4 : -4]
    if len(data) >= 16 * n_all + 4:
        for chunk in range(n_chunks):
            start, length = struct.unpack_from("<QQ", index, 16 * chunk)
            yield start, start + length


def _found(data: bytes, n_chunks: int) -> Iterator[tuple[int, int]]:
    """Yield where chunks seem to begin and end, if the index is of no use: they lie one after the other."""
    starts: list[int] = []
    at = data.find(MAGIC)
    while at >= 0 and len(starts) <= n_chunks:
        starts.append(at)
        at = data.find(MAGIC, at + 1)
    if len(starts) == n_chunks:
        for start in starts:
            length = 0
            with contextlib.suppress(ValueError):
                length = frame_length(data[start:])
            yield start, start + length


def _decode(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.float32] | None:
    try:
        decoded = bounded_decode(data, 4 * shape[0] * shape[1] * shape[2])
    except ValueError:
        return None
    return np.frombuffer(decoded, dtype="<f4").reshape(shape)
