"""Errands: what workers find out about clips, whatever cannot be read."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from audio_files import flac_promising, make_audio, mp3_promising, write_audio
from shard_tasks import task

from us8k_batch.errands import any_readable, count_clips, hash_clips, measure_clips
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


def test_clips_are_measured_by_their_headers_in_any_format(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """Only a WAV's size proves its header; what cannot be read counts as nothing."""
    write_audio(tmp_path / "data/short.wav", seconds=0.25)
    write_audio(tmp_path / "data/long.ogg", seconds=0.75, format="OGG", subtype="VORBIS")
    (tmp_path / "data/noise.wav").write_bytes(b"no sound at all")
    measured = measure_clips(workshop, task(job, "short.wav", "long.ogg", "noise.wav", "gone.wav"))
    assert measured.seconds == pytest.approx([0.25, 0.75, 0, 0])
    assert measured.sure.tolist() == [True, False, False, True]


def test_clips_are_counted_by_decoding_them(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """What a header promises and the file does not hold is no length, nor is what cannot be decoded."""
    flac = make_audio(format="FLAC", seconds=0.5)
    (tmp_path / "data/piped.flac").write_bytes(flac_promising(flac, 0))
    (tmp_path / "data/cut.mp3").write_bytes(mp3_promising(make_audio(format="MP3", seconds=0.5), 90_000))
    (tmp_path / "data/noise.wav").write_bytes(b"no sound at all")
    clips = task(job, "piped.flac", "cut.mp3", "noise.wav", "gone.wav")
    assert measure_clips(workshop, clips).seconds[:2].min() > 1000
    assert count_clips(workshop, clips) == pytest.approx([0.5, 0.5, 0, 0], abs=0.1)


def test_a_clip_that_cannot_be_counted_in_time_has_no_number(workshop: Workshop, job: Job, tmp_path: Path) -> None:
    """Then nothing is known of its length; its header's promise stands."""
    data = make_audio(format="FLAC", seconds=600, samples=np.zeros((600 * 16000, 1), np.float32))
    (tmp_path / "data/long.flac").write_bytes(data)
    hasty = replace(job, needs=replace(job.needs, clip_seconds=0.0))
    assert np.isnan(count_clips(workshop, task(hasty, "long.flac"))).all()


def test_one_readable_clip_is_enough_to_know_that_storage_answers(
    workshop: Workshop, job: Job, tmp_path: Path
) -> None:
    """Any of some clips."""
    (tmp_path / "data/a.wav").write_bytes(b"bytes")
    assert any_readable(workshop, task(job, "gone.wav", "a.wav"))
    assert not any_readable(workshop, task(job, "gone.wav"))
