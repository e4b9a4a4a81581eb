"""Rows of the MFCC array, read straight from shard objects: an index, then the chunks that are wanted."""

from __future__ import annotations

import struct
from collections import OrderedDict
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from us8k_batch.documents import natural, read_document
from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.store.layout import ARRAY, DOCUMENT_BYTES, StoreInfo, shard_key
from us8k_batch.store.shards import array_metadata
from us8k_batch.store.zstd import HEADER_BYTES, read_header

INDEXES = 4096
"""Shards whose index is kept: 260 bytes each at the usual sizes."""
FETCH_BYTES = 8 << 20
"""Encoded chunks of a shard that are held at a time, in bytes, unless one is larger."""
_NO_CHUNK = (1 << 64) - 1
_ENTRY = 16
"""Bytes of a chunk's offset and length."""

Index = NDArray[np.uint64]
"""Offset and length of each chunk, in bytes, shape (n_chunks, 2)."""


class Chunks:
    """Reads rows of one store's shards; any number of threads at a time.

    Notes
    -----
    It reads what Zarr does, and less: one request for a shard's index and one for the chunks, none for the array.
    Through Zarr, one clip took 5 to 10 times as long, and all of them could not be checked in the thread that
    decodes them.
    """

    def __init__(self, objects: Objects, info: StoreInfo, n_rows: int | None = None) -> None:
        self._objects = objects
        self._info = info
        self._indexes: OrderedDict[int, Index] = OrderedDict()
        self._n_rows = n_rows
        self._codec = Zstd(checksum=True)
        # What zstd makes, at most, of values that it cannot compress.
        self._size = 4 * info.clips_per_chunk * info.config.n_mfcc * info.frames
        self._most = self._size + self._size // 128 + 1024

    def n_rows(self) -> int:
        """Return the length of the array's clip axis; read once, if it was not given.

        Raises
        ------
        DamageError
            If what stands there does not describe this store's array.
        """
        if self._n_rows is None:
            self._n_rows = _length_of(self._objects.get_tail(ARRAY, DOCUMENT_BYTES + 1), self._info)
        return self._n_rows

    def read(self, shard: int, at: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Read rows of one shard.

        Parameters
        ----------
        shard : int
            Which shard.
        at : int64 array, shape (n,)
            Places in the shard, ascending; one may be asked for more than once.
        out : float32 array, shape (n, n_mfcc, frames)
            C-contiguous; filled with the rows.

        Raises
        ------
        DamageError, ValueError, RuntimeError
            If the object does not hold them; the codec raises what its C library does.
        """
        wanted = np.unique(at // self._info.clips_per_chunk)
        # However large a shard, its encoded bytes are held a few chunks at a time.
        step = max(1, FETCH_BYTES // self._most)
        for start in range(0, len(wanted), step):
            some = wanted[start : start + step]
            for chunk, data in zip(some.tolist(), self._fetch(shard, some), strict=True):
                self._take(chunk, data, at, out)

    def _take(self, chunk: int, data: Any, at: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Decode one chunk into the rows that are wanted of it; its checksum is verified on the way."""
        promised = read_header(bytes(memoryview(data)[:HEADER_BYTES])).content
        if promised != self._size:  # the codec would take as much memory as it is told
            raise DamageError(f"chunk {chunk} promises {promised} bytes, expected {self._size}")
        step = self._info.clips_per_chunk
        first, last = np.searchsorted(at, (chunk * step, (chunk + 1) * step))
        places = at[first:last] - chunk * step
        if np.array_equal(places, np.arange(step)):
            self._codec.decode(data, out=out[first:last])
        else:
            block = np.empty((step, *out.shape[1:]), dtype=np.float32)
            self._codec.decode(data, out=block)
            out[first:last] = block[places]

    def _fetch(self, shard: int, wanted: NDArray[np.int64]) -> list[Any]:
        """Read the bytes of some chunks of a shard."""
        key = shard_key(shard)
        index = self._index(shard, key)
        if int(wanted[-1]) >= len(index):
            raise DamageError(f"{key}: has no chunk {wanted[-1]}")
        ranges = []
        for chunk in wanted.tolist():
            start, length = index[chunk].tolist()
            if start == length == _NO_CHUNK:
                raise DamageError(f"{key}: chunk {chunk} is missing")
            if length > self._most:
                raise DamageError(f"{key}: chunk {chunk} has {length} bytes, expected at most {self._most}")
            ranges.append((start, start + length))
        return self._objects.get_ranges(key, ranges)

    def _index(self, shard: int, key: str) -> Index:
        index = self._indexes.get(shard)
        if index is None:
            n_chunks = self._info.clips_per_shard // self._info.clips_per_chunk
            index = _read_index(self._objects.get_tail(key, n_chunks * _ENTRY + 4), n_chunks, key)
            self._indexes[shard] = index
            if len(self._indexes) > INDEXES:
                self._indexes.popitem(last=False)
        return index


def _read_index(data: bytes, n_chunks: int, key: str) -> Index:
    """Decode a shard's index, whose checksum stands after it."""
    size = n_chunks * _ENTRY
    if len(data) != size + 4 or google_crc32c.value(data[:size]) != struct.unpack("<I", data[size:])[0]:
        raise DamageError(f"{key}: its index is damaged")
    return np.frombuffer(data, dtype="<u8", count=2 * n_chunks).reshape(n_chunks, 2)


def _length_of(data: bytes, info: StoreInfo) -> int:
    """Read the array's metadata; everything that decides how its rows are stored must be as format 1 says."""
    try:
        document = read_document(data, DOCUMENT_BYTES)
        n_rows = natural(document["shape"][0])
        same = _storage(document) == _storage(read_document(array_metadata(info, n_rows)))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DamageError(f"{ARRAY}: not the description of an array ({error}); run us8k verify") from error
    if not same:
        raise DamageError(f"{ARRAY}: does not describe the array of this store; run us8k verify")
    return n_rows


def _storage(document: dict[str, Any]) -> dict[str, Any]:
    """Return what decides how rows are stored, without the level of compression: any level decodes alike."""
    names = ("zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs")
    kept = {name: document[name] for name in names}
    del kept["codecs"][0]["configuration"]["codecs"][1]["configuration"]["level"]
    return kept
