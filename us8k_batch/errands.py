"""What a run asks its workers about clips, beside extracting them."""

from __future__ import annotations

import contextlib

from us8k_batch.catalog.room import Digest, new_room
from us8k_batch.catalog.source import open_source
from us8k_batch.errors import ClipError, Failure, StorageError
from us8k_batch.features.riff import HEAD_BYTES, wav_seconds
from us8k_batch.shard_task import ShardTask, Workshop


def hash_clips(workshop: Workshop, task: ShardTask) -> list[tuple[str, str]]:  # noqa: ARG001
    """Hash clips that may have changed.

    Returns
    -------
    list of clip_id and hex sha256
        Empty for a clip that cannot be read now: it counts as changed, and extracting it will say why.
    """
    source = open_source(task.job.root)
    hashed = []
    for clip_id, path in task.clips:
        digest = Digest()
        try:
            source.read_into(path, task.job.source_bytes, new_room, digest)
        except (ClipError, StorageError):
            hashed.append((clip_id, ""))
        else:
            hashed.append((clip_id, digest.hex()))
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
                header = workshop.decoder(task.job).read_header(source.read(path, task.job.source_bytes))
                seconds = 0.0 if isinstance(header, Failure) else header.duration
        except (ClipError, StorageError):
            continue
        longest = max(longest, seconds)
    return longest
