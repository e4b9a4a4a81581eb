"""Clips as all their frames, for models that look at time: one memory map beside the run, and views of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from us8k_batch.errors import RequestError
from us8k_batch.folders import beside
from us8k_batch.training.data import Dataset

READ_BYTES = 16 << 20
"""Frames read from the store, or looked at, at a time, in bytes."""
STEP = 32
"""Widths of batches are multiples of it."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrames:
    """Some clips of a dataset in some order; choosing clips copies places, never frames."""

    values: NDArray[np.float32]
    """Frames of all clips of the dataset, shape (n_all, n_mfcc, n_frames); past a clip's own stands anything."""
    n_frames: NDArray[np.int64]
    """Number of frames of all clips of the dataset."""
    places: NDArray[np.int64]
    """Places, in `values`, of the clips that this is about."""

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.places)

    def __getitem__(self, key: Any) -> Self:
        """Choose clips, by a slice, or a list or mask of one dimension."""
        return replace(self, places=self.places[key])

    def __reduce__(self) -> tuple[Any, ...]:
        """Take the chosen clips alone to another process: not what else the array holds, such as a test fold."""
        return frames_of, (np.asarray(self.values[self.places]), self.n_frames[self.places])

    @property
    def n_mfcc(self) -> int:
        """Number of coefficients."""
        return int(self.values.shape[1])

    def batch(self, clips: NDArray[np.int64] | slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read clips as a network takes them.

        Parameters
        ----------
        clips : int64 array or slice
            Which of these clips, counted as in `places`.

        Returns
        -------
        frames : float32 array, shape (n, width, n_mfcc)
            Frame by frame; 0 where a clip has no frame. The longest of the clips, and no more than `STEP` - 1
            other frames, fit into the width: JAX compiles a network anew for every width that it meets.
        mask : float32 array, shape (n, width)
            1 where a clip has a frame, 0 where it has none.
        """
        places = self.places[clips]
        lengths = self.n_frames[places]
        width = -(-int(lengths.max()) // STEP) * STEP
        frames = np.zeros((len(places), width, self.n_mfcc), dtype=np.float32)
        for frame, place, length in zip(frames, places, lengths, strict=True):
            frame[:length] = self.values[place, :, :length].T
        return frames, (np.arange(width) < lengths[:, np.newaxis]).astype(np.float32)

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and variance of each coefficient over all frames of these clips, in two passes.

        Returns
        -------
        mean, variance : float64 arrays, shape (n_mfcc,)
        """
        count = int(self.n_frames[self.places].sum())
        total = np.zeros(self.n_mfcc)
        for frames in self._each():
            total += frames.sum(axis=1, dtype=np.float64)
        mean, squares = total / count, np.zeros(self.n_mfcc)
        for frames in self._each():
            squares += np.square(frames - mean[:, np.newaxis]).sum(axis=1)
        return mean, squares / count

    def _each(self) -> Iterator[NDArray[np.float32]]:
        # In the order of the file, so that a disk reads ahead.
        for place in np.sort(self.places):
            yield self.values[place, :, : self.n_frames[place]]


def frames_of(values: NDArray[np.float32], n_frames: NDArray[np.int64]) -> ClipFrames:
    """Take arrays as clips: float32 of shape (n_clips, n_mfcc, n_frames), and each clip's number of frames."""
    return ClipFrames(values, n_frames, np.arange(len(values)))


def load_frames(data: Dataset, cache: Path | None = None) -> ClipFrames:
    """Load the frames of all clips: through a memory map where there is a cache, so that no fold copies them.

    Parameters
    ----------
    data : Dataset
        The clips.
    cache : Path, optional
        Folder in which the frames are kept by snapshot; made when needed. None reads them into memory.

    Returns
    -------
    ClipFrames

    Raises
    ------
    DamageError
        If frames in the store are not what was committed.
    RequestError
        If the cache cannot be written.
    """
    shape = (len(data), data.config.n_mfcc, int(data.n_frames.max()))
    if cache is None:
        values = np.empty(shape, dtype=np.float32)
        for start, batch in _read(data, shape):
            values[start : start + len(batch)] = batch
        return frames_of(values, data.n_frames)
    file = cache / f"{data.snapshot_id[:16]}-frames.f32"
    said = {"snapshot_id": data.snapshot_id, "shape": list(shape)}
    if not _is_whole(file, said):
        try:
            _write(file, said, data, shape)
        except OSError as error:
            raise RequestError(f"{cache}: cannot be written ({error}); choose another --out") from error
    mapped: NDArray[np.float32] = np.memmap(file, dtype="<f4", mode="r", shape=shape)
    return frames_of(mapped, data.n_frames)


def _read(data: Dataset, shape: tuple[int, int, int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    start = 0
    for batch in data.frames.batches(max(1, READ_BYTES // (4 * shape[1] * data.frames.shape[2]))):
        yield start, batch[:, :, : shape[2]]
        start += len(batch)


def _write(file: Path, said: dict[str, Any], data: Dataset, shape: tuple[int, int, int]) -> None:
    """Write the frames, then what proves them; whoever is killed in between leaves nothing that is believed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(file)
    try:
        digest = 0
        with temporary.open("xb") as out:
            for _, batch in _read(data, shape):
                written = np.ascontiguousarray(batch, dtype="<f4").tobytes()
                digest = google_crc32c.extend(digest, written)
                out.write(written)
        proof = temporary.with_name(f"{temporary.name}.json")
        proof.write_text(json.dumps({**said, "crc32c": digest}))
        temporary.replace(file)
        proof.replace(_proof(file))
    finally:
        for leftover in (temporary, temporary.with_name(f"{temporary.name}.json")):
            leftover.unlink(missing_ok=True)


def _is_whole(file: Path, said: dict[str, Any]) -> bool:
    with contextlib.suppress(OSError, ValueError):
        proof = json.loads(_proof(file).read_text())
        if isinstance(proof, dict) and {name: proof.get(name) for name in said} == said:
            digest, size = 0, 0
            with file.open("rb") as opened:
                while piece := opened.read(READ_BYTES):
                    digest, size = google_crc32c.extend(digest, piece), size + len(piece)
            return size == 4 * int(np.prod(said["shape"])) and digest == proof.get("crc32c")
    return False


def _proof(file: Path) -> Path:
    return file.with_suffix(".json")
