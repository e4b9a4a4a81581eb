"""Which WAV files the fast engine reads by itself; whatever leaves a doubt is for libsndfile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from us8k_batch.audio.opening import FileBytes
from us8k_batch.audio.wav import read_layout
from us8k_batch.features.audio import Header

_ALIGNMENTS = {"PCM_16": 2, "PCM_24": 1, "FLOAT": 4}
"""By soundfile's name of the encoding: the alignment that reading the values needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Wav:
    """A WAV file's samples, not converted yet."""

    header: Header
    """What libsndfile would say about it."""
    values: NDArray[np.uint8]
    """The bytes of all channels' values in turn; a view of the file."""


def read_wav(data: FileBytes) -> Wav | None:
    """Read a WAV file of 16 or 24 bits or float32, of one or two channels, in which every size fits.

    Parameters
    ----------
    data : bytes or memoryview
        The whole file.

    Returns
    -------
    Wav or None
        None if libsndfile must judge.
    """
    found = read_layout(data)
    if found is None or found.subtype not in _ALIGNMENTS or found.channels > 2:
        return None
    if not 1000 <= found.sample_rate <= 384_000 or found.start % _ALIGNMENTS[found.subtype]:
        return None
    if found.size % (found.channels * found.bits // 8):
        return None
    values = np.frombuffer(data, dtype=np.uint8, count=found.size, offset=found.start)
    values.flags.writeable = False  # as in bytes, whatever the file lies in: the kernels are compiled for one type
    return Wav(Header(found.container, found.subtype, found.sample_rate, found.channels, found.n_samples), values)
