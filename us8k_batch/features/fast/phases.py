"""Constants of resampling by any ratio, as resampy does: one short filter per position between samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from us8k_batch.features.fast.fft import LANES
from us8k_batch.features.fast.taps import Window, wings


class Tables(NamedTuple):
    """Filters of one ratio."""

    weights: NDArray[np.float32]
    """One filter per phase, padded with zeros, shape (phases + 1, n) with n a multiple of 16.

    The last one is for results that lie at a sample, but which resampy, by rounding, puts just before it.
    """
    start: NDArray[np.int64]
    """Sample that each filter begins at, counted from the last one that is not after the result."""
    advance: int
    """Samples that all phases together advance."""
    distance: float
    """Of results, in samples, as resampy rounds it."""


def make_tables(window: Window, rate: int, new_rate: int) -> Tables:
    """Compute the filters from one rate to another, both in Hz."""
    divisor = math.gcd(rate, new_rate)
    phases, advance = new_rate // divisor, rate // divisor
    fractions = np.arange(phases) * advance % phases / phases
    ratio = float(new_rate) / rate
    pairs = [wings(window, ratio, fraction) for fraction in (*fractions, 1.0)]
    longest = max(len(left) + len(right) for left, right in pairs)
    weights = np.zeros((phases + 1, -(-longest // (2 * LANES)) * 2 * LANES), dtype=np.float32)
    for row, (left, right) in zip(weights, pairs, strict=True):
        row[: len(left) + len(right)] = np.concatenate((left[::-1], right))
    start = np.array([1 - len(left) for left, _ in pairs], dtype=np.int64)
    return Tables(weights, start, advance, 1 / ratio)


def n_weights(window: Window, rate: int, new_rate: int) -> int:
    """Return about how many weights the filters would have."""
    phases = new_rate // math.gcd(rate, new_rate)
    return int(phases * 2 * len(window.values) / window.steps * max(1.0, rate / new_rate))
