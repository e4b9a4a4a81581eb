"""Errands: what workers find out about clips, whatever cannot be read."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from audio_files import write_audio
from shard_tasks import task

from us8k_batch.errands import any_readable, hash_clips, longest_clip
from us8k_batch.features.fast.sha256 import LARGE
from us8k_batch.shard_task import Job
from us8k_batch.workshop import Workshop


def test_hashing_gives_each_clip_its_digest_or_nothing(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """A clip that cannot be read now has no digest, so that it counts as changed."""
    contents = {"a.wav": b"bytes", "b.wav": b"", "large.wav": bytes(LARGE), "last.wav": b"sound"}
    for name, content in contents.items():
        (tmp_path / "data" / name).write_bytes(content)
    names = ["a.wav", "gone.wav", "b.wav", "large.wav", "gone too.wav", "nor this.wav", "last.wav"]
    expected = [(name, hashlib.sha256(contents[name]).hexdigest() if name in contents else "") for name in names]
    assert hash_clips(workshop, task(replace(job, source_bytes=LARGE), *names)) == expected


def test_the_longest_header_is_found_in_any_format(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """WAV headers are read here, others by the decoder; what cannot be read counts as nothing."""
    write_audio(tmp_path / "data/short.wav", seconds=0.25)
    write_audio(tmp_path / "data/long.ogg", seconds=0.75, format="OGG", subtype="VORBIS")
    (tmp_path / "data/noise.wav").write_bytes(b"no sound at all")
    assert longest_clip(workshop, task(job, "short.wav", "noise.wav", "gone.wav")) == pytest.approx(0.25)
    assert longest_clip(workshop, task(job, "short.wav", "long.ogg")) == pytest.approx(0.75)
    assert longest_clip(workshop, task(job, "noise.wav", "gone.wav")) == 0


def test_one_readable_clip_is_enough_to_know_that_storage_answers(
    workshop: Workshop, job: Job, tmp_path: Path
) -> None:
    """Any of some clips."""
    (tmp_path / "data/a.wav").write_bytes(b"bytes")
    assert any_readable(workshop, task(job, "gone.wav", "a.wav"))
    assert not any_readable(workshop, task(job, "gone.wav"))
