"""Fuzz the fast WAV reader: it agrees with libsndfile, or leaves the file to it."""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["us8k_batch.features.fast.wav", "us8k_batch.features.riff"]):
    from us8k_batch.features.fast import wav  # noqa: F401
    from us8k_batch.features.riff import HEAD_BYTES, wav_seconds

from fuzzing import GOLDEN, fuzz
from test_fast_wav import assert_libsndfile_agrees, extensible, form, riff


def target(data: bytes) -> None:
    """Read one file both ways."""
    assert_libsndfile_agrees(data)
    seconds = wav_seconds(data[:HEAD_BYTES], len(data))
    assert seconds is None or seconds >= 0


if __name__ == "__main__":
    made = [riff(form(), b"data\x04\0\0\0\1\2\3\4"), riff(extensible(), b"data\x04\0\0\0\1\2\3\4")]
    fuzz(target, [*made, *(path.read_bytes()[:600] for path in sorted(GOLDEN.glob("dataset/audio/*.wav")))], 4096)
