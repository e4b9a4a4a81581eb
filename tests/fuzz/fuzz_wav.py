"""Fuzz the WAV reader: it agrees with libsndfile, which is given the file by its path, or leaves the file to it.

The first byte of an input chooses what is put before the rest: nothing, a tag, or zeros.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["us8k_batch.features.fast.wav", "us8k_batch.audio.wav"]):
    from us8k_batch.audio import wav  # noqa: F401
    from us8k_batch.features.fast import wav as fast  # noqa: F401

from fuzzing import GOLDEN, fuzz
from test_fast_wav import LEFT, READ, assert_libsndfile_agrees
from test_wav import assert_durations_agree

PREFIXES = (b"", b"", b"", b"ID3\3\0\0\0\0\0\x40" + bytes(64), bytes(16))


def target(data: bytes) -> None:
    """Read one file both ways."""
    file = PREFIXES[data[0] % len(PREFIXES)] + data[1:] if data else b""
    assert_libsndfile_agrees(file)
    assert_durations_agree(file)


if __name__ == "__main__":
    made = [path.read_bytes()[:600] for path in sorted(GOLDEN.glob("dataset/audio/*.wav"))]
    made += [file for files in (READ, LEFT) for file in files.values() if len(file) < 4096]
    fuzz(target, [bytes([i % len(PREFIXES)]) + file for i, file in enumerate(made)], 4096)
