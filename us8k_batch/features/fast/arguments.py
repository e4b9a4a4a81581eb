"""What the kernels take: clips, ways to the configured rate, and buffers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast import halve, phases

INT16, INT24, FLOAT32 = 0, 1, 2
"""Encodings."""
COPY, HALVE, PHASES = 0, 1, 2
"""Ways to the configured rate: it is there already; half the rate; any ratio, as resampy does."""


class Source(NamedTuple):
    """One clip."""

    values: NDArray[np.uint8]
    """Values of one or two channels in turn, little-endian; aligned as their encoding needs."""
    encoding: int
    channels: int
    n_samples: int
    """Samples of one channel."""
    n_results: int
    """Samples at the configured rate that the resampler makes; what is missing up to the last frame is zero."""


def source_of(samples: NDArray[np.float32]) -> Source:
    """Hand samples to the kernel, shape (n_samples, channels), read-only as a file is: they have one type then."""
    n_samples, channels = samples.shape
    values = samples.reshape(-1).view(np.uint8)
    values.flags.writeable = False
    return Source(values, FLOAT32, channels, n_samples, n_samples)


class Way(NamedTuple):
    """How clips of one rate get to the configured rate."""

    way: int
    halving: halve.Tables
    phases: phases.Tables
    step: int
    """Results that are made at a time."""
    n_samples: int
    """Samples that are read for them, at most."""
    gains: NDArray[np.float32]
    """What the power at each frequency of a frame counts for its rounding, shape (n_fft // 2 + 1,)."""
    band_gains: NDArray[np.float32]
    """The same for the energy of each band, shape (n_mels,)."""


class Work(NamedTuple):
    """Buffers; what is in them before and after does not matter."""

    samples: NDArray[np.float32]
    """What the resampler reads in one step."""
    signal: NDArray[np.float32]
    """What eight frames span, and the results of one step."""
    rows: NDArray[np.float32]
    more_rows: NDArray[np.float32]
    """Transforms of 16 numbers per point."""
    power: NDArray[np.float32]
    """Eight power spectra, and eight zeros that stay."""
    decibels: NDArray[np.float32]
    """All frames' mel bands, eight frames after eight."""
    lane: NDArray[np.float32]
    """Eight times eight numbers."""
    loudness: NDArray[np.float32]
    """All frames' power, as it counts for their rounding, eight frames after eight."""
