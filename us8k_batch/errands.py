"""What a run asks its workers about clips, beside extracting them."""

from __future__ import annotations

import contextlib

from us8k_batch.audio.opening import extension_of
from us8k_batch.audio.wav import HEAD_BYTES, wav_seconds
from us8k_batch.catalog.room import new_room
from us8k_batch.catalog.source import open_source
from us8k_batch.errors import ClipError, Failure, StorageError
from us8k_batch.features.fast.sha256 import LARGE
from us8k_batch.shard_task import ShardTask
from us8k_batch.workshop import Workshop


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


def longest_clip(workshop: Workshop, task: ShardTask) -> float:
    """Return the longest duration that the headers of some clips tell, in seconds; 0 if none can be read."""
    source = open_source(task.job.root)
    longest = 0.0
    for _, path in task.clips:
        try:
            head, size = source.read_head(path, HEAD_BYTES)
            seconds = wav_seconds(head, size)
            if seconds is None:
                with workshop.bench(task.job.needs) as bench:
                    header = bench.decoder.read_header(source.read(path, task.job.source_bytes), extension_of(path))
                seconds = 0.0 if isinstance(header, Failure) else header.duration
        except (ClipError, StorageError):
            continue
        longest = max(longest, seconds)
    return longest
