"""One clip's sound: read, checked to be what the store was made from, measured, and made small for a page."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from us8k_batch.audio.notes import named_notes
from us8k_batch.audio.opening import extension_of
from us8k_batch.catalog.source import Source
from us8k_batch.config import FeatureConfig
from us8k_batch.errors import ClipError
from us8k_batch.features.audio import Header, read_source, resample

FULL_SCALE = {"PCM_S8": 1 - 2**-7, "PCM_U8": 1 - 2**-7, "PCM_16": 1 - 2**-15, "PCM_24": 1 - 2**-23}
"""Largest positive value of a coding; 1 where it is not here."""
CLIPPED_RUN = 3
"""Samples in a row at full scale that a converter out of range leaves, and a tone hardly ever."""
SOURCE_BYTES = 1 << 28
"""Largest file that is read for a page, in bytes."""
RATE = 22050
"""Rate of excerpts, in Hz; MP3 has it."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A clip that was decoded, at its own rate."""

    header: Header
    """What its header says."""
    samples: NDArray[np.float32]
    """Shape (n_samples, channels)."""

    @property
    def peak(self) -> float:
        """Largest absolute value, 1 being full scale."""
        return float(np.abs(self.samples).max(initial=0.0))

    @property
    def clipped(self) -> float:
        """Share of samples that stand in runs of `CLIPPED_RUN` or more at full scale, over all channels."""
        full = np.abs(self.samples) >= np.float32(FULL_SCALE.get(self.header.subtype, 1.0))
        if not full.any():
            return 0.0
        padded = np.zeros((len(full) + 2, full.shape[1]), dtype=np.int8)
        padded[1:-1] = full
        # Channel after channel, so that no run crosses from one to the next.
        steps = np.diff(padded, axis=0).T.ravel()
        lengths = np.flatnonzero(steps == -1) - np.flatnonzero(steps == 1)
        return float(lengths[lengths >= CLIPPED_RUN].sum() / full.size)

    @property
    def mono(self) -> NDArray[np.float32]:
        """Mean of the channels, shape (n_samples,)."""
        return np.ascontiguousarray(self.samples.mean(axis=1, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Sound:
    """Encoded sound that browsers play."""

    data: bytes
    mime: str


class OtherSourceError(ClipError):
    """The file is not the one that the store's result was computed from."""

    stage = "read"
    error = "changed"


def hear(source: Source, path: str, sha256: str | None, config: FeatureConfig) -> Heard:
    """Read and decode a clip of which the store has a result.

    Parameters
    ----------
    source : Source
        The dataset's files.
    path : str
        The clip's.
    sha256 : str or None
        Hex digest of the bytes that the store's result was computed from. Bytes that were decoded once, in a child
        process with limits, are safe to be decoded here; others are not decoded.
    config : FeatureConfig
        Of the store; no more than its `max_seconds` are decoded.

    Raises
    ------
    ClipError
        If it cannot be read or decoded, or is not the same any more.
    StorageError
        If the storage does not answer as it should, even after retries.
    """
    data = source.read(path, SOURCE_BYTES)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise OtherSourceError("is not the file any more that the store was made from; run us8k extract")
    with named_notes(path, data):
        header, samples = read_source(data, config, None, extension_of(path))
    return Heard(header, samples)


def loudest(samples: NDArray[np.float32], rate: int, seconds: float) -> NDArray[np.float32]:
    """Cut the part of so many seconds with the most energy out of a sound, shape (n_samples,)."""
    length = round(rate * seconds)
    if len(samples) <= length:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length]


def excerpt(heard: Heard, seconds: float) -> Sound:
    """Make the loudest seconds of a clip small: mono, 22.05 kHz, MP3 at about 5 kB a second, with soft ends."""
    part = loudest(heard.mono, heard.header.sample_rate, seconds)
    samples = at_rate(part, heard.header.sample_rate)
    fade = min(len(samples) // 2, RATE // 200)
    if len(samples) < len(heard.mono) and fade:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        samples[:fade] *= ramp
        samples[-fade:] *= ramp[::-1]
    return encode_mp3(samples, RATE, 0.9)


def at_rate(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Resample to `RATE` into an array of its own."""
    return np.array(resample(samples, rate, FeatureConfig(sample_rate=RATE)))


def encode_mp3(samples: NDArray[np.float32], rate: int, level: float) -> Sound:
    """Encode as MP3, which every browser plays; `level` is 0 for the best to below 1 for the smallest."""
    return _encode(samples, rate, "MP3", "MPEG_LAYER_III", "audio/mpeg", compression_level=level)


def encode_flac(samples: NDArray[np.float32], rate: int) -> Sound:
    """Encode as FLAC of 16 bits, which loses nothing else."""
    return _encode(samples, rate, "FLAC", "PCM_16", "audio/flac", compression_level=1.0)


def _encode(
    samples: NDArray[np.float32], rate: int, container: str, subtype: str, mime: str, compression_level: float
) -> Sound:
    file = io.BytesIO()
    soundfile.write(
        file,
        np.clip(samples, -1.0, 1.0),
        rate,
        format=container,
        subtype=subtype,
        compression_level=compression_level,
    )
    return Sound(file.getvalue(), mime)
