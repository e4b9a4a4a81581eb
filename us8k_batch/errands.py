"""What a run asks its workers about clips, beside extracting them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us8k_batch.audio.opening import extension_of
from us8k_batch.audio.wav import HEAD_BYTES, wav_seconds
from us8k_batch.catalog.room import new_room
from us8k_batch.catalog.source import open_source
from us8k_batch.errors import ClipError, Failure, StorageError
from us8k_batch.features.fast.sha256 import LARGE
from us8k_batch.shard_task import ShardTask
from us8k_batch.workshop import Workshop

CHILD_ENDS = ("crashed", "timeout", "out_of_memory")
"""Failures of a clip that say nothing of its length."""


def hash_clips(workshop: Workshop, task: ShardTask) -> list[tuple[str, str]]:
    """Hash clips that may have changed.

    Returns
    -------
    list of clip_id and hex sha256
        Empty for a clip that cannot be read now: it counts as changed, and extracting it will say why.
    """
    source, hasher = open_source(task.job.root), workshop.hasher()
    hashed: list[tuple[str, str]] = []
    for start in range(0, len(task.clips), 2):
        digests: dict[str, str] = {}
        small: dict[str, memoryview] = {}
        for clip_id, path in task.clips[start : start + 2]:
            digests[clip_id] = ""
            with contextlib.suppress(ClipError, StorageError):
                data = source.read_into(path, task.job.source_bytes, new_room)
                if len(data) < LARGE:
                    small[clip_id] = data
                else:
                    digests[clip_id] = hasher.digests([data])[0]
        digests.update(zip(small, hasher.digests([*small.values()]), strict=True))
        hashed += digests.items()
    return hashed


def any_readable(workshop: Workshop, task: ShardTask) -> bool:  # noqa: ARG001
    """Tell whether any of some clips can be read."""
    source = open_source(task.job.root)
    for _, path in task.clips:
        with contextlib.suppress(ClipError, StorageError):
            source.read_head(path, 1)
            return True
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """How long some clips are by their headers."""

    seconds: NDArray[np.float64]
    """Durations; 0 where the header cannot be read."""
    sure: NDArray[np.bool_]
    """Whether the file's size proves it, so that it need not be decoded to be believed."""


def measure_clips(workshop: Workshop, task: ShardTask) -> Measured:
    """Measure some clips by their headers."""
    source = open_source(task.job.root)
    seconds, sure = np.zeros(len(task.clips)), np.ones(len(task.clips), np.bool_)
    for at, (_, path) in enumerate(task.clips):
        with contextlib.suppress(ClipError, StorageError):
            head, size = source.read_head(path, HEAD_BYTES)
            told = wav_seconds(head, size)
            if told is None:
                sure[at] = False
                with workshop.bench(task.job.needs) as bench:
                    header = bench.decoder.read_header(source.read(path, task.job.source_bytes), extension_of(path))
                told = 0.0 if isinstance(header, Failure) else header.duration
            seconds[at] = told
    return Measured(seconds, sure)


def count_clips(workshop: Workshop, task: ShardTask) -> NDArray[np.float64]:
    """Decode some clips to find out how long they are, in seconds.

    Returns
    -------
    float64 array
        0 for a clip that cannot be decoded, NaN for one that met the limit of time or memory.
    """
    source = open_source(task.job.root)
    seconds = np.zeros(len(task.clips))
    for at, (_, path) in enumerate(task.clips):
        with contextlib.suppress(ClipError, StorageError), workshop.bench(task.job.needs) as bench:
            counted = bench.decoder.count_samples(source.read(path, task.job.source_bytes), extension_of(path))
            if not isinstance(counted, Failure):
                seconds[at] = counted.duration
            elif counted.error in CHILD_ENDS:
                seconds[at] = np.nan
    return seconds
