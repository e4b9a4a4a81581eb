"""The frames of a store as an array that is read when it is asked for, every row checked against its digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from us8k_batch.errors import DamageError
from us8k_batch.objects import Objects
from us8k_batch.store.chunks import Chunks
from us8k_batch.store.commits import digest_frames
from us8k_batch.store.layout import StoreInfo, split_by_shard
from us8k_batch.store.state import in_parallel


class Frames:
    """MFCC frames of the live clips, read when they are asked for; indexes like an array."""

    def __init__(self, objects: Objects, info: StoreInfo, table: pa.Table, end_row: int | None = None) -> None:
        """Remember which rows.

        Parameters
        ----------
        objects, info
            The store.
        table : pa.Table
            Columns row, n_frames, digest and clip_id.
        end_row : int, optional
            Rows that the array has, if its metadata may not say so yet; by default its metadata are believed.
        """
        self._objects = objects
        self._info = info
        self._rows = table["row"].to_numpy()
        self._n_frames = table["n_frames"].to_numpy()
        self._digests = table["digest"].combine_chunks()
        self._ids = table["clip_id"]
        self._chunks = Chunks(objects, info, end_row)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of live clips, coefficients and frames."""
        return (len(self._rows), self._info.config.n_mfcc, self._info.frames)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Type of the values."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        """Return the number of live clips."""
        return len(self._rows)

    def __getitem__(self, key: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """Read one clip, shape (n_mfcc, frames), or several, shape (n, n_mfcc, frames); NaN where no frame is.

        Raises
        ------
        DamageError
            If what is read is not what was committed.
        """
        if isinstance(key, int | np.integer):
            only: NDArray[np.float32] = self._read(np.array([range(len(self))[int(key)]]))[0]
            return only
        wanted = np.arange(len(self))[key]
        if wanted.ndim != 1:
            raise IndexError("clips are chosen by a number, a slice, or a list or mask of one dimension")
        return self._read(wanted)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all of them."""
        return self[:].astype(dtype or np.float32, copy=bool(copy))

    def batches(self, clips: int = 256) -> Iterator[NDArray[np.float32]]:
        """Read the clips in order, so many at a time; each array has shape (n, n_mfcc, frames)."""
        for start in range(0, len(self), clips):
            yield self[start : start + clips]

    def _read(self, wanted: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read clips in the order of their rows; a shard is read, decoded and checked by one thread."""
        order = np.argsort(self._rows[wanted], kind="stable")
        clips = wanted[order]
        rows = self._rows[clips]
        found = np.empty((len(rows), *self.shape[1:]), dtype=np.float32)

        def fill(part: tuple[int, int, int]) -> None:
            shard, start, end = part
            self._fill(shard, rows[start:end], clips[start:end], found[start:end])

        parts = split_by_shard(rows, self._info.clips_per_shard)
        if len(parts) == 1:
            fill(parts[0])
        else:
            in_parallel(fill, parts)
        if np.array_equal(order, np.arange(len(order))):
            return found
        out = np.empty_like(found)
        out[order] = found
        return out

    def _fill(self, shard: int, rows: NDArray[np.int64], clips: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        try:
            if rows[-1] >= self._chunks.n_rows():
                raise DamageError(f"the array ends before row {rows[-1]}")
            self._chunks.read(shard, rows - shard * self._info.clips_per_shard, out)
        except Exception as error:  # codecs raise whatever their C libraries do
            clip = self._ids[int(clips[0])].as_py()
            raise DamageError(f"{self._objects.url}: {clip}: cannot be read ({error})") from error
        digests = self._digests.take(pa.array(clips)).to_pylist()
        for clip, row, frames, digest in zip(clips.tolist(), rows.tolist(), out, digests, strict=True):
            # The digest of what was committed is the only proof, whatever the object says of itself.
            if digest_frames(frames[:, : self._n_frames[clip]]) != digest:
                raise DamageError(
                    f"{self._objects.url}: {self._ids[clip].as_py()}: row {row} is not what was "
                    "committed; run us8k verify"
                )
