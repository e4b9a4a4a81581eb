"""Count the samples that a clip decodes to, whatever its header promises."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import soundfile

from us8k_batch.audio.opening import describe_error

UNKNOWN = 1 << 48
"""Samples from which on a length stands for "not written" (FLAC from a pipe), or is a difference below zero (MP3)."""
MOST_SAMPLES = 1 << 32
"""Samples that are counted of one clip, more than a day of 48 kHz."""
_BLOCK_VALUES = 1 << 18
"""Values that are decoded at a time."""


class Counted(NamedTuple):
    """What decoding a clip found."""

    samples: int
    """Samples of one channel."""
    finite: bool
    """Whether none of them is NaN or infinite."""
    error: Exception | None
    """What ended it before the end, as `describe_error` tells it."""


def count_samples(file: soundfile.SoundFile, most: int) -> Counted:
    """Decode an opened clip block by block, and count.

    Parameters
    ----------
    file : soundfile.SoundFile
        As `open_audio` opens it, at its first sample.
    most : int
        Samples to count at most.
    """
    most = min(most, file.frames)
    block = np.empty((max(1, _BLOCK_VALUES // file.channels), file.channels), dtype=np.float32)
    samples, finite = 0, True
    while samples < most:
        # No block reaches beyond what is promised: what follows there, such as a second file, may be an error.
        room = block[: min(len(block), most - samples)]
        try:
            read = file.read(out=room)
        except soundfile.SoundFileError as error:
            return Counted(samples, finite, describe_error(error))
        samples += len(read)
        finite = finite and bool(np.isfinite(read).all())
        if len(read) < len(room):
            break
    return Counted(samples, finite, None)
