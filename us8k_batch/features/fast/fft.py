"""Constants of eight Fourier transforms side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LANES = 8
"""Transforms, and numbers of any kind, side by side."""
ROW = 2 * LANES
"""Numbers in a row: one complex number of each transform, real parts first."""


class Plan(NamedTuple):
    """Constants of a transform of `size` points."""

    twiddles: NDArray[np.complex64]
    """Three factors per butterfly; those of parts of `n` points begin at ``(size - n) // 3``."""
    order: NDArray[np.int64]
    """Row at which each frequency is found, and once more that of frequency 0; shape (size + 1,)."""


def make_plan(size: int) -> Plan:
    """Compute the constants of a transform of `size` points, a power of two from 2 on."""
    stages = [np.ones((1, 3))]
    part = size
    while part > 4:
        quarter = np.arange(part // 4)[:, np.newaxis]
        stages.insert(-1, np.exp(-2j * np.pi * quarter * np.arange(1, 4) / part))
        part //= 4
    rows = np.argsort(_frequencies(size))
    return Plan(np.concatenate(stages).astype(np.complex64), np.append(rows, rows[0]))


def _frequencies(size: int) -> NDArray[np.int64]:
    """Return the frequency that the forward transform leaves at each row."""
    if size <= 4:
        return np.arange(size)
    return np.concatenate([4 * _frequencies(size // 4) + residue for residue in range(4)])
